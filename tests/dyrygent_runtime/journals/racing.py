"""Ten processes that do everything at once: each starts the same workflows, and ends every attempt twice over.

An engine of queues: whoever dispatches puts the attempt into one queue twice, so that two processes report its end,
and into another once, so that the test can count dispatches.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.queues import Queue
from typing import Any

from attrs import frozen

from dyrygent_core import Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.ports import Dispatch, Refusal
from dyrygent_runtime import Conductor, start
from dyrygent_runtime.journals import open_journal
from tests.dyrygent_runtime.engine import ManualEngine

__all__ = ["NODES", "WIDE", "WIDE_NODES", "Queues", "race", "raced_workflow"]

NODES = 6
WIDE, WIDE_NODES = "wide", 102
"""The id, and the size, of the one that all have much to do with at once."""


def raced_workflow(nodes: int) -> Workflow:
    """Build a node, some that need it, and one that needs these."""
    workflow = Workflow("raced")
    top = workflow.add(call("work", 0), id="top")
    middle = [workflow.add(call("work", top.result), id=f"m{at}") for at in range(nodes - 2)]
    workflow.add(call("work", [node.result for node in middle]), id="join")
    return workflow


@frozen
class Queues:
    """What the processes share."""

    attempts: Queue[Any]
    """Those to end; None stops a process."""
    dispatched: Queue[Any]
    problems: Queue[Any]


class RacingEngine(ManualEngine):
    """An adapter over the queues."""

    def __init__(self, url: str, namespace: str, queues: Queues) -> None:
        super().__init__()
        self._queues = queues
        self.conductor = Conductor(open_journal(url, namespace), self)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        for it in batch:
            self._queues.dispatched.put((it.workflow.id, it.attempt.node, it.attempt.number))
            for _ in range(2):
                self._queues.attempts.put((it.workflow, it.attempt))
        return ()


def race(url: str, namespace: str, ids: Sequence[str], queues: Queues) -> None:
    """Start every workflow, then end attempts until there is None in the queue."""
    try:
        engine = RacingEngine(url, namespace, queues)
        for workflow_id in ids:
            start(engine, raced_workflow(WIDE_NODES if workflow_id == WIDE else NODES), id=workflow_id)
        while (item := queues.attempts.get()) is not None:
            key, attempt = item
            value = {attempt: JSON_VALUES.encode(attempt.node)}
            engine.conductor.turn(key, [Succeeded(attempt)], results=value)
        engine.conductor.journal.dispose()
    except BaseException as problem:
        queues.problems.put(f"{type(problem).__name__}: {problem}")
        raise
