"""celery-dyrygent's workflows before they start: nodes, simulated ticks, skipping, limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from celery.exceptions import Retry

from celery_dyrygent import register_workflow_processor, registered
from celery_dyrygent.celery import entities, inspect
from celery_dyrygent.workflows import Workflow, WorkflowException, WorkflowNode, WorkflowState
from dyrygent_core import CycleError, UsageError
from dyrygent_core.errors import DuplicateNodeError, UnknownNodeError
from tests.celery_dyrygent.evaluation import diamond, edges, evaluate, named, s

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "celery_dyrygent-0.8.0-workflows.json"


# Nodes


def test_a_node_tells_what_it_is() -> None:
    """Its id is the signature's, its signature is the user's own, and handles made later say the same."""
    workflow = Workflow()
    frozen, other = s("pack", 1), s("pack", 2)
    frozen.freeze()

    node = workflow.add_signature(frozen)
    later = workflow.add_signature(other, [node])

    assert (node.id, later.id) == (frozen.id, other.id)
    assert node.signature is frozen
    assert (node.dependencies, later.dependencies) == ({}, {node.id: None})
    node.custom_payload["user_id"] = 7
    assert workflow.nodes[node.id].custom_payload == {"user_id": 7}
    later.custom_payload = {"user_id": 8}
    assert [it.custom_payload for it in workflow.nodes.values()] == [{"user_id": 7}, {"user_id": 8}]
    assert (list(workflow.nodes), len(workflow.nodes), workflow.nodes.get("x")) == ([node.id, later.id], 2, None)


def test_each_kind_of_canvas_has_a_method() -> None:
    """They return the nodes to wait for, as `add_celery_canvas` does, and refuse another kind."""
    workflow = Workflow(pass_results=False)

    (first,) = workflow.add_celery_signature(named("pack", "a"))
    two = workflow.add_celery_group(group(named("pack", "b"), named("pack", "c")), [first])
    (body,) = workflow.add_celery_chord(chord([named("pack", "d")], named("pack", "e")), two)
    (last,) = workflow.add_celery_chain(chain(named("pack", "f"), named("pack", "g")), [body])

    assert edges(workflow) == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "d": ("b", "c"),
        "e": ("d",),
        "f": ("e",),
        "g": ("f",),
    }
    assert last.id == "g"
    with pytest.raises(WorkflowException, match="takes a chain, not a signature; add_celery_canvas takes both"):
        workflow.add_celery_chain(s("pack"))
    assert len(workflow) == 7


def test_a_dependency_is_added_once() -> None:
    """Twice, to the node itself, or to a node of another workflow it is refused, and nothing changes."""
    _, (a, b, _, d) = diamond()
    elsewhere = Workflow().add_signature(named("pack", "elsewhere"))
    d.add_dependency(a)

    for wrong, why in ((b, "waits for 'b' already"), (d, "cannot wait for itself"), (elsewhere, "not a node of the")):
        with pytest.raises(WorkflowException, match=why):
            d.add_dependency(wrong)
    with pytest.raises(WorkflowException, match="the options of a dependency"):
        a.add_dependency(d, {"times": 2})
    with pytest.raises(WorkflowException, match="not 'int'"):
        a.add_dependency(5)  # type: ignore[arg-type]
    assert d.dependencies == {"b": None, "c": None, "a": None}
    assert a.dependencies == {}


def test_a_dependency_may_have_a_condition() -> None:
    """As `node.done`, or in the options, which the predecessor kept for that."""
    workflow, (a, b, _, d) = diamond()
    b.add_dependency(workflow.add_signature(named("pack", "x")), {"condition": "failed"})
    d.add_dependency(a.done)

    assert b.dependencies == {"a": None, "x": {"condition": "failed"}}
    assert d.dependencies["a"] == {"condition": "done"}


def test_a_cycle_is_told_with_its_path() -> None:
    """When the workflow is built, simulated or written down; until then it may be mended."""
    workflow, (a, _, _, d) = diamond()
    a.add_dependency(d)

    for action in (workflow.build, workflow.simulate_tick, workflow.to_dict):
        with pytest.raises(CycleError, match=r"'a' -> '\w'"):
            action()


def test_a_signature_is_added_once() -> None:
    """Its id names one node; the predecessor's exception catches it too."""
    workflow = Workflow()
    task = s("pack")
    workflow.add_signature(task)

    with pytest.raises(DuplicateNodeError):
        workflow.add_signature(task)
    with pytest.raises(WorkflowException, match="already in the workflow"):
        workflow.add_signature(task)
    assert len(workflow) == 1


