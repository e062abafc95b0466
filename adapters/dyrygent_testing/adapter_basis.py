"""What the rules of the adapter suite share: the engine under test, workflows put in its journal, and waiting.

`AdapterEngine` is what a subclass of the suite gives; the rest is the suite's own.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import pytest
from attrs import field, frozen

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    Definition,
    Failed,
    Lost,
    Observation,
    Outcome,
    Skipped,
    State,
    Succeeded,
    TimedOut,
    Workflow,
    WorkflowState,
    advance,
    call,
)
from dyrygent_core.codec import digest, encode_call, encode_definition
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Capability, Dispatch, Journal, NewWorkflow, Submission, WorkflowKey
from dyrygent_runtime import Run, start
from dyrygent_runtime.fold import Folded, attempt_id, first_id
from dyrygent_runtime.start import StartingAdapter
from dyrygent_testing.adapter_report import watch_rules
from dyrygent_testing.adapter_tasks import OPEN, executions

__all__ = ["AdapterBasis", "AdapterEngine", "Case", "Prepared", "needs"]

T = TypeVar("T")

_NEVER_DUE_MS: Final = 600_000
_PAUSE_S: Final = 0.01
_TOLD: Final = 20
"""Entries, executions and workflows that a failing rule tells of."""


class AdapterEngine:
    """An adapter under test, and what the suite may do to its engine behind the adapter's back.

    The adapter's journal is the one that the workers report to. `slots`: how many tasks the worker runs at a time, at
    least two. `limit_s`: how long a rule waits for what must come. `survives_exit`: whether a worker goes on after a
    task that left it by `sys.exit`; if not, it is started anew. `drops_repeats`: whether a worker asks the journal, and
    does not run an attempt that has ended, or runs already.

    Each method below is a *hook*. Those that say so skip the rules that need them, unless they are overridden; a
    subclass overrides what its engine lets it do.
    """

    slots = 2
    limit_s = 30.0
    drops_repeats = False

    def __init__(self, adapter: StartingAdapter) -> None:
        self.adapter = adapter

    def target(self, name: str) -> str:
        """Return what the engine calls a function of `adapter_tasks.TASKS`: its name, by default."""
        return name

    def options(self) -> Mapping[str, Any]:
        """Return the options that every call is to have; none by default."""
        return {}

    # Workers

    def start_worker(self) -> None:
        """Have a worker run, if none does. By default it does already, as an adapter's own threads do."""

    def stop_worker(self) -> None:
        """Let what runs end, and have nothing taken from the queue until `start_worker`. Skips by default."""
        _without_hook("stop_worker")

    def kill_worker(self) -> None:
        """Let the worker die at once with all that it runs and holds, as by SIGKILL. Skips by default."""
        _without_hook("kill_worker")

    # The queue

    def queued_ids(self) -> Sequence[str]:
        """Return the ids of the messages that wait, read by the engine's own means. Skips by default.

        It is called while the worker is stopped.
        """
        _without_hook("queued_ids")

    def repeat(self, attempt_id: str) -> None:
        """Have the engine deliver once more a message that waits. Skips by default.

        It is called while the worker is stopped.
        """
        _without_hook("repeat")

    def forget(self, attempt_id: str) -> None:
        """Have the engine lose a message that waits. Skips by default. It is called while the worker is stopped."""
        _without_hook("forget")

    def outage(self) -> AbstractContextManager[None]:
        """Keep this process from reaching the engine for as long as the context lasts. Skips by default."""
        _without_hook("outage")

    # What the engine tells

    def told(self, workflow_id: str) -> tuple[WorkflowState, Any] | None:
        """Return what the engine tells whoever asks it for a workflow's end: its state, and its value if it has one.

        None for no end. Skips by default.
        """
        _without_hook("told")


def _without_hook(name: str) -> NoReturn:
    pytest.skip(f"the engine has no hook {name}")


def needs(engine: AdapterEngine, *capabilities: Capability) -> None:
    """Skip the rule unless the adapter claims one of these."""
    if not engine.adapter.capabilities & set(capabilities):
        names = " or ".join(it.name for it in capabilities)
        pytest.skip(f"the adapter does not claim {names}")


