"""Listeners: what they are told, in which order, by whom, and that they harm nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from attrs import define, field

from dyrygent_core import Attempt, Lost, RerunRequested, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_runtime import Conductor, Run
from dyrygent_runtime.faults import FaultPoint, nothing
from dyrygent_runtime.listeners import NodeChanged, Notification, TurnTaken, WorkflowChanged
from dyrygent_runtime.reports import returned
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.shapes import chain


def told(notification: Notification) -> str:
    """Say a notification in a few words."""
    match notification:
        case NodeChanged(node=node, status=status, attempt=attempt):
            number = "" if attempt is None or attempt.number == 1 else f" {attempt.number}"
            return f"{node} {status.name}{number}"
        case WorkflowChanged(state=state, round=number, is_paused=is_paused):
            return f"{state.name} in round {number}{', paused' if is_paused else ''}"
        case TurnTaken(entries=entries, emitted=emitted):
            return f"turn of {[it.position for it in entries]}: {[it.node for it in emitted]}"


def listen(world: World) -> list[str]:
    """Have this world's own process tell what it does."""
    heard: list[str] = []
    world.conductor.listeners.add(lambda it: heard.append(told(it)))
    return heard


def take(heard: list[str]) -> list[str]:
    taken = [*heard]
    heard.clear()
    return taken


def test_a_workflow_is_told_from_its_start_to_its_end(world: World) -> None:
    """Of each entry the nodes come first, by number, then the whole; the turn comes last."""
    heard = listen(world)

    run = world.start(chain("a", "b"))
    assert take(heard) == ["a SCHEDULED", "RUNNING in round 1", "turn of [1]: ['a']"]
    world.succeed(run, "a", value=1)
    assert take(heard) == ["a SUCCEEDED", "b SCHEDULED", "turn of [2]: ['b']"]
    world.succeed(run, "b", value=1)

    assert take(heard) == ["b SUCCEEDED", "SUCCESS in round 1", "turn of [3]: []"]


def test_what_a_failure_decides_is_told_with_it(world: World) -> None:
    """Every node that an entry makes final is told of, also far below."""
    run = world.start(chain("a", "b", "c"))
    heard = listen(world)

    world.fail(run, "a")

    failed = ["a FAILED", "b UPSTREAM_FAILED", "c UPSTREAM_FAILED", "FAILURE in round 1"]
    assert take(heard) == [*failed, "turn of [2]: []"]
    world.observe(run, RerunRequested())
    assert take(heard) == [
        "a SCHEDULED 2",
        "b WAITING 2",
        "c WAITING 2",
        "RUNNING in round 2",
        "turn of [3]: ['a']",
    ]


def test_another_attempt_is_told_though_the_status_stays(world: World) -> None:
    """A lost attempt is followed by the next one at once."""
    run = world.start(chain("a"))
    heard = listen(world)

    world.observe(run, Lost(Attempt("a")))

    assert take(heard) == ["a SCHEDULED 2", "turn of [2]: ['a']"]


def test_a_pause_is_told(world: World) -> None:
    """That nothing may start changes the whole, and no node."""
    run = world.start(chain("a"))
    heard = listen(world)

    run.pause()
    run.resume()

    assert take(heard) == [
        "RUNNING in round 1, paused",
        "turn of [2]: []",
        "RUNNING in round 1",
        "turn of [3]: []",
    ]


def test_of_a_map_the_node_is_told_and_not_its_instances(world: World) -> None:
    """A mapped node is told as a whole, without an attempt; the turn has the instances."""
    workflow = Workflow()
    listed = workflow.add(call("list"), id="list")
    workflow.add(call("x"), each=listed, id="mapped")
    run = world.start(workflow)
    heard = listen(world)
    told_attempts: list[Any] = []
    world.conductor.listeners.add(lambda it: told_attempts.append(getattr(it, "attempt", "none")))

    listing, results = returned(Attempt("list"), [1, 2], JSON_VALUES, is_kept=True, measure=[()])
    world.conductor.turn(run.key, [listing], results=results)
    assert take(heard) == ["list SUCCEEDED", "mapped SCHEDULED", "turn of [2]: ['mapped', 'mapped']"]
    assert told_attempts == [Attempt("list"), None, "none"]
    world.observe(run, Succeeded(Attempt("mapped", 0)))
    assert take(heard) == ["turn of [3]: []"]
    world.observe(run, Succeeded(Attempt("mapped", 1)))

    assert take(heard) == ["mapped SUCCEEDED", "SUCCESS in round 1", "turn of [4]: []"]


