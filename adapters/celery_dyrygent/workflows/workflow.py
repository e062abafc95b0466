"""`Workflow`: the builder of Celery users, with the methods and attributes that celery-dyrygent's has.

What is new beside the predecessor is the core's. How far a workflow is comes from its journal once it runs.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import timedelta
from typing import Any, ClassVar, Final, Self, cast

from attrs import evolve
from celery import Celery
from kombu.utils.uuid import uuid

from celery_dyrygent.adapter import PROCESSOR_OPTIONS, adapter_of, name_processor, processor_name
from celery_dyrygent.eager_results import EagerWorkflowResult
from celery_dyrygent.registered import register, registered_app
from celery_dyrygent.results import WorkflowResult
from celery_dyrygent.workflows.builder import DEFAULT_DEADLINE
from celery_dyrygent.workflows.canvases import CeleryWorkflowMixin
from celery_dyrygent.workflows.exceptions import WorkflowAlreadyRunningException, WorkflowException
from celery_dyrygent.workflows.node import WorkflowNode
from celery_dyrygent.workflows.payloads import Payloads
from celery_dyrygent.workflows.processor_steps import ProcessorSteps
from celery_dyrygent.workflows.progress import dependencies_of, finished_in, runnable, running_in, simulated
from celery_dyrygent.workflows.signals import WorkflowSignalMixin
from celery_dyrygent.workflows.skipping import check_skipped
from celery_dyrygent.workflows.states import WorkflowState
from celery_dyrygent.workflows.written import (
    KEYS,
    check_not_begun,
    edges_in,
    read_calls,
    read_definition,
    write_calls,
    write_definition,
)
from dyrygent_core import Call, Definition, Graph, Mode, State, UsageError
from dyrygent_core.checks import shown
from dyrygent_core.errors import UnknownNodeError, quoted
from dyrygent_core.ports import Due
from dyrygent_runtime import OnConflict, Run, sweep_workflow

__all__ = [
    "SKIPPED",
    "CeleryWorkflowMixin",
    "Workflow",
    "WorkflowAlreadyRunningException",
    "WorkflowException",
    "WorkflowNode",
    "WorkflowSignalMixin",
    "WorkflowState",
]

SKIPPED: Final = "skipped"
"""The annotation that holds the nodes that were taken for done."""


class Workflow(WorkflowSignalMixin, ProcessorSteps, CeleryWorkflowMixin):
    """Collects nodes: canvases, single signatures, and calls as the core has them, in any mixture.

    The workflow's own result is the canvas's, if one canvas is all there is: a chain's is its last task's, a chord's
    its body's, a group's a list. Of several canvases it is the list of their results, in the order in which they were
    added, without those that another node waits for. Where a node that was added by hand ends the workflow, it is as
    in the core: the result of the only sink, or `{node id: result}` of the sinks. `returns` says otherwise.

    Before the start `state`, `running` and `finished` are those of `simulate_tick`; afterwards they are read from the
    journal at each use. Nothing can be added any more then.
    """

    engine: ClassVar[str] = "Celery"
    workflow_processor_task: ClassVar[Any] = None
    """The task that was registered last in this process."""
    straight_serializables: ClassVar[Mapping[str, Any]] = KEYS
    """The keys of `to_dict` beside `nodes` and `stats`."""

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        pass_results: bool = True,
        deadline: timedelta | int | None = DEFAULT_DEADLINE,
        max_in_flight: int | None = None,
        mode: Mode | str = Mode.RUN_INDEPENDENT,
    ) -> None:
        """Begin an empty workflow.

        `options`: Celery's, for the messages of the workflow itself. `pass_results=False` keeps results out of
        arguments, as celery-dyrygent does; so does `app.conf.dyrygent_pass_results = False`, for all workflows of the
        registered app. `deadline`: a `timedelta`, or milliseconds, from the start; None for none. `max_in_flight` and
        `mode`: as in the core.
        """
        if not isinstance(cast("object", options), Mapping | None):
            message = f"options are a mapping of Celery's options, not {shown(options)}; a name is Workflow(name=…)"
            raise UsageError(message)
        super().__init__(
            name or "", pass_results=pass_results, deadline=deadline, max_in_flight=max_in_flight, mode=mode
        )
        self.workflow_options: dict[str, Any] = dict(options or {})
        self.tasks_options: dict[str, Any] = {}
        self.custom_payload: dict[str, Any] = {}
        self.retry_policy: list[Any] = list(KEYS["retry_policy"])
        self.processing_limit_ts: int | None = None
        self.version: int = KEYS["version"]
        self._id: str | None = None
        self._run: Run | None = None
        self._simulated: State | None = None

    # What it is

    @property
    def id(self) -> str | None:
        """The workflow's id, the task id under which Celery has its result; None before it is frozen or started."""
        return self._id

    @property
    def run(self) -> Run:
        """The handle on the workflow that was started; raises `UsageError` before."""
        if self._run is None:
            message = "this workflow has not been started; call apply_async() first"
            raise UsageError(message)
        return self._run

    @property
    def state(self) -> str:
        """The name of what has become of the whole: one of `WorkflowState`."""
        return WorkflowState.INITIAL if self._run is None else self._run.workflow_state.name

    @property
    def running(self) -> dict[str, int]:
        """The ids of the nodes in flight, each with the number of its attempt. A copy."""
        state = self._moment()
        return {} if state is None else running_in(state)

    @property
    def finished(self) -> dict[str, bool]:
        """The ids of the nodes that have ended: True if they succeeded or were skipped, False if they failed. A copy.

        Nodes that will never run, since something before them failed, are not among them.
        """
        state = self._moment()
        return {**dict.fromkeys(sorted(self._skipped), True), **({} if state is None else finished_in(state))}

    @property
    def stats(self) -> dict[str, int]:
        """Figures of the predecessor's: `ticks`, the entries of the journal so far, and two that stay 0."""
        ticks = 0 if self._run is None else len(self._run.history())
        return {"last_apply_async_tick": 0, "ticks": ticks, "consecutive_celery_error_ticks": 0}

    @property
    def logger(self) -> logging.Logger:
        """The one logger of this library."""
        return logging.getLogger("dyrygent")

    def is_success(self) -> bool:
        """Tell whether all of it has succeeded."""
        if self._run is not None:
            return self.state == WorkflowState.SUCCESS
        finished = self.finished
        return all(finished.get(node) for node in self._nodes)

    def iterate_dependencies(self) -> Iterator[tuple[WorkflowNode, WorkflowNode | None]]:
        """Give each edge as (node, dependency), in the order of ids; a node without dependencies with None."""
        nodes = self.nodes
        for node, dependency in dependencies_of(self._nodes):
            yield nodes[node], None if dependency is None else nodes[dependency]

    def get_unlocked_dependencies(self) -> set[str]:
        """Return the ids of the nodes that have succeeded."""
        return {node for node, is_good in self.finished.items() if is_good}

    def get_signatures_to_run(self) -> list[WorkflowNode]:
        """Return the nodes that have not begun and whose dependencies have all succeeded."""
        return [self.nodes[node] for node in runnable(self._nodes, self.running, self.finished)]

    # Trying it out

    def simulate_tick(self) -> bool:
        """Take what `running` has for done, and let run what follows; tell whether anything runs then.

        Nothing is sent. The rules are those of the real run, and the nodes those at the first tick. Raises as `build`,
        and `UsageError` once the workflow was started.
        """
        self._check_open()
        graph = self._simulated.graph if self._simulated is not None else self.build()[0].graph
        self._simulated = simulated(graph, self._simulated)
        return bool(self._simulated.attempts_in_flight)

    def skip_tasks(self, task_ids: Iterable[str]) -> None:
        """Take these nodes for done, so that they never run and what waits for them does not wait.

        It takes the whole set; an earlier one holds no longer. Where their results would be passed, None is.
        Raises, and nothing is changed: `UnknownNodeError`; `UsageError` for a node whose dependencies are not in the
        set, for one whose failure another waits for, and once the workflow was started (`run.skip` is for that).
        """
        self._check_open()
        skipped = frozenset(task_ids)
        for node in sorted(skipped - self._nodes.keys()):
            raise UnknownNodeError(node, known=self._nodes)
        check_skipped(self._nodes, skipped)
        self._skipped = skipped
        self._simulated = None

    # Limits

    @property
    def max_processing_time(self) -> float | None:
        """How many seconds it may take from its start; then it ends in ERROR. None for no limit."""
        deadline_ms = self._settings.deadline_ms
        return None if deadline_ms is None else deadline_ms / 1_000

    def set_max_processing_time(self, seconds: float | None) -> None:
        """Say how many seconds it may take, as `deadline` does; raises `UsageError` for less than a millisecond."""
        self._check_open()
        old, deadline_ms = self._settings, None if seconds is None else int(seconds * 1_000)
        self._settings = Graph((), max_in_flight=old.max_in_flight, mode=old.mode, deadline_ms=deadline_ms)

    def evaluate_processing_limit(self) -> None:
        """Set `processing_limit_ts`, in seconds since the epoch, as if it were started now."""
        limit_s = self.max_processing_time
        self.processing_limit_ts = None if limit_s is None else int(time.time() + limit_s)

    def check_processing_time(self) -> None:
        """Raise `UsageError` if `processing_limit_ts` has passed. The sweep looks to the real deadline by itself."""
        if self.processing_limit_ts is not None and time.time() > self.processing_limit_ts:
            message = f"workflow {quoted(str(self.id))} takes longer than its {self.max_processing_time} s"
            raise UsageError(message)

    def set_retry_policy(self, retry_type: str, *retry_args: int) -> None:
        """Keep how long the predecessor's processor would have waited between two ticks: `("random", 10, 30)`.

        Nothing waits for ticks here. What comes nearest is the sweep's interval, of a whole app:
        `Settings(sweep_interval_ms=…)`. Raises `UsageError`, and the old one stays, for another type or range.
        """
        if retry_type != "random":
            message = f"there is no retry policy {quoted(str(retry_type))}; write ('random', least, most)"
            raise UsageError(message)
        if len(retry_args) != 2 or not 0 < retry_args[0] <= retry_args[1]:  # noqa: PLR2004  # least and most
            message = f"a random retry policy has a least and a most number of seconds, not {retry_args}"
            raise UsageError(message)
        self.retry_policy = [retry_type, *retry_args]

    def get_retry_countdown(self) -> int:
        """Return a number of seconds from the retry policy."""
        _, least, most = self.retry_policy
        return random.randint(least, most)  # noqa: S311  # a waiting time

    # Starting it

    @classmethod
    def set_workflow_processor_task(cls, task: Any) -> None:
        """Choose the task, and with it the app, that workflows are started on; `register_workflow_processor` does."""
        cls.workflow_processor_task = task
        register(task.app)
        name_processor(task.app, task.name)

    def freeze(self) -> Any:
        """Return a signature that starts the workflow when it is sent, and settle the workflow's id.

        It holds the workflow as `to_dict` writes it, as it is now; `apply_async` needs no signature.
        Whatever is to follow the workflow belongs into it: the signature takes no callbacks.

        Raises `UsageError` if no app was registered, and as `build`.
        """
        app = _app()
        task = app.tasks[processor_name(app)]
        self.evaluate_processing_limit()
        if self._id is None:
            self._id = uuid()
        options = {**self.workflow_options, "task_id": self._id}
        return task.signature(kwargs={"workflow_dict": self.to_dict()}, **options)

    def apply_async(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002  # as in `start`
        on_conflict: OnConflict | str = OnConflict.EXISTING,
        tags: Sequence[str] = (),
    ) -> WorkflowResult:
        """Start the workflow on the registered app; return its result, an `AsyncResult` of Celery.

        `options`: Celery's, for every task; those of a signature win over them. `id`, `on_conflict` and `tags`: see
        `dyrygent_runtime.start`. A second call starts nothing, and returns the result of what was started.

        Raises, and nothing is started: `UsageError` if no app was registered, or for an id other than the frozen one,
        and as `dyrygent_runtime.start`.
        """
        given = next((key for key in ("link", "link_error") if (options or {}).get(key)), None)
        if given is not None:
            message = (
                f"{given!r} among the options would be of every single task; link it to the canvas before that is "
                f"added (canvas.{given}(callback)), or write workflow.on_success(…) or workflow.on_error(…)"
            )
            raise UsageError(message)
        app = _app()
        adapter = adapter_of(app)
        if self._run is None:
            if None not in (id, self._id) and id != self._id:
                message = f"this workflow is frozen under the id {quoted(str(self._id))}; drop id={quoted(str(id))}"
                raise UsageError(message)
            self.tasks_options = dict(options or {})
            wanted = id if id is not None else self._id
            run = adapter.start(self.with_tasks_options(), id=wanted, on_conflict=on_conflict, tags=tags)
            self._id, self._run = run.id, run
            self.evaluate_processing_limit()
        return (
            WorkflowResult(self.run.id, app=app) if adapter.inline is None else EagerWorkflowResult(self.run, adapter)
        )

    def with_tasks_options(self) -> Workflow:
        """Return the workflow as it is started: with its options for every task, where a signature has none itself."""
        if not self.tasks_options:
            return self
        calls = self._calls.items()
        return self._twin({node: evolve(it, options={**self.tasks_options, **it.options}) for node, it in calls})

    def notes(self) -> Mapping[str, Any]:
        """Return what is to be beside its journal: payloads, options for our own messages, and who is skipped."""
        notes: dict[str, Any] = {**Payloads(self.custom_payload, self._home.payloads).notes()}
        if self.workflow_options:
            notes[PROCESSOR_OPTIONS] = self.workflow_options
        if self._skipped:
            notes[SKIPPED] = sorted(self._skipped)
        return notes

    @classmethod
    def from_id(cls, workflow_id: str) -> Workflow:
        """Return a workflow that was started, as the registered app's journal has it, in any process.

        Its nodes, states and payloads can be read, and its `run` steers it; nothing can be added.
        Raises `UsageError` if no app was registered; `UnknownWorkflowError`.
        """
        from celery_dyrygent.workflows.started import StartedWorkflow  # noqa: PLC0415  # which is a workflow itself

        app = _app()
        adapter = adapter_of(app)
        return StartedWorkflow(adapter, adapter.journal.definition(workflow_id).key)

    # Writing it down

    def to_dict(self) -> dict[str, Any]:
        """Write the workflow as a dict of plain values, with the predecessor's keys; raises as `build`."""
        definition, calls = self._whole()
        by_id = {node.id: call for node, call in zip(definition.graph.nodes, calls, strict=True)}
        return {
            "nodes": write_calls(self.nodes, by_id),
            **{key: getattr(self, key) for key in KEYS},
            "stats": self.stats,
            "dyrygent": {**write_definition(definition, self.generated), "pass_results": self._pass_results},
        }

    @classmethod
    def from_dict(cls, workflow_dict: Mapping[str, Any]) -> Self:
        """Read a workflow that `to_dict` has written, here or in celery-dyrygent, and that has not begun.

        Raises `UsageError` for one that has, and for what neither wrote; `UnsupportedVersionError`.
        """
        try:
            check_not_begun(workflow_dict)
            workflow = cls()
            workflow._read(workflow_dict)  # one of ourselves
        except UsageError:
            raise
        except (KeyError, TypeError, AttributeError) as problem:
            message = f"this is no workflow as to_dict writes it: {type(problem).__name__}: {problem}"
            raise UsageError(message) from problem
        return workflow

    def _read(self, written: Mapping[str, Any]) -> None:
        ours, nodes, calls = written.get("dyrygent"), written["nodes"], read_calls(written["nodes"])
        if ours is not None:
            self.restore(*read_definition(ours), calls)
            self._pass_results = ours["pass_results"]
        else:
            self._pass_results = False
            for node_id, call in calls.items():
                self._add(call, node_id, depends_on=edges_in(nodes[node_id]))
                self._engine_named.add(node_id)
            if written.get("processing_limit_ts") is not None:
                self.set_max_processing_time(max(0.001, written["processing_limit_ts"] - time.time()))
        for key in _PLAIN:
            setattr(self, key, deepcopy(written.get(key, KEYS[key])))
        self._id = written.get("id")
        self._home.payloads.update(
            {node_id: dict(node["custom_payload"]) for node_id, node in nodes.items() if node.get("custom_payload")}
        )
        self.skip_tasks(node for node, is_good in written.get("finished", {}).items() if is_good)

    def _whole(self) -> tuple[Definition, tuple[Call, ...]]:
        """Build it with the nodes that are taken for done."""
        twin = self._twin(self._calls)
        twin._skipped = frozenset()  # noqa: SLF001  # a copy of ourselves
        return twin.build()

    def _moment(self) -> State | None:
        return self._simulated if self._run is None else self._run.state

    def _check_open(self) -> None:
        if self._run is not None:
            message = (
                f"workflow {quoted(self._run.id)} has been started, and its nodes stay as they are; steer it by `run`, "
                f"or make another workflow"
            )
            raise UsageError(message)

    # The predecessor's processor

    def tick(self) -> bool:
        """Take one turn of the sweep over a workflow that was started, now; tell whether it goes on.

        Nobody needs to call it: workers report what ends, and sweep. Raises `UsageError` before the start.
        """
        run = self.run
        conductor = adapter_of(_app()).conductor
        due = Due(run.key, conductor.journal.mark(run.key, []))
        sweep_workflow(conductor, due, watched_ms=conductor.clock.monotonic_ms())  # who is silent is for workers to say
        return not run.workflow_state.is_final


_PLAIN: Final = (
    "tasks_options",
    "workflow_options",
    "custom_payload",
    "retry_policy",
    "processing_limit_ts",
    "version",
)
_UNREGISTERED: Final = "no app runs workflows yet; call register_workflow_processor(app) where the app is made"


def _app() -> Celery:
    app = registered_app()
    if app is None:
        raise UsageError(_UNREGISTERED)
    return app
