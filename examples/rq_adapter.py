"""An adapter for RQ (https://python-rq.org), written with nothing but what any stranger may import.

    the process that starts workflows       `RQAdapter(connection, journal).start(workflow)`
    a worker's main process                 `WorkflowWorker`: sweeps, renews the lease, tells of a work-horse that died
    its work-horse, forked for every job    `WorkflowWorker.perform_job`: marks the start, and reports the end

A call's target is the dotted name of a function, as everywhere in RQ; its job's id is the attempt's, and its job's meta
tells whose it is. RQ keeps for some time what a job returned or why it failed, so `lookup` finds what was not reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import dropwhile, islice
from typing import Any, ClassVar, Final

from attrs import evolve
from redis import Redis, RedisError
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.exceptions import InvalidJobOperation, NoSuchJobError, TimeoutFormatError
from rq.executions import ExecutionRegistry
from rq.job import Job, JobStatus

from dyrygent_core import (
    AdapterUnavailableError,
    Attempt,
    Call,
    DyrygentError,
    Failed,
    Lost,
    Outcome,
    Succeeded,
    Take,
    UsageError,
)
from dyrygent_core.ports import Capability, Dispatch, Finding, Journal, Refusal, Submission
from dyrygent_runtime import (
    Boot,
    EngineAdapter,
    Execution,
    Holdings,
    Identity,
    Settings,
    Sweeper,
    failure_of,
    failure_told,
    finding_of,
    revoked,
    told,
)

__all__ = ["RQAdapter", "ReportingMixin", "WorkflowValues", "WorkflowWorker"]

_IDENTITY: Final = "dyrygent"
_TAKE: Final = "dyrygent.take"
_OPTIONS: Final = ("at_front", "failure_ttl", "queue", "result_ttl", "retries", "retry_intervals", "timeout")
_TOO_OFTEN: Final = "the job returned Retry more often than that allows"
_CLOCKS_DIFFER_MS: Final = 60_000
_DAY_S: Final = 86_400
_TRACEBACK: Final = "Traceback (most recent call last):\n"


class WorkflowValues:
    """RQ's serialisation of our jobs. It is JSON: RQ's own default is pickle, which runs what it reads."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """Write a value, a `Take` too."""
        return json.dumps(value, allow_nan=False, default=_take_told).encode()

    @staticmethod
    def loads(data: bytes) -> Any:
        """Read what `dumps` wrote."""
        return json.loads(data, object_hook=_take_read)


class RQAdapter(EngineAdapter):
    """Runs workflows on RQ.

    `queue`: where calls go that have no option `queue`. The other options are RQ's: `timeout`, `result_ttl` and
    `failure_ttl` in seconds or as RQ spells them ("10m"), `at_front`, and RQ's own `retries` and `retry_intervals`.
    """

    capabilities = frozenset(Capability) - {Capability.HANDS_OVER, Capability.PUBLISHES}

    def __init__(
        self, connection: Redis, journal: Journal, *, queue: str = "default", settings: Settings | None = None
    ) -> None:
        super().__init__(journal, settings=settings)
        self.connection = connection
        self.queue = queue

    def check(self, call: Call) -> None:
        """Refuse options that RQ has not, or cannot read."""
        if "." not in call.target:
            raise UsageError(f"RQ finds functions by their module, so write call('module.{call.target}')")
        unknown = sorted(set(call.options) - set(_OPTIONS))
        if unknown:
            raise UsageError(f"RQ has no option {unknown[0]!r} for {call.target!r}; it has {', '.join(_OPTIONS)}")
        try:
            self._job(call, {"args": [], "kwargs": {}})
        except (AssertionError, TimeoutFormatError, TypeError, ValueError) as problem:
            raise UsageError(f"RQ cannot run {call.target!r} with {dict(call.options)}: {problem}") from problem

    def dispatch(self, batch: Sequence[Dispatch]) -> tuple[Refusal, ...]:
        """Enqueue all attempts, or none, in one transaction (A1)."""
        refusals: list[Refusal] = []
        with _reachable(), self.connection.pipeline() as pipe:
            for item in batch:
                meta = {_IDENTITY: Identity.of(item).as_text()}
                try:
                    job = self._job(item.call, item.call.inputs.value, job_id=_job_id(item.attempt_id), meta=meta)
                    job.data  # noqa: B018  # written now, or not at all: not when half of it is in the pipeline
                except (TypeError, ValueError) as problem:
                    refusals.append(Refusal(item.attempt, failure_of(problem)))
                    continue
                at_front = bool(item.call.options.get("at_front"))
                self._queue(job.origin).enqueue_job(job, pipeline=pipe, at_front=at_front)
            pipe.execute()
        return tuple(refusals)

    def lookup(self, submissions: Sequence[Submission]) -> Mapping[Attempt, Finding]:
        """Read the jobs, and the results of those that are over (A3)."""
        with _reachable():
            return {it.attempt: self._finding(it, job) for it, job in self._jobs(submissions)}

    def waiting(self, submissions: Sequence[Submission]) -> Mapping[Attempt, int]:
        """Count the jobs in the queues (A6); nothing is told of one that RQ has in hand, or has put off itself."""
        with _reachable(), self.connection.pipeline(transaction=False) as pipe:
            for it in submissions:
                queue, job_id = self._queue(it.queue), _job_id(it.attempt_id)
                pipe.llen(queue.key)
                pipe.lpos(queue.key, job_id)
                pipe.lpos(queue.intermediate_queue_key, job_id)
                pipe.zscore(queue.scheduled_job_registry.key, job_id)
                pipe.zcard(ExecutionRegistry(job_id, self.connection).key)
            told = iter(pipe.execute())
        counts: dict[Attempt, int] = {}
        for it in submissions:
            length, place, *elsewhere = islice(told, 5)
            if place is not None or elsewhere == [None, None, 0]:
                counts[it.attempt] = length if place is not None else 0
        return counts

    def revoke(self, submissions: Sequence[Submission]) -> None:
        """Take jobs out of their queues, and have the workers stop those that run (A4)."""
        with _reachable():
            for _, job in self._jobs(submissions):
                with suppress(InvalidJobOperation, NoSuchJobError):
                    if job.is_started:
                        send_stop_job_command(self.connection, job.id, WorkflowValues)
                    elif job.get_status() in (JobStatus.QUEUED, JobStatus.SCHEDULED):
                        job.cancel()
                        job.cleanup(_DAY_S)  # RQ would keep it for ever

    def _queue(self, name: str | None) -> Queue:
        return Queue(name or self.queue, connection=self.connection, serializer=WorkflowValues)

    def _job(self, call: Call, inputs: Mapping[str, Any], **fields: Any) -> Job:
        own = {name: call.options[name] for name in ("failure_ttl", "result_ttl", "timeout") if name in call.options}
        retries, intervals = call.options.get("retries", 0), call.options.get("retry_intervals", 0)
        retry = Retry(retries, intervals) if retries else None
        queue = self._queue(call.options.get("queue"))
        description = call.target  # RQ would log the arguments
        return queue.create_job(call.target, **inputs, **own, **fields, retry=retry, description=description)

    def _jobs(self, submissions: Sequence[Submission]) -> list[tuple[Submission, Job]]:
        job_ids = [_job_id(it.attempt_id) for it in submissions]
        jobs = Job.fetch_many(job_ids, self.connection, WorkflowValues)
        return [(it, job) for it, job in zip(submissions, jobs, strict=True) if job is not None]

    def _finding(self, asked: Submission, job: Job) -> Finding:
        status, attempt = job.get_status(refresh=False), asked.attempt
        if status in (JobStatus.CANCELED, JobStatus.STOPPED):
            return Finding(revoked(attempt))
        result = job.latest_result() if status in (JobStatus.FINISHED, JobStatus.FAILED) else None
        if result is None or result.created_at.timestamp() * 1000 + _CLOCKS_DIFFER_MS < asked.since_ms:
            return Finding()
        if status is JobStatus.FAILED:
            return Finding(_failed(attempt, result.exc_string or f"{_TRACEBACK}RuntimeError: {_TOO_OFTEN}"))
        if result.return_value == UNSERIALIZABLE_RETURN_VALUE_PAYLOAD:
            return Finding(Succeeded(attempt))
        return finding_of(attempt, result.return_value, self.values)


class ReportingMixin:
    """Makes any of RQ's worker classes report to an adapter: `class W(ReportingMixin, SimpleWorker): adapter = …`."""

    adapter: ClassVar[RQAdapter]

    def __init__(self, *args: Any, **options: Any) -> None:
        if not hasattr(self, "adapter"):
            name = type(self).__name__
            raise UsageError(f"{name} reports to nobody; write class {name}(…): adapter = RQAdapter(…)")
        super().__init__(*args, **{**options, "serializer": WorkflowValues})
        for queue in self.queues:
            queue.serializer = self.serializer
        self._run: Execution | None = None
        self._problem: BaseException | None = None

    # In the main process

    def bootstrap(self, *args: Any, **options: Any) -> None:
        """Begin to sweep, and to say which attempt is here."""
        super().bootstrap(*args, **options)
        self._holdings = Holdings(self._boot)
        self._sweeper = Sweeper(self.adapter.conductor, lease=self._holdings.lease)
        self._sweeper.start()

    def teardown(self) -> None:
        """Sweep no more."""
        super().teardown()
        self._sweeper.stop()
        self.adapter.settle()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Name the attempt in the lease for as long as its job runs."""
        attempt_id, identity = _attempt_id(job.id), self._identity(job)
        if identity is not None:
            with suppress(DyrygentError):
                self.adapter.conductor.refresh(identity.workflow)  # its work-horse, which is new, inherits what is read
        self._holdings.begin(attempt_id)
        try:
            super().execute_job(job, queue)
        finally:
            self._holdings.drop(attempt_id)

    def handle_job_failure(self, job: Job, *args: Any, exc_string: str = "", **options: Any) -> None:
        """Tell what became of a job whose work-horse can tell nothing: it was killed."""
        identity = self._identity(job) if self._run is None else None
        if identity is not None and job.should_retry:
            self.adapter.take_back_start(identity)  # before another worker can mark its own
        super().handle_job_failure(job, *args, exc_string=exc_string, **options)
        status = job.get_status(refresh=False)
        if identity is not None and status in (JobStatus.FAILED, JobStatus.STOPPED):
            attempt = identity.attempt
            outcome = revoked(attempt) if status is JobStatus.STOPPED else Lost(attempt, exc_string)
            self.adapter.outbox.later(identity.workflow, [outcome])

    # In the process that runs the job

    def perform_job(self, job: Job, *args: Any, **options: Any) -> bool:
        """Run a job, and report its end when RQ has recorded it (A2)."""
        identity = self._identity(job)
        if identity is None:
            return super().perform_job(job, *args, **options)
        self._run, self._problem = Execution.begin(self.adapter, identity, self._boot), RuntimeError(_TOO_OFTEN)
        is_done = super().perform_job(job, *args, **options)
        if job.get_status(refresh=False) is JobStatus.FINISHED:
            self._run.end(self._run.returned(job._result))  # noqa: SLF001  # its only place before it is JSON
        elif job.get_status(refresh=False) is JobStatus.FAILED:
            outcome, results = self._run.raised(self._problem)
            if isinstance(outcome, Failed) and not _is_importable(job):
                outcome = evolve(outcome, is_final=True)
            self._run.end((outcome, results))
        self._run = None
        self.adapter.settle()  # a work-horse leaves by os._exit
        return is_done

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Note what the job raised."""
        super().handle_exception(job, *exc_info)
        self._problem = exc_info[1]
        if self._run is not None and job.should_retry:
            self.adapter.take_back_start(self._run.identity)

    def handle_job_retry(self, *args: Any, **options: Any) -> None:
        """Let a job that has returned `Retry` start again."""
        if self._run is not None:
            self.adapter.take_back_start(self._run.identity)
        super().handle_job_retry(*args, **options)

    @property
    def _boot(self) -> Boot:
        """The worker's name and birth: its work-horses know both, however they came to be."""
        return Boot(self.name, str(self.birth_date))

    def _identity(self, job: Job) -> Identity | None:
        identity = Identity.from_text(job.meta.get(_IDENTITY))
        return identity if identity is not None and self.adapter.keeps(identity) else None