def test_a_large_graph_is_told_by_the_pages_that_differ(world: World) -> None:
    """Also where statuses take several pages, exactly the nodes that changed are told."""
    workflow = Workflow()
    first = workflow.add(call("n"), id="n0")
    for number in range(1, 20_000):
        workflow.add(call("n"), id=f"n{number}", after=first if number in {9_000, 19_999} else [])
    world.engine.is_down = True
    run = world.start(workflow)
    heard = listen(world)

    world.observe(run, Succeeded(Attempt("n0")))

    assert take(heard) == [
        "n0 SUCCEEDED",
        "n9000 SCHEDULED",
        "n19999 SCHEDULED",
        "turn of [2]: ['n9000', 'n19999']",
    ]


# By whom


def test_only_the_owner_tells(world: World) -> None:
    """What another process appended is not told here, and what counted for nothing is told as a turn alone."""
    run = world.start(chain("a", "b"))
    heard = listen(world)

    world.process().turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})
    world.conductor.refresh(run.key)
    assert take(heard) == []
    world.observe(run, Succeeded(Attempt("a")))

    assert take(heard) == ["turn of [3]: []"]


@define
class Notes:
    """Notes in which order things happen to an engine and a listener."""

    order: list[str] = field(factory=list[str])

    def __call__(self, notification: Notification) -> None:
        self.order.append(told(notification))

    def reach(self, point: FaultPoint) -> None:
        if point in {FaultPoint.AFTER_APPEND, FaultPoint.AFTER_MARK, FaultPoint.BEFORE_PUBLISH}:
            self.order.append(point.value)


def test_they_are_told_between_the_sending_and_the_end(world: World) -> None:
    """A turn appends, sends and marks, then tells, and then publishes the workflow's end."""
    run = world.start(chain("a", "b"))
    notes = Notes()
    conductor = Conductor(
        world.journal, world.engine, settings=world.settings, clock=world.clock, reach=notes.reach, listeners=[notes]
    )

    conductor.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})
    conductor.turn(run.key, [Succeeded(Attempt("b"))], results={Attempt("b"): b"1"})

    assert notes.order == [
        "after_append",
        "after_mark",
        *["a SUCCEEDED", "b SCHEDULED", "turn of [2]: ['b']"],
        "after_append",
        *["b SUCCEEDED", "SUCCESS in round 1", "turn of [3]: []"],
        "before_publish",
    ]


def test_what_a_dead_process_did_is_told_by_nobody(world: World) -> None:
    """A crash loses notifications, for they are hints; the workflow goes on all the same."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    heard = listen(world)
    seen = world.conductor.refresh(run.key).seen
    world.journal.append(run.key, [Succeeded(Attempt("a"))], seen=seen, nonce="dead", results={Attempt("a"): b"1"})

    world.clock.advance(world.settings.grace_ms + 1)
    world.sweep()

    assert world.engine.take() == ["b"]
    assert heard == []


# That they harm nothing


def test_a_failing_listener_is_recorded_and_harms_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its first failure is logged with its traceback, all are counted; the turn, and who listens after it, go on."""

    def fail(_: Notification) -> None:
        raise ValueError("no \n good")

    world.conductor.listeners.add(fail)
    heard = listen(world)

    run = world.start(chain("a", "b"))
    world.succeed(run, "a", value=1)
    world.succeed(run, "b", value=1)

    assert run.workflow_state is WorkflowState.SUCCESS
    assert heard[-1] == "turn of [3]: []"
    assert world.conductor.listeners.failures == ((fail, len(heard)),)
    (record,) = [it for it in caplog.records if it.levelno == logging.ERROR]
    assert "fail" in record.getMessage()
    assert record.exc_info is not None


def test_a_listener_may_use_the_workflow(world: World) -> None:
    """It may ask, and even append: what follows from that is told in between."""
    heard = listen(world)
    runs: list[Run] = []

    def skip_b(notification: Notification) -> None:
        if isinstance(notification, NodeChanged) and notification.node == "a" and notification.status.is_final:
            runs[0].skip("b")

    world.conductor.listeners.add(skip_b)
    runs.append(world.start(chain("a", "b", "c")))
    heard.clear()

    world.succeed(runs[0], "a", value=1)

    assert runs[0].status("b") is Status.SCHEDULED  # it was sent before the listener was told, so it is to be stopped
    assert heard == ["a SUCCEEDED", "turn of [3]: []", "b SCHEDULED", "turn of [2]: ['b']"]


def test_those_who_listen_are_listed(world: World) -> None:
    """Listeners are told in the order in which they were given and added; nobody listens by default."""
    one, two = [print, repr]
    conductor = Conductor(world.journal, world.engine, reach=nothing, listeners=[one])
    conductor.listeners.add(two)

    assert list(conductor.listeners) == [one, two]
    assert list(world.conductor.listeners) == []
    assert world.conductor.listeners.failures == ()
