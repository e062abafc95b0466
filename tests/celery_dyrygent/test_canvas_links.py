"""`link` and `link_error` of canvases: which nodes they become, when these run, what they get, what they change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import _chain

from celery_dyrygent import register_workflow_processor, registered
from celery_dyrygent.errbacks import ERRBACK
from celery_dyrygent.workflows import Workflow
from dyrygent_core import Status, UsageError, WorkflowState
from dyrygent_core.codec import JSON_VALUES, digest
from tests.celery_dyrygent.evaluation import evaluate, imported, named, result_of, s, si

pytestmark = pytest.mark.filterwarnings(
    "ignore:task_allow_error_cb_on_chord_header:celery.exceptions.CPendingDeprecationWarning"
)


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """An app that knows error callbacks of both styles."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    celery = Celery("links", set_as_current=False)

    @celery.task(name="told", shared=False)
    def _told(task_id: str, *, key: str = "") -> None: ...

    @celery.task(name="called", shared=False)
    def _called(request: Any, exc: Any, traceback: Any, key: str = "") -> None: ...

    @celery.task(name="bound", bind=True, shared=False)
    def _bound(self: Any, task_id: str, other: str = "") -> None: ...

    register_workflow_processor(celery)
    return celery


def linked(canvas: Any, *callbacks: Any) -> Any:
    for callback in callbacks:
        canvas.link(callback)
    return canvas


def erred(canvas: Any, *errbacks: Any) -> Any:
    for errback in errbacks:
        canvas.link_error(errback)
    return canvas


def got(canvas: Any, name: str) -> list[list[Any]]:
    """Give the arguments of each run of a task of this name."""
    return [args for task, args in evaluate(imported(canvas)).ran if task == name]


def fail(task_id: str = "bad") -> Any:
    return named("fail", task_id)


def linked_to_one() -> Any:
    callback = s("pack")
    return chain(linked(s("const", 1), callback), linked(s("add", 1), callback), linked(s("add", 1), callback))


# link

LINKED: dict[str, tuple[Callable[[], Any], list[list[Any]]]] = {
    "of a task": (lambda: linked(s("const", 2), s("pack", "own")), [[2, "own"]]),
    "several": (lambda: linked(s("const", 2), s("pack", 1), s("pack", 2)), [[2, 1], [2, 2]]),
    "twice the same": (lambda: linked(s("const", 2), s("pack"), s("pack")), [[2]]),
    "immutable": (lambda: linked(s("const", 2), si("pack", "own")), [["own"]]),
    "of a step": (lambda: chain(linked(s("const", 1), s("pack")), s("add", 5)), [[1]]),
    "of a chain": (lambda: linked(_chain(s("const", 1), s("add", 5)), s("pack")), [[6]]),
    "of a chain in a chain": (lambda: chain(linked(chain(s("const", 1), s("add", 1)), s("pack")), s("add", 5)), [[2]]),
    "of a group": (lambda: linked(group(s("const", 1), s("const", 2)), s("pack", "own")), [["own"]]),
    "set on a group": (lambda: group(s("const", 1), s("const", 2)).set(link=s("pack", "own")), [["own"]]),
    "of a chain that ends in a group": (
        lambda: _chain(s("const", 1), group(s("add", 1), s("add", 2))).set(link=s("pack", "own")),
        [["own"]],
    ),
    "of a chord": (
        lambda: linked(chord([s("const", 1)], s("pack", "z")), s("pack", "own")),
        [[[1], "z"], [[[1], "z"], "own"]],
    ),
    "set on a chord": (lambda: chord([s("const", 1)], s("const")).set(link=s("pack")), [[[1]]]),
    "of a chord that ends in a chain": (
        lambda: linked(chord([s("const", 1)], chain(s("const"), s("const"))), s("pack")),
        [[[1]]],
    ),
    "a chain": (lambda: linked(s("const", 1), chain(s("add", 1), s("pack"))), [[2]]),
    "a group": (lambda: linked(s("const", 1), group(s("pack", 1), s("pack", 2))), [[1, 1], [1, 2]]),
    "a chord": (lambda: linked(s("const", 1), chord([s("add", 1), s("add", 2)], s("pack"))), [[[2, 3]]]),
    "with a callback": (lambda: linked(s("const", 1), linked(s("add", 1), s("pack"))), [[2]]),
    "a dict": (lambda: linked(s("const", 1), json.loads(json.dumps(s("pack")))), [[1]]),
    "one for many": (linked_to_one, [[1], [2], [3]]),
}


