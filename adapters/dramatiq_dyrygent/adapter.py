"""The Dramatiq adapter: attempts as messages, outcomes from the middleware and, behind it, from Dramatiq's results."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import dramatiq
from dramatiq import Broker

from dramatiq_dyrygent.brokers import Kind, kind_of
from dramatiq_dyrygent.middleware import Dyrygent, middleware_of
from dramatiq_dyrygent.options import check_call
from dramatiq_dyrygent.publishing import send
from dramatiq_dyrygent.queues import waiting
from dramatiq_dyrygent.results import look_up, results_of
from dramatiq_dyrygent.values import EncoderValues
from dyrygent_core import Attempt, Call, UsageError
from dyrygent_core.ports import Capability, Dispatch, Finding, Journal, Refusal, Submission
from dyrygent_runtime import EngineAdapter, Settings
from dyrygent_runtime.listeners import Listener

__all__ = ["DramatiqAdapter"]


class DramatiqAdapter(EngineAdapter):
    """Runs workflows on a Dramatiq broker, by default the global one.

    What is not given is taken from the broker's middleware, see `Dyrygent`; a broker without one gets it, with what
    is given here. The workers' processes must have one too, over the same journal, or nobody hears of their ends: add
    it in the module that declares the actors, which all processes import. `listeners` are told of the turns of this
    adapter only.

    Raises `UsageError` for what is no broker, where there is no journal to be had, where the journal's namespace is
    taken by another of this broker's, and for a broker that has the middleware twice.
    """

    engine: ClassVar[str] = "Dramatiq"

    def __init__(
        self,
        broker: Broker | None = None,
        *,
        journal: str | Journal | None = None,
        namespace: str | None = None,
        settings: Settings | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.broker = dramatiq.get_broker() if broker is None else broker
        _check_broker(self.broker)
        with _MAKING:
            found = middleware_of(self.broker)
            here = found or Dyrygent(journal=journal, namespace=namespace, settings=settings)
            super().__init__(
                here.open(self.broker, journal, namespace),
                settings=settings or here.settings,
                listeners=[*here.listeners, *listeners],
            )
            here.adopt(self)
            if found is None:
                self.broker.add_middleware(here)
            here.be_first(self.broker)
        self._options = here.options
        self._values = EncoderValues()

    def __repr__(self) -> str:
        return f"<DramatiqAdapter of a {type(self.broker).__name__}>"

    # The adapter port

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What all brokers can; results are found only where the Results middleware stores those of all actors."""
        can = {Capability.REPORTS_START, Capability.LEASES}
        kind, results = kind_of(self.broker), results_of(self.broker)
        if kind is not Kind.OTHER:
            can.add(Capability.WAITING)
        if kind is not Kind.STUB:
            can.add(Capability.SURVIVES)
        if results is not None and results.store_results:
            can.add(Capability.LOOKUP)
        return frozenset(can)

    @property
    def values(self) -> EncoderValues:
        """The encoder of Dramatiq's messages."""
        return self._values

    def check(self, call: Call) -> None:
        """Refuse an actor that is not declared here, unless its call names a queue, and options that nobody reads."""
        check_call(self.broker, call, self._options)

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Enqueue messages (A1)."""
        return send(self.broker, batch)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Read Dramatiq's results (A3)."""
        return look_up(self.broker, submissions, self._values)

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Ask the broker how long the queues are (A6)."""
        return waiting(self.broker, submissions)


_MAKING: Final = threading.Lock()


def _check_broker(broker: object) -> None:
    if not isinstance(broker, Broker):
        message = (
            f"DramatiqAdapter takes a broker, such as a RedisBroker, not a value of type {type(broker).__name__}; "
            f"a journal is given as journal=…"
        )
        raise UsageError(message)
