"""`add_celery_canvas`: the arguments, options and ids of the nodes."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from celery import chain, chord, group
from celery.canvas import StampingVisitor, _chain

from celery_dyrygent.workflows import Workflow
from tests.celery_dyrygent.evaluation import edges, evaluate, imported, named, result_of, s, si


def test_given_arguments_go_to_the_first_tasks() -> None:
    """To a chain's first task, before its own; given keyword arguments win; later tasks get none."""
    canvas = chain(s("packkw", 1, a=0, b=0), s("packkw"))

    assert result_of(canvas, args=(8, 9), kwargs={"a": 5}) == [[[[8, 9, 1], {"a": 5, "b": 0}]], {}]


def test_given_arguments_go_to_each_member_and_header_but_no_body() -> None:
    """A leading group's members and a leading chord's header, nested or not."""
    assert result_of(group(s("pack", 1), group(s("pack", 2))), args=(9,)) == [[9, 1], [9, 2]]
    assert result_of(chord([s("pack", 1), s("pack", 2)], s("packkw")), args=(9,), kwargs={}) == [[[[9, 1], [9, 2]]], {}]
    assert result_of(chain(chord([s("packkw")], s("packkw")), s("packkw")), kwargs={"a": 1})[0][0][0] == [
        [[[], {"a": 1}]]
    ]


def test_given_arguments_pass_empty_steps_and_immutable_tasks_by() -> None:
    """The first task that is there gets them; an immutable one does not."""
    assert result_of(_chain(group([]), _chain(), s("pack", 1)), args=(9,)) == [9, 1]
    assert result_of(chain(si("pack", 1), s("pack", 2)), args=(9,), kwargs={"a": 1}) == [[1], 2]


def test_a_chords_own_arguments_go_to_its_header() -> None:
    """Those that `clone` and the chord's maker left in it."""
    cloned = chord([s("pack", 1)], s("pack", "b")).clone(args=(10,))
    made = chord([s("packkw", 1)], s("pack", "b"), kwargs={"kwargs": {"a": 1}})

    assert result_of(cloned) == [[[10, 1]], "b"]
    assert result_of(made, kwargs={"b": 2}) == [[[[1], {"a": 1, "b": 2}]], "b"]


def test_options_stay_and_what_belongs_to_celerys_own_flow_goes() -> None:
    """What says how a task is sent is kept; what would start Celery's canvas beside ours is not."""
    kept = {"queue": "q", "priority": 3, "countdown": 2, "headers": {"h": [1]}, "time_limit": 5, "serializer": "json"}
    task = s("const", 1).set(**deepcopy(kept))
    canvas = chord([task, s("const", 2)], s("pack").set(priority=9))
    canvas.freeze()
    task_id = canvas.tasks.tasks[0].id

    workflow = imported(canvas)

    calls = evaluate(workflow).calls
    assert calls[task_id].options == {**kept, "root_id": task_id}
    assert calls[canvas.body.id].options == {"priority": 9, "root_id": task_id, "parent_id": task_id}


def test_nothing_of_the_options_is_shared() -> None:
    """Changing a signature afterwards changes no call."""
    task = s("const", [1]).set(headers={"h": [1]}, task_id="a")
    workflow = imported(task)
    task.args[0].append(2)
    task.options["headers"]["h"].append(2)

    (call,) = workflow.build()[1]
    assert (call.inputs.value["args"], call.options["headers"]) == ([[1]], {"h": [1]})


def test_options_of_containers_reach_their_tasks_as_in_celery() -> None:
    """A group's go to all members, a chord's to header and body but for its delay, a chain's to its first task."""
    grouped = imported(group(named("const", "a", 1).set(queue="own"), named("const", "b", 1), queue="q"))
    spread = imported(
        chord([named("const", "a", 1)], named("pack", "z")).set(queue="q", countdown=3, interval=1, task_id="z2")
    )
    chained = imported(_chain(named("const", "a", 1), named("pack", "b")).set(queue="q"))

    def options(workflow: Workflow) -> dict[str, Any]:
        return {
            node: {key: value for key, value in call.options.items() if not key.endswith("_id")}
            for node, call in evaluate(workflow).calls.items()
        }

    assert options(grouped) == {"a": {"queue": "q"}, "b": {"queue": "q"}}
    assert options(spread) == {"a": {"queue": "q", "countdown": 3}, "z": {"queue": "q"}}
    assert options(chained) == {"a": {"queue": "q"}, "b": {}}