@pytest.mark.parametrize("what", LINKED)
def test_a_success_callback_gets_the_result(what: str) -> None:
    """It runs once, after the task that it is linked to, with that task's result before its own arguments."""
    make, expected = LINKED[what]

    assert got(make(), "pack") == expected


def test_callbacks_are_no_part_of_the_result() -> None:
    """The canvas's value is the same with and without callbacks, and what follows it waits for the canvas only."""
    assert result_of(linked(s("const", 1), s("pack", 2))) == 1
    assert result_of(chain(linked(s("const", 1), s("pack")), s("add", 1))) == 2
    workflow = Workflow()
    workflow.add_celery_canvas(linked(s("const", 1), s("pack")))
    workflow.add_celery_canvas(s("const", 2))
    assert evaluate(workflow).result == [1, 2]


def test_a_callback_gets_the_result_also_where_the_canvas_passes_none() -> None:
    """`pass_results=False` is about the canvas; a callback is called as Celery calls it."""
    workflow = Workflow(pass_results=False)
    workflow.add_celery_canvas(chain(linked(s("const", 1), s("pack", "own")), s("const", 2)))

    assert ("pack", [1, "own"]) in evaluate(workflow).ran


def test_a_failing_callback_fails_nothing() -> None:
    """What follows in the callback is skipped, the workflow succeeds, and its result stands."""
    done = evaluate(imported(linked(s("const", 1), chain(fail(), named("add", "next", 1), named("add", "last", 1)))))

    assert (done.state.workflow_state, done.result) == (WorkflowState.SUCCESS, 1)
    assert [done.state.status(node) for node in ("bad", "next", "last")] == [
        Status.FAILED,
        Status.SKIPPED,
        Status.SKIPPED,
    ]


def test_a_callback_of_a_failing_task_is_skipped() -> None:
    """It neither runs nor fails."""
    done = evaluate(imported(linked(fail(), named("pack", "cb"))))

    assert (done.state.status("cb"), done.state.workflow_state) == (Status.SKIPPED, WorkflowState.FAILURE)


def test_a_shared_callback_is_not_changed() -> None:
    """A callback's signature gets no id, so the next canvas may have it too."""
    callback = s("pack")
    imported(linked(s("const", 1), callback))

    assert "task_id" not in callback.options
    assert result_of(linked(s("const", 1), callback)) == 1


# link_error

