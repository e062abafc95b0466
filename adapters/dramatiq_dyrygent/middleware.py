"""The middleware: from Dramatiq's hooks to observations, in the process that runs the actors.

It stands first in the broker's list, wherever it was added: what is done after a message goes through that list in
reverse, so all others have had their say when this one reports. Time limits are over then, results are stored, and the
Retries middleware has decided whether the message is to be tried again.

    before the actor     a message whose attempt is over, is to be stopped, or has begun already is dropped: the journal
                         is asked; else the attempt is marked as started
    after it             an end without an exception is reported; a message that was enqueued again has not ended, and
                         its start is taken back; a message that failed is reported once it is rejected
    skipped              by another middleware: the node is SKIPPED, or has failed if the message has
    rejected             the failure is reported; so is that of a message whose actor nobody knows here

Brokers deliver again what a worker held that died, and RabbitMQ also what runs for longer than it waits for an
acknowledgement (30 minutes). Nothing of the latter is to be run twice, and how often one of the former killed a worker
is to be counted: so an attempt that has begun is left to the lease of the worker where it did.

Whatever is missed here is found by the sweep, whose thread runs in every worker process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from dramatiq import Actor, Broker, ConsumerThread, Message, MessageProxy, Worker
from dramatiq.middleware import Middleware, Shutdown, SkipMessage

from dramatiq_dyrygent.brokers import warn_about
from dramatiq_dyrygent.journals import journal_of
from dramatiq_dyrygent.publishing import OPTION
from dramatiq_dyrygent.results import store_exception
from dramatiq_dyrygent.running import HERE, Running, hush, let_steer
from dramatiq_dyrygent.worker import WorkerSide, give_back
from dyrygent_core import Failed, Lost, SkipNode, Skipped, Take, UsageError
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError, quoted
from dyrygent_core.ports import Journal, Marks
from dyrygent_runtime import Settings
from dyrygent_runtime.execution import Execution
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import is_in_flight
from dyrygent_runtime.holdings import Boot
from dyrygent_runtime.identity import Identity
from dyrygent_runtime.listeners import Listener
from dyrygent_runtime.reports import Report, revoked

if TYPE_CHECKING:
    from dramatiq_dyrygent.adapter import DramatiqAdapter

__all__ = ["Dyrygent", "MiddlewareTwiceError", "middleware_of"]

_LOG = logging.getLogger("dyrygent")


class MiddlewareTwiceError(UsageError, SkipMessage):
    """A broker has the middleware twice. To Dramatiq it is a middleware's own error, which ends the worker's start."""


class Dyrygent(Middleware):
    """Add it to the broker in the module that declares the actors: `broker.add_middleware(Dyrygent())`.

    `journal`: where workflows are kept, as a URL (see `open_journal`) or a journal; by default a Redis broker's own
    database, and with a StubBroker the process's memory. `namespace`: which workflows belong together, and are swept by
    the same workers; by default a Redis broker's namespace, or "dramatiq".
    `settings`: the waiting times. `listeners`: functions that are told what changes, in each process of the broker.
    `max_retries`: how often Dramatiq retries a node's message where neither its call nor its actor says so; None leaves
    it to the broker's Retries middleware. `options`: names of message options that other middlewares read.
    """

    def __init__(
        self,
        *,
        journal: str | Journal | None = None,
        namespace: str | None = None,
        settings: Settings | None = None,
        listeners: Iterable[Listener] = (),
        max_retries: int | None = 0,
        options: Iterable[str] = (),
    ) -> None:
        if isinstance(options, str):
            message = f"options= takes names, as in options=[{options!r}]"
            raise UsageError(message)
        self.journal = journal
        self.namespace = namespace
        self.settings = settings
        self.listeners = tuple(listeners)
        self.max_retries = max_retries
        self.options = frozenset(options)
        self._opened: dict[tuple[str, str], Journal] = {}
        self._adapters: dict[str, DramatiqAdapter] = {}
        self._lock = threading.RLock()
        self._worker = WorkerSide()

    # What adapters ask for

    def open(self, broker: Broker, journal: str | Journal | None, namespace: str | None) -> Journal:
        """Return a journal: the one that is wanted, else the middleware's; each URL is opened once.

        Raises `UsageError` as `journal_of` does, and for a journal of another namespace than is wanted.
        """
        wanted = self.journal if journal is None else journal
        name = namespace or self.namespace or str(getattr(broker, "namespace", "dramatiq"))
        if wanted is not None and not isinstance(wanted, str):
            if namespace not in (None, wanted.namespace):
                message = (
                    f"namespace={namespace!r} is given with a journal of namespace {wanted.namespace!r}; give the "
                    f"journal the namespace when it is made, and leave it out here"
                )
                raise UsageError(message)
            return wanted
        with self._lock:
            at = wanted or "", name
            if at not in self._opened:
                self._opened[at] = journal_of(broker, wanted, name)
            return self._opened[at]

    def adopt(self, adapter: DramatiqAdapter) -> None:
        """Let the hooks report to an adapter what belongs to its namespace, unless another of its journal has it.

        Raises `UsageError` where an adapter of the same namespace keeps its workflows in another journal.
        """
        namespace = adapter.journal.namespace
        with self._lock:
            other = self._adapters.setdefault(namespace, adapter)
            if other.journal is not adapter.journal:
                message = (
                    f"this broker has an adapter already that keeps the workflows of namespace {quoted(namespace)} in "
                    f"another journal; give one of them a namespace of its own"
                )
                raise UsageError(message)
            if other is adapter:
                self._worker.take_on(adapter)

    # Hooks

    def after_declare_actor(self, broker: Broker, actor: Actor[Any, Any]) -> None:
        """Let the actor steer its workflow."""
        let_steer(actor)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Take the first place, and begin to sweep; without a usable journal the worker runs on, and says so.

        Raises `MiddlewareTwiceError`, once those that have begun before it are shut down again: the thread of AsyncIO
        would keep the process from its end.
        """
        try:
            self.be_first(broker)
        except MiddlewareTwiceError:
            for other in reversed(broker.middleware[: broker.middleware.index(self)]):
                other.after_worker_shutdown(broker, worker)
            raise
        hush()
        warn_about(broker)
        self._worker.begin(worker)
        try:
            if not self._adapters:
                _adapter(broker)
        except UsageError as problem:
            _LOG.warning("this worker cannot run workflows: %s", problem)

    def before_consumer_thread_shutdown(self, broker: Broker, thread: ConsumerThread) -> None:
        """Give back what a StubBroker would lose."""
        give_back(broker, thread)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Sweep no more, and hand to the journals what is not recorded yet."""
        self._worker.end(worker)

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        """Take the start back of what is to be tried again; a message that an actor copies is not its own."""
        here, text = HERE.task, message.options.get(OPTION)
        if here is None or text is None or text != here.message.options.get(OPTION):
            return
        if message.message_id != here.message.message_id:
            del message.options[OPTION]
            return
        # Before whoever takes it on can mark its own start.
        self._worker.holdings.drop(message.message_id)
        here.execution.adapter.take_back_start(here.execution.identity)

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:
        """Note that what runs here will be tried again."""
        here = HERE.task
        if here is not None and message.message_id == here.message.message_id:
            here.is_handed_on = True

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Mark the attempt as started; raises `SkipMessage` for one that is over, to be stopped, or begun already."""
        self.be_first(broker)
        HERE.task = None
        identity = Identity.from_text(message.options.get(OPTION))
        adapter = None if identity is None else self._adapter_of(broker, identity)
        if identity is None or adapter is None:
            return
        holdings = self._worker.holdings
        if not holdings.reserve(message.message_id):
            _drop(message, "its attempt runs here already")
        try:
            if (why := _why_not(adapter, identity, holdings.boot)) is not None:
                _drop(message, why)
            HERE.task = Running(message, Execution.begin(adapter, identity, holdings.boot), self.max_retries)
        except BaseException:
            holdings.drop(message.message_id)
            raise
        holdings.begin(message.message_id)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Report an end, unless the message is tried again, or is about to be rejected."""
        here = HERE.task
        if here is None or here.message is not message:
            return
        self._worker.holdings.drop(message.message_id)
        if message.failed:
            return
        HERE.task = None
        if exception is None:
            here.execution.end(_said(broker, here, result))
        elif not here.is_handed_on:  # no Retries middleware, or it could not enqueue it
            here.execution.end(_failed(here.execution, exception))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Report that another middleware has skipped the message; what we skip ourselves has no `Running`."""
        here = HERE.task
        if here is None or here.message is not message:
            return
        self._worker.holdings.drop(message.message_id)
        if not message.failed:
            HERE.task = None
            reason = "its message was skipped by a middleware of the broker"
            here.execution.end((Skipped(here.execution.identity.attempt, reason, here.execution.ran), {}))

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Report a failure: of what ran here, or of a message whose actor is not known in this process."""
        here, HERE.task = HERE.task, None
        problem = getattr(message, "_exception", None) or RuntimeError("its message was rejected by a middleware")
        if here is not None and here.message is message:
            here.execution.end(_failed(here.execution, problem))
            return
        identity = Identity.from_text(message.options.get(OPTION))
        adapter = None if identity is None else self._adapter_of(broker, identity)
        if identity is not None and adapter is not None:
            adapter.outbox.later(identity.workflow, [Failed(identity.attempt, failure_of(problem), is_final=True)])

    # The rest

    def be_first(self, broker: Broker) -> None:
        """Take the first place in the broker's list, which may be under way: then it is another list.

        Raises `MiddlewareTwiceError`.
        """
        if broker.middleware[0] is self:
            return
        others = [it for it in broker.middleware if it is not self]
        middleware_of(broker)
        broker.middleware = [self, *others]

    def _adapter_of(self, broker: Broker, identity: Identity) -> DramatiqAdapter | None:
        """Return the adapter that keeps this workflow; it is logged if none does."""
        adapter = self._adapters.get(identity.namespace)
        if adapter is not None:
            return adapter
        try:
            adapter = next(iter(self._adapters.values()), None) or _adapter(broker)
        except UsageError as problem:
            _LOG.error("workflow %s: %s", quoted(identity.workflow.id), problem)
            return None
        return adapter if adapter.keeps(identity) else None


def middleware_of(broker: Broker) -> Dyrygent | None:
    """Return the broker's middleware, if it has one; raises `MiddlewareTwiceError`."""
    mine = [it for it in broker.middleware if isinstance(it, Dyrygent)]
    if len(mine) > 1:
        raise MiddlewareTwiceError(_TWICE.format(type(broker).__name__))
    return mine[0] if mine else None