@frozen
class Prepared:
    """A workflow that is in the journal, and of which nothing was sent: that is the rule's to do.

    `batch`: what its first entry emits, as a conductor would send it.
    """

    key: WorkflowKey
    definition: Definition = field(repr=False)
    batch: tuple[Dispatch, ...] = field(repr=False)

    @property
    def one(self) -> Dispatch:
        """The only one of the batch."""
        (item,) = self.batch
        return item

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """The batch as the sweep asks for it."""
        return tuple(submission_of(item) for item in self.batch)


def submission_of(item: Dispatch, *, since_ms: int = 0) -> Submission:
    """Return an attempt as the sweep asks for it."""
    return Submission(item.attempt, item.attempt_id, item.call.target, since_ms, item.call.options.get("queue"))


@frozen
class Case:
    """One rule's engine, its folder, and the workflows that it has made."""

    engine: AdapterEngine
    place: Path
    keys: list[WorkflowKey] = field(factory=list[WorkflowKey], repr=False)

    @property
    def adapter(self) -> StartingAdapter:
        """The adapter under test."""
        return self.engine.adapter

    @property
    def journal(self) -> Journal:
        """The journal of the adapter's process, which is the workers' too."""
        return self.engine.adapter.conductor.journal

    def call(self, name: str, *args: Any, **kwargs: Any) -> Call:
        """Call one of the suite's functions, under the engine's name for it."""
        return call(self.engine.target(name), *args, **kwargs).with_options(**self.engine.options())

    def here(self, name: str, *args: Any) -> Call:
        """Call one of those that leave a trace in this rule's place."""
        return self.call(name, str(self.place), *args)

    # Workflows

    def prepare(self, workflow: Workflow, **evolved: Any) -> Prepared:
        """Put a workflow in the journal, and send nothing."""
        definition, calls = workflow.build()
        values = self.adapter.values
        names = [node.id for node in definition.graph.nodes]
        new = NewWorkflow(
            WorkflowKey(f"suite-{secrets.token_hex(8)}", secrets.token_hex(8)),
            digest(definition, calls, values, workflow.generated),
            encode_definition(definition),
            tuple(encode_call(name, it, values) for name, it in zip(names, calls, strict=True)),
        )
        self.journal.create(new, nonce="suite", due_in_ms=_NEVER_DUE_MS)
        self.keys.append(new.key)
        folded = Folded.initial(new.key, definition)
        _, emitted = advance(definition.graph, folded.state, [Begin()])
        batch = tuple(
            Dispatch(
                new.key,
                self.journal.namespace,
                attempt,
                attempt_id(folded, attempt),
                calls[definition.graph.number(attempt.node)],
                attempt.node in definition.kept,
                first_id(folded, attempt),
                definition.graph.measured_paths(attempt.node),
            )
            for attempt in emitted
        )
        return Prepared(new.key, definition, batch)

    def prepare_each(self, *calls: Call) -> Prepared:
        """Put a workflow in the journal that has a node for each call, named "0", "1", …, and keeps every result."""
        workflow = Workflow()
        for number, it in enumerate(calls):
            workflow.add(it, id=str(number))
        return self.prepare(workflow)

    def dispatch(self, prepared: Prepared) -> None:
        """Send all of it; nothing may be refused."""
        assert self.adapter.dispatch(prepared.batch) == ()

    def start(self, workflow: Workflow) -> Run:
        """Start a workflow as a user does."""
        run = start(self.adapter, workflow)
        self.keys.append(run.key)
        return run

    # What is seen

    def outcomes(self, key: WorkflowKey) -> dict[Attempt, list[Outcome]]:
        """Return what the journal has of each attempt, in its order."""
        found: dict[Attempt, list[Outcome]] = {}
        for entry in self.journal.read(key):
            if isinstance(entry.observation, Succeeded | Failed | TimedOut | Lost | Skipped):
                found.setdefault(entry.observation.attempt, []).append(entry.observation)
        return found

    def reported(self, prepared: Prepared) -> dict[Attempt, Outcome]:
        """Wait until every attempt of the batch has an outcome; return the first of each, in the batch's order."""
        wanted = [item.attempt for item in prepared.batch]
        self.until(lambda: set(wanted) <= set(self.outcomes(prepared.key)), f"a report of each of {wanted}")
        found = self.outcomes(prepared.key)
        return {attempt: found[attempt][0] for attempt in wanted}

    def ran(self, call: Call) -> Outcome:
        """Send one call by itself, and return what is reported of it."""
        prepared = self.prepare_each(call)
        self.dispatch(prepared)
        (outcome,) = self.reported(prepared).values()
        return outcome

    def value(self, prepared: Prepared, attempt: Attempt) -> Any:
        """Return what the journal keeps of an attempt's result."""
        return self.adapter.values.decode(self.journal.results(prepared.key, [attempt])[attempt])

    def ended(self, run: Run) -> WorkflowState:
        """Wait for the end of a run; the rule fails, and tells the journal, if it does not come."""
        try:
            return run.wait(self.engine.limit_s)
        except TimeoutError as problem:
            pytest.fail(f"{problem}\n{self.story()}", pytrace=False)

    def count(self, name: str) -> int:
        """Return how many executions of a name have begun."""
        return executions(self.place, name)

    def has_begun(self, name: str, times: int = 1) -> None:
        """Wait until a name has begun to run."""
        self.until(lambda: self.count(name) >= times, f"execution {times} of {name!r}")

    def open(self) -> None:
        """Let go on what waits in this place."""
        (self.place / OPEN).touch()

    def until(self, probe: Callable[[], T], what: str) -> T:
        """Ask until the answer is true, and return it; the rule fails, and tells the journal, if it never is."""
        end = time.monotonic() + self.engine.limit_s
        pause = threading.Event()
        while not (answer := probe()):
            if time.monotonic() > end:
                pytest.fail(f"{what}: not within {self.engine.limit_s} s\n{self.story()}", pytrace=False)
            pause.wait(_PAUSE_S)
        return answer

    def story(self) -> str:
        """Tell what is in the journal of this rule's workflows, and what has run."""
        names = sorted(it.name for it in self.place.iterdir())
        told = [f"{len(names)} have run, among them {names[:_TOLD]}"]
        for key in self.keys[-_TOLD:]:
            with contextlib.suppress(UnknownWorkflowError):
                entries = [f"  {entry!r}" for entry in self.journal.read(key)]
                told += [f"{key.id}, {len(entries)} entries, the last:", *entries[-_TOLD:]]
        return "\n".join(told)

    def is_serving(self) -> None:
        """Show that a worker runs and reports, whatever it went through."""
        self.engine.start_worker()
        assert isinstance(self.ran(self.call("give", "serving")), Succeeded)