def test_a_node_may_be_made_without_a_workflow() -> None:
    """It needs a frozen signature, and goes through a dict and back."""
    one, two = WorkflowNode(named("pack", "one", 1)), WorkflowNode(named("pack", "two"))
    two.add_dependency(one)
    two.custom_payload["user_id"] = 7

    written = json.loads(json.dumps(two.to_dict()))
    again = WorkflowNode.from_dict(written)

    assert json.loads(json.dumps(again.to_dict())) == written
    assert (again.id, again.dependencies, again.custom_payload) == ("two", {"one": None}, {"user_id": 7})
    assert isinstance(again.signature, entities.Signature)
    with pytest.raises(WorkflowException, match=r"'pack' has no task id; call its freeze\(\)"):
        WorkflowNode(s("pack"))
    with pytest.raises(WorkflowException, match="not a 'str'"):
        WorkflowNode("pack")  # type: ignore[arg-type]
    with pytest.raises(WorkflowException, match="already"):
        two.add_dependency("one")


def test_options_that_are_set_on_a_nodes_signature_count() -> None:
    """Those of its place stay; arguments and what follows it are refused, since they were read when it was added."""
    workflow = Workflow()
    workflow.add_celery_canvas(chain(s("const", 1), s("pack", 2).set(queue="old", priority=3)))
    last = list(workflow.nodes.values())[-1]
    last.signature.set(queue="new")
    del last.signature.options["priority"]

    call = workflow.build()[1][1]
    assert (call.options["queue"], "priority" in call.options, "root_id" in call.options) == ("new", False, True)
    assert evaluate(workflow).result == [1, 2]

    last.signature.set(link=s("pack"))
    with pytest.raises(UsageError, match="'link' was set on the signature"):
        workflow.build()
    del last.signature.options["link"]
    last.signature.args = (9,)
    with pytest.raises(UsageError, match=r"the arguments of node .* were changed"):
        workflow.build()


def test_nodes_of_calls_have_signatures_too() -> None:
    """Made from what they run; results stand there as None, and a frozen canvas's nodes have ones like its own."""
    workflow = Workflow()
    user = workflow.add(s("const", 1), id="user")
    node = workflow.add(s("pack", user.result, 2).set(queue="q"), id="node")
    frozen = chain(named("pack", "a", 1), named("pack", "b", 2))
    workflow.add_celery_canvas(frozen)

    assert (node.signature.args, node.signature.id) == ((None, 2), node.id)
    assert workflow.nodes["user"].signature.task == "const"
    assert workflow.nodes["a"].signature.args == (1,)
    assert isinstance(user, WorkflowNode)
    assert isinstance(workflow.finally_(s("pack")), WorkflowNode)


# The task


def test_the_processor_may_have_another_name_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen workflows go to it, and registering twice is registering once."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    bare = Celery("bare", broker="memory://", set_as_current=False)
    with pytest.raises(WorkflowException, match=r"call register_workflow_processor\(app\)"):
        Workflow().freeze()

    first = register_workflow_processor(bare, name="conductor", rate_limit="9/s")
    again = register_workflow_processor(bare, name="conductor", rate_limit="9/s")

    workflow, _ = diamond()
    signature = workflow.freeze()
    assert (first.name, again.name, signature.task) == ("conductor", "conductor", "conductor")
    assert (signature.id, signature.type.rate_limit) == (workflow.id, "9/s")
    assert workflow.freeze().id == workflow.id
    Workflow.set_workflow_processor_task(first)
    assert Workflow.workflow_processor_task is first


def test_the_workflows_options_are_those_of_the_message_that_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen workflow goes where its options say."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    register_workflow_processor(Celery("bare", broker="memory://", set_as_current=False))
    workflow = Workflow({"queue": "slow", "priority": 7})

    assert workflow.freeze().options == {"queue": "slow", "priority": 7, "task_id": workflow.id}


