"""`celery_dyrygent.Workflow`: canvases and signatures side by side, and the result of it all."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord, group

from celery_dyrygent.workflows import Workflow
from dyrygent_core import Edge, UsageError
from tests.celery_dyrygent.evaluation import edges, evaluate, imported, named, s


def test_without_results_nothing_is_prepended() -> None:
    """As in celery-dyrygent: the order is the canvas's, arguments are the signatures' own."""
    workflow = Workflow(pass_results=False)
    workflow.add_celery_canvas(
        chain(named("pack", "a"), chord([named("pack", "b"), named("pack", "c")], named("pack", "d", 4))), args=(9,)
    )

    evaluated = evaluate(workflow)

    assert edges(workflow) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert evaluated.results == {"a": [9], "b": [], "c": [], "d": [4]}
    assert evaluated.result == [4]


def test_the_handles_of_the_last_nodes_are_returned() -> None:
    """They are what the next canvas depends on."""
    workflow = Workflow()

    first = workflow.add_celery_canvas(chain(named("const", "a", 1), group(named("pack", "b"), named("pack", "c"))))
    second = workflow.add_celery_canvas(chord([named("pack", "d")], named("pack", "e")), dependencies=first)

    assert [node.id for node in first] == ["b", "c"]
    assert [node.id for node in second] == ["e"]
    assert edges(workflow)["d"] == ("b", "c")
    assert evaluate(workflow).results["d"] == []


def test_dependencies_are_handles_ids_edges_and_lists_of_them() -> None:
    """They hold for each of a canvas's first nodes, and bring no results."""
    workflow = Workflow()
    one, two, three = (workflow.add_signature(named("const", name, name)) for name in "abc")

    last = workflow.add_celery_canvas(group(named("pack", "x"), named("pack", "y")), [[one, "b"], Edge("c", "done")])

    graph = workflow.build()[0].graph
    assert (one.id, two.id, three.id) == ("a", "b", "c")
    assert graph.node("x").depends_on == graph.node("y").depends_on == (Edge("a"), Edge("b"), Edge("c", "done"))
    assert [node.id for node in last] == ["x", "y"]
    with pytest.raises(UsageError, match="not 'int'"):
        workflow.add_celery_canvas(s("pack"), 5)  # type: ignore[arg-type]


def test_an_empty_canvas_returns_what_it_depends_on() -> None:
    """So that a list of canvases can be lined up, whichever of them are empty."""
    workflow = imported(named("const", "a", 1))

    assert [it.id for it in workflow.add_celery_canvas(group([]), dependencies=["a"])] == ["a"]
    assert [it.id for it in workflow.add_celery_canvas(chord([], named("pack", "z")), "a")] == ["z"]
    assert edges(workflow) == {"a": (), "z": ("a",)}


def test_the_result_of_several_canvases_is_their_list() -> None:
    """In the order in which they were added, without those that another waits for."""
    apart, in_line = Workflow(), Workflow()
    for canvas in (group(s("const", 1), s("const", 2)), s("const", 3)):
        apart.add_celery_canvas(canvas)
    first = in_line.add_celery_canvas(s("const", 1))
    in_line.add_celery_canvas(group(s("const", 2), s("const", 3)), first)

    assert evaluate(apart).result == [[1, 2], 3]
    assert evaluate(in_line).result == [2, 3]


def test_with_nodes_by_hand_the_result_is_that_of_the_sinks() -> None:
    """As in the core; and `returns` wins over everything."""
    workflow = Workflow()
    last = workflow.add_celery_canvas(group(named("const", "a", 1), named("const", "b", 2)))
    workflow.add_signature(named("const", "c", 3))
    assert evaluate(workflow).result == {"a": 1, "b": 2, "c": 3}

    end = workflow.add(s("pack", last[0].result, last[1].result), after=["c"], id="end")
    assert evaluate(workflow).result == [1, 2]

    workflow.returns({"end": end.result, "a": last[0].result})
    assert evaluate(workflow).result == {"end": [1, 2], "a": 1}


def test_a_signature_by_hand_gets_its_own_arguments_only() -> None:
    """Whatever it depends on; its id is frozen into it."""
    workflow = Workflow()
    one = workflow.add_signature(s("const", 1))
    task = s("pack", 2)

    handle = workflow.add_signature(task, [one])

    assert handle.id == task.id
    assert evaluate(workflow).result == [2]
    with pytest.raises(UsageError, match="add_celery_canvas"):
        workflow.add_signature(chain(s("const", 1), s("pack")))


def test_add_takes_signatures_with_results_in_their_arguments() -> None:
    """The node is called by the task id, or by the id that is given."""
    workflow = Workflow()
    user = workflow.add(s("const", {"id": 7}), id="user")
    task = s("pack", user.result["id"]).set(queue="q")

    handle = workflow.add(task, allow_failure=True)

    definition, calls = workflow.build()
    assert (handle.id, calls[1].options, definition.graph.node(task.id).allow_failure) == (
        task.id,
        {"queue": "q"},
        True,
    )
    assert definition.engine_named == {task.id}
    assert evaluate(workflow).result == [7]
    with pytest.raises(UsageError, match="drop one"):
        workflow.add(task, id="other")
    with pytest.raises(UsageError, match="not a 'str'"):
        workflow.add("pack")  # type: ignore[arg-type]


def test_callbacks_are_nodes_that_are_added_by_hand() -> None:
    """One gets the value, and its own failure is allowed; the other waits for the failure of a task by its id."""
    workflow = Workflow()
    (last,) = workflow.add_celery_canvas(chain(named("const", "a", 1), s("pack", 2)))
    callback = workflow.add(s("pack", last.result), allow_failure=True)
    workflow.add(named("const", "errback", 0), after=[Edge("a", "failed")])
    workflow.returns(last.result)

    evaluated = evaluate(workflow)

    assert (evaluated.result, evaluated.results[callback.id]) == ([1, 2], [[1, 2]])
    assert "errback" not in evaluated.results


@pytest.mark.parametrize("options", ["shop", ["queue"], 3])
def test_a_name_in_the_place_of_options_is_refused(options: Any) -> None:
    """As in the predecessor the first argument is Celery's options; a name is given by name."""
    with pytest.raises(UsageError, match=r"options are a mapping of Celery's options, .*Workflow\(name=…\)"):
        Workflow(options)