class WorkflowWorker(ReportingMixin, Worker):
    """RQ's ordinary worker: `class MyWorker(WorkflowWorker): adapter = …`, and `rq worker -w my_module.MyWorker`."""


def _job_id(attempt_id: str) -> str:
    """Spell an attempt's id as RQ allows: of letters, digits, _ and - only."""
    return attempt_id.replace(".", "_")


def _attempt_id(job_id: str) -> str:
    return job_id.replace("_", ".")


def _is_importable(job: Job) -> bool:
    """Tell whether this worker has the job's function: if not, trying again cannot help."""
    try:
        return job.func is not None
    except Exception:  # noqa: BLE001  # of a user's module
        return False


def _failed(attempt: Attempt, text: str) -> Outcome:
    """Say why a job failed: it raised, of which RQ keeps the traceback in text; or its worker died."""
    _, mark, last = text.rpartition(_TRACEBACK)
    if not mark:
        return Lost(attempt, text)
    lines = dropwhile(lambda line: line.startswith(" "), last.splitlines())
    name, _, message = "\n".join(lines).partition(": ")
    module, _, kind = name.rpartition(".")
    return told(attempt, failure_told(kind, message, module))


def _take_told(value: object) -> object:
    if isinstance(value, Take):
        return {_TAKE: [value.value, value.branches]}
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON; return plain values")


def _take_read(value: dict[str, Any]) -> Any:
    if value.keys() != {_TAKE}:
        return value
    inner, branches = value[_TAKE]
    return Take(inner, branches=branches)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except RedisError as problem:
        raise AdapterUnavailableError(f"RQ's Redis cannot be reached: {problem}") from problem