def test_a_frozen_workflow_that_the_journal_is_away_for_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is not lost: the processor tries again, for as long as it takes."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    app = Celery("away", broker="memory://", backend="redis://127.0.0.1:1/0", set_as_current=False)
    processor = register_workflow_processor(app)
    workflow, _ = diamond()
    given = {"workflow_dict": workflow.to_dict()}
    processor.push_request(called_directly=False, is_eager=True, id="w", retries=9, args=(), kwargs=given)

    try:
        with pytest.raises(Retry, match="JournalUnavailableError"):
            processor.run(**given)
    finally:
        processor.pop_request()


# Trying it out


def test_a_workflow_is_simulated_tick_by_tick() -> None:
    """What ran in the last tick is done in the next; nothing is started."""
    workflow, _ = diamond()
    seen = []

    while workflow.simulate_tick():
        seen.append((set(workflow.running), dict(workflow.finished)))

    assert seen == [
        ({"a"}, {}),
        ({"b", "c"}, {"a": True}),
        ({"d"}, {"a": True, "b": True, "c": True}),
    ]
    assert (workflow.running, set(workflow.finished), workflow.is_success()) == ({}, {"a", "b", "c", "d"}, True)
    assert (workflow.state, workflow.id, workflow.simulate_tick()) == (WorkflowState.INITIAL, None, False)


def test_a_simulation_follows_the_rules_of_the_core() -> None:
    """A node that waits for a failure is skipped, a mapped one has an element, and finalizers come last."""
    workflow, (a, *_) = diamond()
    workflow.add(s("pack"), id="errback", after=[a.failed])
    workflow.add(s("pack"), id="mapped", each=a)
    workflow.finally_(s("pack"), id="final")

    ticks = []
    while workflow.simulate_tick():
        ticks.append(sorted(workflow.running))

    assert ticks == [["a"], ["b", "c", "mapped"], ["d"], ["final"]]
    assert workflow.finished["errback"]


def test_dependencies_are_iterated_in_the_order_of_ids() -> None:
    """One pair for each edge; a node without dependencies stands with None."""
    workflow, _ = diamond()

    pairs = [(node.id, other and other.id) for node, other in workflow.iterate_dependencies()]

    assert pairs == [("a", None), ("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")]
    assert [node.id for node in workflow.get_signatures_to_run()] == ["a"]
    workflow.simulate_tick()
    assert workflow.get_unlocked_dependencies() == set()
    workflow.simulate_tick()
    assert (workflow.get_unlocked_dependencies(), workflow.get_signatures_to_run()) == ({"a"}, [])


def test_tasks_that_are_skipped_count_as_done() -> None:
    """What waits for them waits no longer, and gets None for their results; their order is free."""
    workflow = Workflow()
    last = workflow.add_celery_canvas(chain(named("const", "a", 1), named("const", "b", 2), named("pack", "c", 3)))

    workflow.skip_tasks(["b", "a"])

    assert (workflow.finished, edges(workflow)) == ({"a": True, "b": True}, {"c": ()})
    assert evaluate(workflow).result == [None, 3]
    assert workflow.simulate_tick()
    assert workflow.running == {last[0].id: 1}
    workflow.skip_tasks([])
    assert len(edges(workflow)) == 3


def test_tasks_are_skipped_with_all_that_they_wait_for() -> None:
    """Others are refused, and so is an unknown one, and one whose failure somebody waits for; nothing changes."""
    workflow, (a, *_) = diamond()
    workflow.skip_tasks(["a"])

    with pytest.raises(WorkflowException, match=r"'d' cannot be taken for done, since it waits for '[bc]'"):
        workflow.skip_tasks(["a", "d"])
    with pytest.raises(UnknownNodeError, match="'x' is not in the graph"):
        workflow.skip_tasks(["x"])
    workflow.add(s("pack"), id="errback", after=[a.failed])
    with pytest.raises(WorkflowException, match="'errback' asks for 'failed' of it"):
        workflow.skip_tasks(["a"])
    assert workflow.finished == {"a": True}


# Limits


