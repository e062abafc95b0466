"""How often the runtime asks its store: what a turn, a sweep and an idle worker cost."""

from __future__ import annotations

from typing import Any

from dyrygent_core import Attempt, RetryPolicy, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.ports import Lease
from dyrygent_runtime import Run, Sweeper
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.counting import CountingJournal
from tests.dyrygent_runtime.shapes import chain


def test_a_hop_of_a_chain_costs_two_round_trips(world: World) -> None:
    """An append, which brings the call of what follows, and its mark; a cold process reads the definition first."""
    journal = CountingJournal(world.journal)
    world.keep_in(journal)
    run = world.start(chain("a", "b", "c"))
    assert journal.take() == {"create": 1, "mark": 1}

    world.conductor.turn(run.key, [Succeeded(Attempt("a"))], results={Attempt("a"): b"1"})
    assert journal.take() == {"append": 1, "mark": 1}

    world.process().turn(run.key, [Succeeded(Attempt("b"))], results={Attempt("b"): b"2"})
    assert journal.take() == {"definition": 1, "append": 1, "mark": 1}

    world.conductor.turn(run.key, [Succeeded(Attempt("c"))], results={Attempt("c"): b"3"})
    assert journal.take() == {"append": 1, "read": 1, "annotate": 1, "close": 1}
    assert world.engine.published[-1].value == 3


def test_the_call_of_a_wide_join_is_not_read_at_each_of_its_parents(world: World) -> None:
    """What waits for many nodes is hardly ever the next, and may be large."""
    journal = CountingJournal(world.journal)
    read: list[int] = []
    append = journal.append

    def counted(*args: Any, **options: Any) -> Any:
        read.extend(options.get("calls", ()))
        return append(*args, **options)

    journal.append = counted
    world.keep_in(journal)
    workflow = Workflow()
    parents = [workflow.add(call("part"), id=f"p{at}") for at in range(20)]
    workflow.add(call("join", "x" * 1_000), id="join", after=parents)
    run = world.start(workflow)
    for parent in parents:
        world.succeed(run, parent.id)

    assert world.engine.take()[-1] == "join"
    assert len(read) == 1


def test_only_a_short_delay_is_told_to_the_sweep(world: World) -> None:
    """A retry that is due before the sweep would come anyway costs one reminder; turns that add none cost nothing."""
    journal = CountingJournal(world.journal)
    world.keep_in(journal)
    workflow = Workflow()
    for node, delay_ms in (("soon", 1_000), ("late", 60_000)):
        workflow.add(call(node), id=node, max_attempts=2, retry=RetryPolicy(delay_ms=delay_ms))
    workflow.add(call("c"), after=workflow.add(call("b"), id="b"))
    run = world.start(workflow)
    journal.take()

    world.fail(run, "late")
    assert "remind" not in journal.take()
    world.fail(run, "soon")
    assert journal.take()["remind"] == 1
    world.succeed(run, "b")

    assert "remind" not in journal.take()


def test_a_sweep_of_what_is_in_flight_costs_four_round_trips(world: World) -> None:
    """The entries since the last time, marks, leases, and the rest; where calls go is read once."""
    journal = CountingJournal(world.journal)
    world.keep_in(journal)
    world.start(chain("a", "b"))
    sweeper = Sweeper(world.process())
    sweeper.round()
    journal.take()

    world.clock.advance(world.settings.sweep_interval_ms)
    sweeper.round()
    first = journal.take()
    world.clock.advance(world.settings.sweep_interval_ms)
    sweeper.round()

    assert first == {"due": 1, "definition": 1, "read": 1, "marks": 1, "calls": 1, "leases": 1, "rest": 1}
    assert journal.take() == {"due": 1, "read": 1, "marks": 1, "leases": 1, "rest": 1}


def test_an_idle_worker_asks_its_store_about_once_a_second(world: World) -> None:
    """In an hour without work: once a second what is due, every 20 s the lease, once a minute what is old."""
    journal = CountingJournal(world.journal)
    world.keep_in(journal)
    sweeper = Sweeper(world.conductor, lease=lambda: Lease("w", "boot"))
    for _ in range(3_600):
        sweeper.round()
        world.clock.advance(world.settings.poll_ms)

    calls = journal.take()
    assert calls == {"due": 3_600, "renew_lease": 180, "purge": 60}
    assert sum(calls.values()) / 3_600 < 1.1


def test_a_run_from_an_id_reads_its_definition_once(world: World) -> None:
    """What tells which workflow has the id is kept for the first question."""
    world.start(chain("a", "b"), id="w")
    journal: Any = CountingJournal(world.journal)

    run = Run.from_id("w", journal)
    assert run.workflow_state is WorkflowState.RUNNING

    assert journal.take() == {"definition": 1, "read": 1}
