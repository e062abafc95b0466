"""One execution of an attempt, in the process that runs it: from the mark that it has started to the report (A2)."""

from __future__ import annotations

import logging
from typing import Any

from attrs import frozen

from dyrygent_core import Ran
from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.ports import Mark, MarkKind
from dyrygent_runtime.engine_adapter import EngineAdapter
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.reports import Report, raised, returned

__all__ = ["Execution"]

_LOG = logging.getLogger("dyrygent")


@frozen
class Execution:
    """What runs now: whose it is, and when it began, by the journal's clock and by this process's.

    `started_ms` is None if the journal was away: the attempt runs all the same.
    """

    adapter: EngineAdapter
    identity: Identity
    boot: Boot
    started_ms: int | None
    begun_ms: int

    @classmethod
    def begin(cls, adapter: EngineAdapter, identity: Identity, boot: Boot) -> Execution:
        """Mark the attempt as started in this worker."""
        mark = Mark(MarkKind.STARTED, identity.attempt, boot.worker, boot.boot)
        try:
            started_ms = adapter.marks.write_with(identity.workflow, [mark])
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the start is not marked: %s", quoted(identity.workflow.id), problem)
            started_ms = None
        return cls(adapter, identity, boot, started_ms, adapter.conductor.clock.monotonic_ms())

    @property
    def ran(self) -> Ran | None:
        """When it started, how long it has taken until now, and where; None if it is not known when it started."""
        if self.started_ms is None:
            return None
        return Ran(self.started_ms, self.adapter.conductor.clock.monotonic_ms() - self.begun_ms, self.boot.worker)

    def returned(self, value: Any) -> Report:  # a payload
        """Say what a return value means, see `reports`."""
        it = self.identity
        return returned(it.attempt, value, self.adapter.values, is_kept=it.is_kept, measure=it.measure, ran=self.ran)

    def raised(self, problem: BaseException) -> Report:
        """Say what an exception means, see `reports`."""
        return raised(self.identity.attempt, problem, self.ran), {}

    def end(self, report: Report) -> None:
        """Give the outcome to the conductor: the first act after the execution (A2)."""
        outcome, results = report
        self.adapter.outbox.report(self.identity.workflow, [outcome], results)
