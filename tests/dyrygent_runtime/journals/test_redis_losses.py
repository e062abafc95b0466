"""Conductors over a Redis that keeps no append-only file: what it forgets when it dies, it has not known."""

from __future__ import annotations

from contextlib import closing

from dyrygent_core import Attempt, History, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_runtime import Conductor, Run, start
from dyrygent_runtime.faults import nothing
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_testing.simulation.replay import Replay
from tests.dyrygent_runtime.engine import ManualEngine
from tests.dyrygent_runtime.journals.redis_servers import Server, started


def test_a_store_that_lost_its_end_wins_over_a_newer_cache() -> None:
    """Who knew more drops it and owns what it appends; what was forgotten is observed again, and all comes to its end.

    An attempt that had ended is in flight again: its outcome is the engine's to tell, or it is run once more.
    """
    with started() as server:
        engine = ManualEngine()
        knowing = engine.conductor = _process(server, engine)
        run = start(engine, _fan(), id="forgotten")
        _succeed(knowing, run, "root")
        with closing(server.client) as client:
            client.save()
        _succeed(knowing, run, "leaf-0")
        server.kill()
        server.start()
        other = _process(server, engine)
        _succeed(other, run, "leaf-1")

        folded = knowing.turn(run.key, [Succeeded(Attempt("leaf-2"))])

        assert folded.seen.position == 4
        assert folded.state.status("leaf-0") is Status.SCHEDULED
        assert knowing.refresh(run.key).state == other.refresh(run.key).state == folded.state
        _succeed(other, run, "leaf-0")
        assert Run(knowing, run.key).workflow_state is WorkflowState.SUCCESS
        assert [it.attempt.node for it in engine.sent] == ["root", "leaf-0", "leaf-1", "leaf-2"]
        stored = other.journal.definition(run.id)
        entries, state = other.journal.read(run.key), other.refresh(run.key).state
        definition = other.refresh(run.key).definition
        replay = Replay.of(History(run.id, definition, entries))
        assert replay.disagreements == ()
        assert replay.state == state
        assert not stored.is_open
        for conductor in (knowing, other):
            conductor.journal.dispose()


def _process(server: Server, engine: ManualEngine) -> Conductor:
    return Conductor(RedisJournal(server.url), engine, reach=nothing)


def _fan() -> Workflow:
    workflow = Workflow()
    root = workflow.add(call("run"), id="root")
    for number in range(3):
        workflow.add(call("run"), id=f"leaf-{number}", after=[root])
    return workflow


def _succeed(conductor: Conductor, run: Run, node: str) -> None:
    conductor.turn(run.key, [Succeeded(Attempt(node))])