def test_stamps_travel() -> None:
    """The names of the stamps and the stamps, in the options of each task."""

    class Stamp(StampingVisitor):  # type: ignore[misc]  # Celery has no types
        def on_signature(self, sig: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG002
            return {"who": "me"}

    canvas = group(named("const", "a", 1), named("const", "b", 2))
    canvas.stamp(Stamp())

    for call in imported(canvas).build()[1]:
        assert (call.options["who"], call.options["stamped_headers"]) == ("me", ["who"])


def test_an_id_set_on_a_chain_or_chord_is_its_last_tasks() -> None:
    """A group's is an id of the group, and no task's."""
    assert list(edges(imported(_chain(named("const", "a", 1), s("pack"), group([])).set(task_id="z")))) == ["a", "z"]
    assert list(edges(imported(chord([named("const", "a", 1)], s("pack")).set(task_id="z")))) == ["a", "z"]
    assert "g" not in imported(group(s("const", 1), s("const", 2)).set(task_id="g"))
    assert list(edges(imported(_chain(s("const", 1)).set(task_id="a")))) == ["a"]


def test_the_users_signature_gets_the_id_of_its_first_place() -> None:
    """Further places have ids of their own; nothing but the id is left in the options."""
    task = s("const", 1).set(queue="q")
    workflow = Workflow()

    handles = workflow.add_celery_canvas(group(task, task, task))

    first, second, third = (handle.id for handle in handles)
    assert task.options == {"queue": "q", "task_id": first}
    assert len({first, second, third}) == 3
    assert workflow.generated == {first, second, third}


def test_a_set_id_is_kept_by_the_first_place_only() -> None:
    """The same signature twice is two nodes."""
    task = named("const", "mine", 1)
    workflow = imported(group(task, task))

    assert len(workflow) == 2
    assert "mine" in workflow
    assert "mine" not in workflow.generated


def test_one_group_in_two_places_runs_twice() -> None:
    """Signatures are values."""
    shared = group(s("const", 1), s("const", 2))
    canvas = group(chord(shared, s("pack", "a")), chord(shared, s("pack", "b")))

    assert result_of(canvas) == [[[1, 2], "a"], [[1, 2], "b"]]


def test_nothing_but_the_id_changes_in_a_canvas() -> None:
    """Containers are left as they are; plain dicts too."""
    canvas = chord([s("const", 1), dict(s("const", 2))], chain(s("pack"), group(s("pack", 1), s("pack", 2))))
    before = json.loads(json.dumps(canvas))

    imported(canvas)

    after = json.loads(json.dumps(canvas), object_hook=_without_id)
    assert after == before


def _without_id(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "task_id"}


def test_root_and_parent_are_as_celery_tells_them() -> None:
    """The root is the first task; the parent is the task before, for a body the first of its header."""
    canvas = _chain(
        named("const", "a", 1),
        named("pack", "b"),
        group(named("pack", "c"), named("pack", "d")),
        named("pack", "e"),
    )

    assert _ids(canvas) == {"a": ("a", None), "b": ("a", "a"), "c": ("a", "b"), "d": ("a", "b"), "e": ("a", "c")}


def test_each_member_of_a_leading_group_is_its_own_root() -> None:
    """What follows has the root of its parent."""
    canvas = chord([named("const", "a", 1), chain(named("const", "b", 1), named("pack", "c"))], named("pack", "z"))

    assert _ids(canvas) == {"a": ("a", None), "b": ("b", None), "c": ("b", "b"), "z": ("a", "a")}


def _ids(canvas: Any) -> dict[str, tuple[str, str | None]]:
    calls = evaluate(imported(canvas)).calls
    return {node: (call.options["root_id"], call.options.get("parent_id")) for node, call in calls.items()}