def test_limits_are_the_predecessors() -> None:
    """Seven days, and a random wait of 10 to 30 seconds that nothing here waits for."""
    workflow = Workflow()
    assert (workflow.max_processing_time, workflow.retry_policy) == (7 * 86_400, ["random", 10, 30])
    assert {workflow.get_retry_countdown() for _ in range(500)} <= set(range(10, 31))

    workflow.set_retry_policy("random", 3, 3)
    workflow.set_max_processing_time(60)

    assert workflow.get_retry_countdown() == 3
    assert workflow.build()[0].graph.deadline_ms == 60_000
    workflow.check_processing_time()
    workflow.processing_limit_ts = 1
    with pytest.raises(WorkflowException, match="takes longer than"):
        workflow.check_processing_time()
    for wrong in (("fixed", 1, 2), ("random", 1), ("random", 5, 2), ("random", 0, 2)):
        with pytest.raises(WorkflowException, match="retry policy"):
            workflow.set_retry_policy(*wrong)  # type: ignore[arg-type]
    with pytest.raises(WorkflowException):
        workflow.set_max_processing_time(0)
    assert (workflow.retry_policy, workflow.max_processing_time) == (["random", 3, 3], 60)


def test_the_steps_of_the_processor_say_what_to_do_instead() -> None:
    """Those that acted are refused; before the start so is a turn."""
    workflow, (a, *_) = diamond()
    for step in (
        workflow.update_pending,
        workflow.check_consecutive_fails,
        lambda: workflow.set_state("SUCCESS"),
        lambda: workflow.schedule_node_exec(a),
        lambda: workflow.reschedule_node_exec(a),
    ):
        with pytest.raises(WorkflowException, match="was a step of celery-dyrygent's processor"):
            step()
    with pytest.raises(WorkflowException, match=r"call apply_async\(\) first"):
        workflow.tick()


def test_canvases_are_looked_into_as_before() -> None:
    """The helpers of `celery.inspect` give the parts of chains, groups and chords."""
    one, two = named("pack", "1"), named("pack", "2")

    assert inspect.get_chain_tasks(entities.Chain(one, two)) == (one, two)
    assert list(inspect.get_group_tasks(entities.Group([one, two]))) == [one, two]
    body, header = inspect.get_chord_tasks(entities.Chord([one], two))
    assert (body, list(header)) == (two, [one])


# Signals


def test_signals_are_those_of_the_readme_and_one_more() -> None:
    """A handler is called with the workflow and the payload; another name is refused, and a failure is swallowed."""
    calls: list[tuple[Any, Any]] = []
    hooks = Workflow.hooks["on_finish"]
    before = list(hooks)

    try:

        @Workflow.connect("on_finish")
        def fails(_workflow: Workflow, _payload: object) -> None:
            raise ValueError

        @Workflow.connect("on_finish")
        def handler(workflow: Workflow, payload: object) -> None:
            calls.append((workflow, payload))

        workflow = Workflow()
        workflow.emit("on_finish", 5)
    finally:
        hooks[:] = before

    assert callable(fails)
    assert calls == [(workflow, 5)]
    assert sorted(Workflow.hooks) == ["after_active_tick", "after_turn", "on_finish", "on_state_change"]
    with pytest.raises(WorkflowException, match="there is no signal 'on_start'; there are after_active_tick"):
        Workflow.connect("on_start")


# Beside the predecessor


def rival(folder: Path, *files: str) -> Path:
    """Install something under the predecessor's name."""
    information = folder / "celery_dyrygent-0.8.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: celery-dyrygent\nVersion: 0.8.0\n")
    (information / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    return folder


def import_beside(folder: Path) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.path.append({str(folder)!r}); import celery_dyrygent"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_the_predecessor_cannot_be_installed_beside_it(tmp_path: Path) -> None:
    """The import says that files are mixed, and what to run; of that name without the package one is fine."""
    refused = import_beside(rival(tmp_path / "rival", "celery_dyrygent/__init__.py"))
    welcome = import_beside(rival(tmp_path / "shim", "something_else.py"))

    assert refused.returncode == 1
    assert "ImportError: celery-dyrygent 0.8.0 is installed beside dyrygent" in refused.stderr
    assert "pip uninstall celery-dyrygent" in refused.stderr
    assert (welcome.returncode, welcome.stderr) == (0, "")


def test_the_package_named_celery_is_not_celery() -> None:
    """`celery_dyrygent.celery` shadows nothing: Celery's own package is found by everybody."""
    import celery  # noqa: PLC0415  # what this is about

    import celery_dyrygent.celery as ours  # noqa: PLC0415

    assert celery.Celery is entities.Celery
    assert ours is not celery
    assert issubclass(entities.Chain, Signature)
