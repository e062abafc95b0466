"""A workflow that was started, as its journal has it: what handlers are given, and `Workflow.from_id`.

It is read piece by piece, when a piece is asked for: a handler that wants the id alone costs nothing.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery_dyrygent.adapter import PROCESSOR_OPTIONS, CeleryAdapter
from celery_dyrygent.workflows.home import WorkflowHome
from celery_dyrygent.workflows.payloads import Payloads
from celery_dyrygent.workflows.workflow import SKIPPED, Workflow
from celery_dyrygent.workflows.written import KEYS
from dyrygent_core import Call, Node, State, UsageError
from dyrygent_core.codec import decode_call
from dyrygent_core.errors import quoted
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime import Run

__all__ = ["StartedWorkflow"]

_LOG = logging.getLogger("dyrygent")

_BUILT: Final = frozenset({"name", "_nodes", "_calls", "_home", "_settings", "_output", "_generated", "_engine_named"})
"""What a builder has; read with the definition and the calls."""
_NOTED: Final = frozenset({"custom_payload", "workflow_options", "_skipped", "_payloads"})
"""What was noted at the start; read with the annotations."""


class StartedWorkflow(Workflow):
    """A workflow that was started.

    `moment`: the state that is shown; without it, the present one at each use. `shown_state`: the state's name that
    is shown, where a handler is told of one that may be over already.
    """

    _payloads: Payloads

    def __init__(self, adapter: CeleryAdapter, key: WorkflowKey, *, moment: State | None = None) -> None:
        # What the builder's own __init__ would set is read when it is asked for: see `__getattr__`.
        self._adapter = adapter
        self._id, self._run, self._simulated = key.id, Run(adapter.conductor, key), moment
        self.shown_state: str | None = None
        self._canvases, self._pass_results = [], False
        self.tasks_options, self.retry_policy, self.version = {}, list(KEYS["retry_policy"]), KEYS["version"]

    def __getattr__(self, name: str) -> Any:
        if name in _BUILT:
            self._read_built()
        elif name in _NOTED:
            self._read_noted()
        else:
            message = f"a workflow has no attribute {quoted(name)}"
            raise AttributeError(message)
        return self.__dict__[name]

    @property
    def state(self) -> str:
        """The name of what has become of the whole."""
        return self.shown_state or self._moment().workflow_state.name

    @property
    def processing_limit_ts(self) -> int | None:  # type: ignore[override]  # it is known here
        """When it passes its deadline, in seconds since the epoch."""
        limit_s = self.max_processing_time
        return None if limit_s is None else int(self._moment().begun_ms / 1_000 + limit_s)

    def save(self) -> None:
        """Write what was changed in the payloads; what cannot be written is logged and stays as it was."""
        if "_payloads" not in self.__dict__:
            return
        now = Payloads(self.custom_payload, self._home.payloads if "_home" in self.__dict__ else self._payloads.nodes)
        try:
            changes = now.changes_since(self._payloads)
        except UsageError as problem:
            _LOG.warning("workflow %s: a handler's change is not saved: %s", quoted(str(self._id)), problem)
            return
        if changes:
            self._adapter.journal.annotate(self.run.key, changes)
            self._payloads = now.copy()

    def _moment(self) -> State:
        return self.run.state if self._simulated is None else self._simulated

    def _read_built(self) -> None:
        conductor, key = self._adapter.conductor, self.run.key
        definition = conductor.refresh(key).definition
        written = conductor.journal.calls(key, range(len(definition.graph)))
        ids = [node.id for node in definition.graph.nodes]
        calls = {node_id: decode_call(written[at], self._adapter.values) for at, node_id in enumerate(ids)}
        self._nodes: dict[str, Node] = {}
        self._calls: dict[str, Call] = {}
        self._generated: set[str] = set()
        self._engine_named: set[str] = set()
        self.restore(definition, frozenset(), calls)
        self._home = WorkflowHome(self._nodes, self._calls, self._check_open)
        self._home.payloads = self._payloads.copy().nodes

    def _read_noted(self) -> None:
        notes = self._adapter.journal.annotations(self.run.key)
        self._payloads = Payloads.read(notes)
        self.custom_payload = self._payloads.copy().workflow
        self.workflow_options = dict(notes.get(PROCESSOR_OPTIONS, {}))
        self._skipped = frozenset(notes.get(SKIPPED, ()))
