"""Replies that are lost, appends that are late, journals that forget, and workflows that cannot be read."""

from __future__ import annotations

import pytest
from attrs import evolve

from dyrygent_core import Attempt, RerunRequested, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.ports import Seen, StoredWorkflow
from dyrygent_runtime import Conductor
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.journals import MemoryJournal
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.losing import LosingJournal
from tests.dyrygent_runtime.shapes import chain, fan


def losing(world: World) -> LosingJournal:
    """Keep this world's workflows in a journal whose replies may be lost."""
    journal = LosingJournal(clock=world.clock)
    world.keep_in(journal)
    return journal


def test_a_lost_reply_is_resolved_by_the_nonce(world: World) -> None:
    """When the reply to an append is lost, the entry is found by its nonce, owned, and not written twice."""
    journal = losing(world)
    run = world.start(chain("a", "b"))
    world.engine.take()
    journal.lost_replies = 1

    world.succeed(run, "a", value=1)

    assert world.engine.take() == ["b"]
    assert [entry.position for entry in run.history()] == [1, 2]


def test_an_append_that_was_lost_is_tried_again_with_its_nonce(world: World) -> None:
    """What is not found is appended again."""
    journal = losing(world)
    run = world.start(chain("a", "b"))
    world.engine.take()
    journal.lost_appends = 1

    world.succeed(run, "a", value=1)

    assert world.engine.take() == ["b"]
    assert [entry.position for entry in run.history()] == [1, 2]


@pytest.mark.parametrize("is_close", [True, False])
def test_an_append_that_was_only_late_emits_nothing_twice(world: World, *, is_close: bool) -> None:
    """The owner of both copies sends once, whether the late one comes just before the other or after the turn."""
    journal = losing(world)
    run = world.start(chain("a", "b", "c"))
    world.engine.take()
    journal.lost_appends, journal.is_late, journal.is_close = 1, True, is_close
    other = world.process()
    other.refresh(run.key)

    world.succeed(run, "a", value=1)
    journal.arrive()
    other.refresh(run.key)
    other.turn(run.key, [Succeeded(Attempt("a"))])

    assert world.engine.take() == ["b"]
    entries = run.history()
    assert [entry.position for entry in entries] == [1, 2, 3, 4]
    assert entries[1].nonce == entries[2].nonce
    assert run.status("b") is Status.SCHEDULED
    world.succeed(run, "b", value=2)
    assert world.engine.take() == ["c"]


def test_of_two_outcomes_the_first_value_is_passed_on(world: World) -> None:
    """P5: what a late outcome brings goes nowhere, not even from the turn that brings it."""
    workflow = Workflow()
    one, two = (workflow.add(call("part"), id=node) for node in ("one", "two"))
    workflow.add(call("join", [one.result, two.result]), id="join")
    run = world.start(workflow)
    world.succeed(run, "one", value="first")
    world.engine.take()

    results = {Attempt("one"): JSON_VALUES.encode("second"), Attempt("two"): JSON_VALUES.encode("of two")}
    world.conductor.turn(run.key, [Succeeded(Attempt("one")), Succeeded(Attempt("two"))], results=results)

    (sent,) = world.engine.sent
    assert sent.call.inputs.value["args"] == [["first", "of two"]]


def test_a_rerun_that_is_found_after_its_end_takes_nothing_back(world: World) -> None:
    """Whoever learns late that its rerun was recorded leaves the end alone that the engine was told since."""
    run = world.start(chain("a"))
    world.fail(run, "a")
    began_ms = world.clock.monotonic_ms()
    seen = world.conductor.refresh(run.key).seen
    world.journal.append(run.key, [RerunRequested()], seen=seen, nonce="mine")
    world.process().turn(run.key, [Succeeded(Attempt("a", 0, 2))], results={Attempt("a", 0, 2): b"1"})

    world.conductor.turn(run.key, [RerunRequested()], nonce="mine", tried_ms=began_ms)

    assert [it.state for it in world.engine.published] == [WorkflowState.FAILURE, WorkflowState.SUCCESS]
    assert not world.journal.definition(run.id).is_open


def test_a_workflow_created_again_is_another(world: World) -> None:
    """Of another incarnation a process knows nothing: it reads all of it, and owns what it appends."""
    run = world.start(chain("a", "b"), id="same")
    stale = world.process()
    stale.refresh(run.key)
    world.journal.delete(run.key)
    again = world.start(chain("a", "b"), id="same")
    world.engine.take()

    folded = stale.turn(again.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})

    assert folded.seen.position == 2
    assert world.engine.take() == ["b"]


def test_a_journal_that_lost_its_end_wins_over_a_newer_cache(world: World) -> None:
    """A store that forgot what it held last is the truth: who knew more drops it, and still owns what it appends."""
    run = world.start(fan(3))
    knowing, asking = world.process(), world.process()
    knowing.turn(run.key, [Succeeded(Attempt("root"))])
    knowing.turn(run.key, [Succeeded(Attempt("leaf-0"))])
    asking.refresh(run.key)
    del world.journal._records[run.id].lines[1:]
    world.process().turn(run.key, [Succeeded(Attempt("root"))])
    world.process().turn(run.key, [Succeeded(Attempt("leaf-1"))])
    world.engine.take()

    folded = knowing.turn(run.key, [Succeeded(Attempt("leaf-2"))])

    assert folded.seen.position == 4
    assert folded.state.status("leaf-0") is Status.SCHEDULED
    assert asking.refresh(run.key).state == folded.state == world.process().refresh(run.key).state


def test_a_nonce_that_is_found_in_a_journal_that_lost_its_end_is_folded_anew(world: World) -> None:
    """Whoever looks whether its append was written folds what is there, not what it knew."""
    run = world.start(fan(2))
    knowing = world.process()
    knowing.turn(run.key, [Succeeded(Attempt("root"))])
    del world.journal._records[run.id].lines[1:]
    for nonce, node in (("other", "root"), ("mine", "leaf-0")):
        world.journal.append(run.key, [Succeeded(Attempt(node))], seen=Seen(), nonce=nonce)

    folded = knowing.turn(run.key, [Succeeded(Attempt("leaf-0"))], nonce="mine", tried_ms=world.clock.monotonic_ms())

    assert folded.seen.position == 3
    assert folded.state == world.process().refresh(run.key).state


# What a process of another release makes of it


class NewerJournal(MemoryJournal):
    """A journal whose definitions are of a release to come."""

    def definition(self, workflow_id: str) -> StoredWorkflow:
        stored = super().definition(workflow_id)
        return evolve(stored, definition=stored.definition.replace(b'"v":1', b'"v":2', 1))


def test_an_outcome_of_a_workflow_that_cannot_be_read_is_recorded(world: World) -> None:
    """P7: a worker of an older release records what it ran, says so, and leaves what follows to the newer ones."""
    run = world.start(chain("a", "b"))
    world.engine.take()
    journal = world.journal
    older = NewerJournal(clock=world.clock)
    older.__dict__ |= journal.__dict__

    older_process = Conductor(older, world.engine, settings=world.settings, clock=world.clock, reach=nothing)
    with pytest.raises(UnsupportedVersionError, match="format '2'"):
        older_process.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})
    assert world.engine.take() == []
    world.clock.advance(world.settings.grace_ms + 1)
    world.sweep()

    assert run.status("a") is Status.SUCCEEDED
    assert world.engine.take() == ["b"]