told = [["bad"]]
ERRED: dict[str, tuple[Callable[[], Any], list[list[Any]]]] = {
    "of a task": (lambda: erred(fail(), s("told")), told),
    "of a task, none fails": (lambda: erred(s("const", 1), s("told")), []),
    "bound": (lambda: erred(fail(), s("told", key="x")), told),
    "of a chain, the first fails": (lambda: erred(chain(fail(), s("add"), s("add")), s("told")), told),
    "of a chain, the middle fails": (lambda: erred(chain(s("const", 1), fail(), s("add")), s("told")), told),
    "of a chain, the last fails": (lambda: erred(chain(s("const", 1), s("add"), fail()), s("told")), told),
    "of a later step than fails": (lambda: chain(fail(), erred(s("add"), s("told")), s("add")), []),
    "of an earlier step than fails": (lambda: chain(erred(s("const", 1), s("told")), fail()), []),
    "of a step and of its chain": (lambda: erred(chain(s("const", 1), erred(fail(), s("told"))), s("told")), told),
    "of a joined chain": (lambda: erred(chain(s("const", 1), fail()), s("told")) | s("add"), told),
    "of a group, two fail": (
        lambda: erred(group(fail("b1"), s("const", 1), fail("b2")), s("told")),
        [["b1"], ["b2"]],
    ),
    "of a chord, one of the header fails": (
        lambda: erred(chord([s("const", 1), fail("b1")], named("add", "body")), s("told")),
        [["body"]],
    ),
    "of a chord, all of the header fail": (
        lambda: erred(chord([fail("b1"), fail("b2"), fail("b3")], named("add", "body")), s("told")),
        [["body"]],
    ),
    "of a chord, a chain in the header fails": (
        lambda: erred(chord([chain(fail("b1"), s("add"), s("add"))], named("add", "body")), s("told")),
        [["body"]],
    ),
    "of a chord, the body fails": (lambda: erred(chord([s("const", 1)], fail()), s("told")), told),
    "of a chord, a chain as the body fails late": (
        lambda: erred(chord([s("const", 1)], chain(s("const"), fail(), s("add"))), s("told")),
        told,
    ),
    "of a chord, the header fails before a chain": (
        lambda: erred(chord([fail("b1")], chain(named("add", "body"), s("add"), s("add"))), s("told")),
        [["body"]],
    ),
    "of a chord, the header fails before a group": (
        lambda: erred(chord([fail("b1")], group(named("add", "c1"), named("add", "c2"))), s("told")),
        [["c1"], ["c2"]],
    ),
    "of a chord, a chord in the header fails": (
        lambda: erred(chord([chain(chord([fail("b1")], s("add")), s("add"))], named("add", "body")), s("told")),
        [["body"]],
    ),
    "of a chord, what is before it fails": (
        lambda: chain(fail("b1"), erred(chord([s("add", 1), s("add", 2)], s("add")), s("told"))),
        [],
    ),
    "of a step after a group": (
        lambda: chain(group(fail("b1"), s("const", 1)), erred(named("add", "body"), s("told"))),
        [["body"]],
    ),
    "of a step after a group, what is before that fails": (
        lambda: chain(fail("b1"), group(s("add"), s("add")), erred(s("add"), s("told"))),
        [],
    ),
    "of a step after a chain that ends in a group": (
        lambda: chain(chain(s("const", 1), group(fail("b1"), s("const", 1))), erred(named("add", "body"), s("told"))),
        [["body"]],
    ),
    "of a chain with a chord": (
        lambda: erred(chain(s("const", 1), chord([s("const"), fail("b1")], named("add", "body")), s("add")), s("told")),
        [["body"]],
    ),
    "a chain": (lambda: erred(fail(), chain(s("told"), s("told"))), [["bad"], [["bad"]]]),
    "a dict": (lambda: erred(fail(), json.loads(json.dumps(s("told")))), told),
    "of a callback": (lambda: linked(s("const", 1), erred(fail(), s("told"))), told),
    "of a callback's later step": (lambda: linked(s("const", 1), chain(fail(), erred(s("add"), s("told")))), []),
    "of an error callback": (lambda: erred(fail("b1"), erred(si("fail"), s("told")).set(task_id="bad")), told),
}


@pytest.mark.parametrize("what", ERRED)
def test_an_error_callback_runs_once_for_each_failure(what: str) -> None:
    """It is told the id of the task that failed; that of its body for a chord whose header failed."""
    make, expected = ERRED[what]

    assert got(make(), "told") == expected


def test_an_immutable_error_callback_gets_its_own_arguments_only() -> None:
    """Whatever its style, it is a node that runs its own task."""
    assert got(erred(fail(), si("pack", "own")), "pack") == [["own"]]


def test_a_new_style_error_callback_is_called_with_what_failed() -> None:
    """A task of more than one argument is called by our own, which is given the failed task's request."""
    (((errback, request, failure),)) = got(
        chain(s("const", 1), erred(fail(), s("called", key="own")).set(queue="q", priority=3)), ERRBACK
    )

    assert errback == {"task": "called", "args": [], "kwargs": {"key": "own"}}
    assert (request["id"], request["task"], request["args"]) == ("bad", "fail", [1])
    assert request["root_id"] == request["parent_id"] != "bad"
    assert (failure["exc_type"], failure["exc_message"]) == ("Boom", ["boom"])


def test_a_new_style_error_callback_goes_where_the_failed_task_went() -> None:
    """Its own queue wins over that of the failed task."""
    for own, expected in ((s("called"), "q"), (s("called").set(queue="mine"), "mine")):
        done = evaluate(imported(erred(fail().set(queue="q"), own)))
        (call,) = (it for it in done.calls.values() if it.target == ERRBACK)
        assert (call.options["queue"], call.options["shadow"]) == (expected, "called")


