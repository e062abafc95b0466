"""Two releases over one store, of which the older does not know the newer's rules (P7): a rolling deploy."""

from __future__ import annotations

import logging

import pytest

from dyrygent_core import Attempt, Observation, Skipped, Status, Succeeded, Workflow, call
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime import Conductor, Run, Settings, Sweeper
from dyrygent_runtime.connecting import conductor_over
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.outbox import Outbox
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.sweeping import watching
from tests.later_rules import BOTH, LaterWorkflow

TODAY = {"check": "SKIPPED", "load": "SUCCEEDED", "publish": "SKIPPED", "repair": "SUCCEEDED"}
AFTERWARDS = {"check": "SKIPPED", "load": "SUCCEEDED", "publish": "SUCCEEDED", "repair": "SKIPPED"}


@pytest.fixture
def world() -> World:
    """Give a world in which workflows are started by the newer release."""
    world = World()
    world.engine.conductor = newer(world)
    return world


def newer(world: World) -> Conductor:
    """Give a process of the newer release, which has seen nothing yet."""
    return Conductor(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=nothing, rules=BOTH)


def older(world: World) -> Conductor:
    """Give a process of today's release, which has seen nothing yet."""
    return world.process()


def of_two(workflow: Workflow) -> Workflow:
    """Fill a workflow in which the two versions decide otherwise, about `publish` and about `repair`."""
    check = workflow.add(call("check"), id="check")
    load = workflow.add(call("load"), id="load")
    workflow.add(call("publish"), id="publish", after=[check, load])
    workflow.add(call("repair"), id="repair", after=[load], trigger="all_done")
    return workflow


def started(world: World) -> tuple[Run, Run]:
    """Start one workflow under each version."""
    return world.start(of_two(Workflow())), world.start(of_two(LaterWorkflow()))


def statuses(conductor: Conductor, run: Run) -> dict[str, str]:
    state = conductor.refresh(run.key).state
    return {node: status.name for node, status in state.statuses.items()}


def test_each_workflow_of_one_journal_ends_by_its_own_rules(world: World) -> None:
    """A process that knows both takes their turns by turns, and one that has seen nothing comes to the same."""
    today, afterwards = started(world)
    facts: list[Observation] = [Skipped(Attempt("check")), Succeeded(Attempt("load"))]
    for fact in facts:
        for run in (today, afterwards):
            world.observe(run, fact)
    assert world.engine.take() == ["check", "load", "check", "load", "repair", "publish"]
    world.observe(today, Succeeded(Attempt("repair")))
    world.observe(afterwards, Succeeded(Attempt("publish")))

    assert statuses(world.conductor, today) == TODAY == statuses(newer(world), today)
    assert statuses(world.conductor, afterwards) == AFTERWARDS == statuses(newer(world), afterwards)
    assert [it.state.name for it in world.engine.published] == ["SUCCESS", "SUCCESS"]
    assert statuses(older(world), today) == TODAY


def test_a_snapshot_goes_on_by_its_own_rules(world: World) -> None:
    """Whoever catches up from one in the middle ends as who folded all of it."""
    world.settings = Settings(snapshot_entries=1)
    world.engine.conductor = newer(world)
    for run in started(world):
        world.observe(run, Skipped(Attempt("check")))
        assert world.journal.definition(run.id).snapshot is not None
        state = newer(world).refresh(run.key).state
        assert state == world.conductor.refresh(run.key).state

        newer(world).turn(run.key, [Succeeded(Attempt("load"))])

    assert world.engine.take() == ["check", "load", "check", "load", "repair", "publish"]


def test_a_start_that_another_release_repeats_finds_the_workflow(world: World) -> None:
    """It follows the rules that it was started under, and what the user wrote is the same."""
    first = world.start(of_two(LaterWorkflow()), id="nightly")

    again = world.start(of_two(Workflow()), id="nightly")

    assert again.key == first.key
    assert newer(world).refresh(again.key).definition.rules_version == 2


def test_an_older_release_leaves_a_newer_workflow_as_it_is(world: World) -> None:
    """It is refused in words, whatever is asked of it; nothing is written, closed or sent."""
    _, run = started(world)
    world.engine.take()
    before = world.journal.read(run.key)
    process = older(world)

    for ask in (
        lambda: process.refresh(run.key),
        lambda: process.go_on(run.key, 1, 0),
        lambda: Run(process, run.key).state,
    ):
        with pytest.raises(
            UnsupportedVersionError, match="this workflow follows rules 2; this release knows rules 1 to 1"
        ):
            ask()

    assert world.journal.read(run.key) == before
    assert world.engine.take() == []


def test_what_an_older_worker_ran_counts(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its outcome is recorded, and the log says who goes on; what follows is sent by a sweep of the newer release."""
    _, run = started(world)
    world.observe(run, Skipped(Attempt("check")))
    world.engine.take()

    assert Outbox(older(world)).report(run.key, [Succeeded(Attempt("load"))])
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(f"workflow '{run.id}': what follows is left to a release that can read it: ")
    assert world.engine.take() == []
    world.clock.advance(world.settings.grace_ms + world.settings.sweep_interval_ms)
    assert watching(world, newer(world)).round() == 2

    assert statuses(newer(world), run) == {**AFTERWARDS, "publish": "SCHEDULED"}
    assert "publish" in world.engine.take()


def test_the_sweep_of_an_older_release_hands_a_newer_workflow_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It rests as long as any other and stays open, so the newer release's sweep finds it; the log says so once."""
    world.engine.is_down = True
    _, run = started(world)
    world.engine.is_down = False
    caplog.clear()
    before = world.journal.read(run.key)
    sweeper, interval_ms = Sweeper(older(world)), world.settings.sweep_interval_ms

    for _ in range(3):
        world.clock.advance(interval_ms)
        assert sweeper.round() == 2, "it is claimed, and rests"
        assert sweeper.round() == 0
    lines = [it for it in caplog.records if run.id in it.getMessage()]
    assert [(it.levelno, it.exc_info) for it in lines] == [(logging.ERROR, None)]
    assert lines[0].getMessage() == (
        f"workflow '{run.id}': its sweep is left to a release that can read it: "
        f"this workflow follows rules 2; this release knows rules 1 to 1"
    )
    assert world.journal.read(run.key) == before

    world.clock.advance(world.settings.grace_ms)
    assert watching(world, newer(world)).round() == 2
    assert world.engine.take() == ["check", "load"] * 2


def test_a_workflow_that_is_deleted_while_it_is_left_is_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody needs it any more."""
    started(world)

    class Deleting(Conductor):
        def catch_up(self, key: WorkflowKey) -> Folded:
            world.journal.delete(key)
            message = "this workflow follows rules 2"
            raise UnsupportedVersionError(message)

    world.clock.advance(world.settings.sweep_interval_ms)
    Sweeper(Deleting(world.journal, world.engine, settings=world.settings, clock=world.clock, reach=nothing)).round()

    assert [it.exc_info for it in caplog.records] == [None] * len(caplog.records)


def test_a_conductor_over_another_journal_knows_the_same_rules(world: World) -> None:
    """It is made by this process, so it is of the same release."""
    assert conductor_over(World().journal, world.engine).rules is BOTH


def test_status_is_told_by_the_release_that_can(world: World) -> None:
    """A run handle of the newer release is what it always was."""
    _, run = started(world)

    assert Run(newer(world), run.key).status("publish") is Status.WAITING
