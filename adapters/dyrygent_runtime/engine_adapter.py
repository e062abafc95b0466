"""What all engine adapters are made of, so that one of them has little more to say than how its engine sends.

    the process that starts workflows      start → conductor → `dispatch`
    the process that runs a task           `Identity` of the message → `Execution.begin` … `Execution.end` → outbox
    one thread of each worker process      `Sweeper(adapter.conductor, lease=…)`

An engine that can more overrides more, and says so in its `capabilities`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from dyrygent_core import Attempt, Call, Workflow
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.ports import (
    Capability,
    Clock,
    Dispatch,
    Finding,
    Journal,
    Mark,
    MarkKind,
    Refusal,
    Submission,
    ValueCodec,
    WorkflowKey,
    WorkflowOutcome,
)
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.late_marks import LateMarks
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.outbox import Outbox
from dyrygent_runtime.run import Run
from dyrygent_runtime.settings import Settings
from dyrygent_runtime.settling import settle
from dyrygent_runtime.start import OnConflict, start

__all__ = ["EngineAdapter"]

_LOG = logging.getLogger("dyrygent")


class EngineAdapter(ABC):
    """An adapter of the port (`dyrygent_core.ports.Adapter`) with its journal, its conductor and its outbox.

    `journal`: where workflows are kept. `listeners`: who is told what changes, see `dyrygent_runtime.listeners`.
    `send_limit`: how many attempts of a turn are sent here before the rest is handed over; None sends all.
    `conductor`: what makes another kind of conductor. `boot`: the life of the worker in this process, if it is one
    whatever it does.
    """

    engine: ClassVar[str] = ""
    """What users call the engine; see `Workflow.engine`."""

    def __init__(
        self,
        journal: Journal,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        listeners: Iterable[Listener] = (),
        send_limit: int | None = None,
        conductor: Callable[..., Conductor] = Conductor,
        boot: Boot | None = None,
    ) -> None:
        settings = settings or Settings()
        self.journal = journal
        self.marks = LateMarks(journal, settings)
        self.conductor = conductor(
            journal, self, settings=settings, clock=clock, listeners=listeners, mark=self.marks.add
        )
        self.outbox = Outbox(self.conductor, send_limit=send_limit, boot=boot)

    def start(
        self,
        workflow: Workflow,
        *,
        id: str | None = None,  # noqa: A002  # the word a user expects here
        on_conflict: OnConflict | str = OnConflict.EXISTING,
        tags: Sequence[str] = (),
    ) -> Run:
        """Start a workflow, see `dyrygent_runtime.start`."""
        return self._start(workflow, id=id, on_conflict=on_conflict, tags=tags)

    def _start(self, workflow: Workflow, **options: Any) -> Run:
        """Start a workflow: what an adapter overrides that has more to do then."""
        return start(self, workflow, **options)

    def settle(self) -> bool:
        """Hand to the journal what this process has not handed over yet, for it is about to end; see `settling`."""
        return settle(self.outbox, self.marks)

    def keeps(self, identity: Identity) -> bool:
        """Tell whether a message's workflow is in this adapter's part of the journal; it is logged if not."""
        if identity.namespace == self.journal.namespace:
            return True
        _LOG.error(
            "workflow %s was started in namespace %s, but this process has %s: give both the same namespace",
            quoted(identity.workflow.id),
            quoted(identity.namespace),
            quoted(self.journal.namespace),
        )
        return False

    def take_back_start(self, identity: Identity) -> None:
        """Take back that an attempt has started, for it will run again, in this worker or another."""
        try:
            self.journal.mark(identity.workflow, [Mark(MarkKind.CLEARED, identity.attempt)])
        except JournalUnavailableError as problem:
            _LOG.warning("workflow %s: the start stays marked: %s", quoted(identity.workflow.id), problem)

    # The adapter port

    @property
    def capabilities(self) -> frozenset[Capability]:
        """None beyond what every engine must."""
        return frozenset()

    @property
    def values(self) -> ValueCodec:
        """Plain JSON."""
        return JSON_VALUES

    def check(self, call: Call) -> None:  # noqa: B027  # what not every engine has
        """Accept every call."""

    @abstractmethod
    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Send attempts (A1)."""

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Find nothing (A3)."""
        return {}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Know nothing of queues (A6)."""
        return {}

    def revoke(self, submissions: Sequence[Submission]) -> None:  # noqa: B027  # what not every engine has
        """Leave what was sent to run (A4)."""

    def hand_over(self, key: WorkflowKey, position: int, offset: int) -> bool:
        """Leave all of it to the owner."""
        return False

    def publish(self, outcome: WorkflowOutcome) -> None:  # noqa: B027  # what not every engine has
        """Do nothing: whoever waits watches the journal (A5)."""