STYLES: dict[str, tuple[Callable[[], Any], str]] = {
    "one argument": (lambda: s("told"), "told"),
    "three arguments": (lambda: s("called"), ERRBACK),
    "all but one given": (lambda: s("bound", "x"), "bound"),
    "bound": (lambda: s("bound"), "bound"),
    "a name that is not registered": (lambda: s("elsewhere"), ERRBACK),
}


@pytest.mark.parametrize("what", STYLES)
def test_the_style_is_decided_by_the_task(what: str) -> None:
    """As Celery does: by the arguments that are left, and never in place for a bound task."""
    make, expected = STYLES[what]
    _, calls = imported(erred(fail(), make())).build()

    assert [call.target for call in calls] == ["fail", expected]


def test_a_failing_error_callback_stops_no_other() -> None:
    """Each is a node of its own, and the failure that is told is the task's."""
    done = evaluate(imported(erred(fail(), named("fail_too", "worse"), s("told"))))

    assert ("told", ["bad"]) in done.ran
    assert done.state.first_failed == "bad"


def test_headers_get_error_callbacks_where_the_app_allows_it(app: Celery) -> None:
    """With `task_allow_error_cb_on_chord_header`, the chord in a chain hands them to its header, immutable."""
    app.conf.task_allow_error_cb_on_chord_header = True
    failing = chord([fail("b1"), s("const", 1), fail("b2")], named("add", "body"))

    assert got(_chain(s("const", 1), failing).set(link_error=s("pack", "own")), "pack") == [["own"], ["own"]]


def test_a_canvas_with_error_callbacks_is_refused_in_a_workflow_that_fails_fast() -> None:
    """Nothing may start after a failure there, and the repair is named."""
    workflow = Workflow(mode="fail_fast")

    with pytest.raises(UsageError, match=r"nothing start after a failure; write workflow\.on_error"):
        workflow.add_celery_canvas(erred(fail(), s("told")))
    assert len(workflow) == 0


@pytest.mark.parametrize("option", ["link", "link_error"])
def test_callbacks_among_the_options_of_the_start_are_refused(option: str) -> None:
    """They would be of every task; the error says where they belong."""
    with pytest.raises(UsageError, match=rf"canvas\.{option}\(callback\)"):
        imported(s("const", 1)).apply_async({option: s("told")})


def test_a_signature_added_by_hand_keeps_its_callbacks() -> None:
    """`add_signature` and `add` add them too; what they depend on must succeed for an error to be theirs."""
    workflow = Workflow()
    first = workflow.add_signature(erred(fail("b1"), s("told")))
    second = workflow.add(erred(named("const", "c", 1), s("told")), after=[first])

    done = evaluate(workflow)

    assert [args for name, args in done.ran if name == "told"] == [["b1"]]
    assert done.state.status(second.id) is Status.UPSTREAM_FAILED


@pytest.mark.parametrize("how", ["id", "trigger", "finally_"])
def test_callbacks_that_have_no_place_are_refused(how: str) -> None:
    """Nothing is added, and the error says what to write."""
    workflow = Workflow()
    sig = erred(s("const", 1), s("told"))

    with pytest.raises(UsageError, match="has callbacks"):
        workflow.finally_(sig) if how == "finally_" else workflow.add(
            sig, **{how: "all_done" if how == "trigger" else "x"}
        )
    assert len(workflow) == 0


@pytest.mark.parametrize("errback", ["told", "called", "elsewhere"])
def test_ids_that_were_made_up_do_not_tell_a_canvas_from_its_like(errback: str) -> None:
    """Two workflows of equal canvases are one definition, so starting one again under its id finds the first."""

    def digested() -> str:
        workflow = imported(chain(s("const", 1), erred(linked(s("add", 1), s("pack")), s(errback))))
        return digest(*workflow.build(), JSON_VALUES, workflow.generated)

    assert digested() == digested()


def test_callbacks_may_be_nested_as_deeply_as_one_likes() -> None:
    """A callback of a callback of a callback, five hundred deep, is no deeper for us than one."""
    callback: Any = {"task": "pack", "args": [], "kwargs": {}, "options": {}}
    for _ in range(500):
        callback = {"task": "const", "args": [], "kwargs": {}, "options": {"link": [callback]}}
    workflow = Workflow()
    workflow.add_celery_canvas({"task": "const", "args": [7], "kwargs": {}, "options": {"link": [callback]}})

    assert evaluate(workflow).ran[-1] == ("pack", [7])