_TWICE: Final = (
    "this {} has the middleware Dyrygent twice; add it once, in the module that declares the actors, before any "
    "DramatiqAdapter is made, which would add it"
)


def _adapter(broker: Broker) -> DramatiqAdapter:
    """Make the adapter that the middleware describes; it adopts it."""
    from dramatiq_dyrygent.adapter import DramatiqAdapter  # noqa: PLC0415  # which imports this

    return DramatiqAdapter(broker)


def _drop(message: MessageProxy, why: str) -> NoReturn:
    message.options["store_results"] = False  # else Dramatiq stores None, as if it had succeeded
    raise SkipMessage(why)


def _why_not(adapter: DramatiqAdapter, identity: Identity, here: Boot) -> str | None:
    """Say why an attempt is not to run, and report that where it has to be known; None if it is to run.

    If the journal cannot be asked it runs: at most once too often.
    """
    key, attempt = identity.workflow, identity.attempt
    try:
        folded = adapter.conductor.refresh(key)
        if not is_in_flight(folded, attempt):
            return "its attempt is over"
        marks = adapter.journal.marks(key, [attempt]).get(attempt, Marks())
    except (JournalUnavailableError, UnsupportedVersionError):
        return None
    except UnknownWorkflowError as problem:
        return str(problem)
    if marks.started_ms is not None and (marks.worker, marks.boot) != (here.worker, here.boot):
        return f"its attempt has begun in worker {marks.worker}"
    if attempt not in folded.state.to_revoke:
        return None
    adapter.outbox.report(key, [revoked(attempt)])
    return "its node is to be stopped"


def _said(broker: Broker, here: Running, result: Any) -> Report:
    match here.said:
        case None:
            return here.execution.returned(result)
        case SkipNode() as skip:
            if here.result_ttl_ms is not None:
                store_exception(broker, here.message, skip, here.result_ttl_ms)
            return here.execution.raised(skip)
        case Take() as take:
            return here.execution.returned(take)


def _failed(execution: Execution, problem: BaseException) -> Report:
    if isinstance(problem, Shutdown):  # its worker was told to end, which is no fault of its own
        return Lost(execution.identity.attempt, "its worker ended while it ran"), {}
    return execution.raised(problem)