def state_of(prepared: Prepared, observed: Iterable[Observation]) -> State:
    """Return what observations make of a prepared workflow."""
    graph = prepared.definition.graph
    return advance(graph, State.initial(graph), list(observed))[0]


class AdapterBasis:
    """The fixtures of the suite. A subclass overrides `engine`, and no other."""

    @pytest.fixture
    def engine(self) -> Iterator[AdapterEngine]:
        """Give the adapter under test, as an `AdapterEngine` or a subclass of it; of a scope as wide as you like.

        With a scope of "class" pytest wants it to be a classmethod.
        """
        message = "override the fixture engine: it gives an AdapterEngine(adapter), or a subclass that has more hooks"
        raise NotImplementedError(message)

    @pytest.fixture
    def case(self, engine: AdapterEngine, tmp_path: Path) -> Iterator[Case]:
        """Give this rule a running worker and a folder; delete its workflows at the end."""
        engine.start_worker()
        case = Case(engine, tmp_path)
        yield case
        case.open()
        for key in case.keys:
            engine.adapter.conductor.journal.delete(key)

    @pytest.fixture(autouse=True)
    def _watched(self, request: pytest.FixtureRequest) -> None:
        """Have the rule's result in the table of clauses, see `adapter_report`."""
        watch_rules(request)
