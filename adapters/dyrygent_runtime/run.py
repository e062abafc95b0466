"""The handle on a started workflow: everything that it tells comes from the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dyrygent_core import (
    CancelRequested,
    Failed,
    NodeHandle,
    Observation,
    PauseRequested,
    Ran,
    RerunRequested,
    ResumeRequested,
    Skipped,
    SkipRequested,
    State,
    Status,
    Succeeded,
    TimedOut,
    UsageError,
    WorkflowFailedError,
    WorkflowState,
    advance,
)
from dyrygent_core.errors import ResultNotKeptError, quoted
from dyrygent_core.ports import Adapter, Entry, Journal, WorkflowKey
from dyrygent_core.refs import NO_VALUE
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.no_adapter import NoAdapter
from dyrygent_runtime.resolution import Results, fill
from dyrygent_runtime.summary import cause_of

__all__ = ["Run"]

_LONGEST_WATCH_MS: Final = 1_000


class Run:
    """A started workflow. Making one costs nothing; each question reads what is new in the journal."""

    def __init__(self, conductor: Conductor, key: WorkflowKey) -> None:
        self._conductor = conductor
        self.key = key

    def __repr__(self) -> str:
        return f"<Run {self.id!r}>"

    @classmethod
    def from_id(cls, id: str, journal: Journal, adapter: Adapter | None = None) -> Run:  # noqa: A002  # as in `start`
        """Return the run of a workflow that is in the journal; raises `UnknownWorkflowError`.

        Without its adapter a run can be watched and cancelled, and results are read as plain JSON.
        """
        return cls(Conductor(journal, adapter or NoAdapter()), journal.definition(id).key)

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.key.id

    @property
    def state(self) -> State:
        """Where every node stands now."""
        return self._now().state

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole."""
        return self.state.workflow_state

    def status(self, node: NodeHandle | str) -> Status:
        """Return what has become of one node; raises `UnknownNodeError`."""
        return self.state.status(_id(node))

    def entries(self) -> tuple[Entry, ...]:
        """Return the whole journal of the workflow."""
        return self._conductor.journal.read(self.key)

    def timeline(self) -> dict[str, Ran]:
        """Return when and where each node that has run did so for the last time, by id."""
        outcomes = (entry.observation for entry in self.entries())
        return {
            it.attempt.node: it.ran
            for it in outcomes
            if isinstance(it, Succeeded | Failed | Skipped | TimedOut) and it.ran is not None
        }

    def wait(self, timeout: float | None = None) -> WorkflowState:
        """Wait until the workflow has ended, at most `timeout` seconds; return what became of it.

        After a rerun this is the end of that round. Raises `TimeoutError`; the workflow goes on.
        """
        clock = self._conductor.clock
        end_ms = None if timeout is None else clock.monotonic_ms() + int(float(timeout) * 1000)
        while True:
            folded = self._now()
            if folded.state.is_finished:
                return folded.state.workflow_state
            left_ms = _LONGEST_WATCH_MS if end_ms is None else end_ms - clock.monotonic_ms()
            if left_ms <= 0:
                message = f"workflow {quoted(self.id)} has not ended within {timeout} s: {folded.state!r}"
                raise TimeoutError(message)
            self._conductor.journal.watch(
                self.key, after=folded.seen.position, timeout_ms=min(left_ms, _LONGEST_WATCH_MS)
            )

    def result(self, node: NodeHandle | str | None = None) -> Any:
        """Return a node's result, or the workflow's own.

        Raises `WorkflowFailedError` if the workflow did not end in SUCCESS, or the node did not succeed, as yet;
        `ResultNotKeptError` for a node whose result nobody refers to; `UnknownNodeError`.
        """
        return self._own_result() if node is None else self._node_result(_id(node))

    def cancel(self, reason: str = "") -> None:
        """Record that the workflow is to stop: nothing that has not been sent starts after this.

        What the engine already holds is revoked as best effort. A workflow that has ended stays as it is.
        """
        self._request(CancelRequested(reason))

    def pause(self, reason: str = "") -> None:
        """Record that nothing more is to start until `resume`; what is in flight goes on, and its end is recorded.

        A workflow that has ended, or is ending, stays as it is. The deadline goes on.
        """
        self._request(PauseRequested(reason))

    def resume(self) -> None:
        """Record that the pause is over, and send what it held back; without a pause nothing happens."""
        self._request(ResumeRequested())

    def skip(self, node: NodeHandle | str, reason: str = "") -> None:
        """Record that the workflow is to go on without one of its nodes: it ends SKIPPED, as if it had said so itself.

        If it runs already it is revoked as best effort; should it succeed all the same, that counts.
        A node that has ended, or whose workflow has, stays as it is. Raises `UnknownNodeError`.
        """
        name = _id(node)
        self._now().state.graph.number(name)
        self._request(SkipRequested(name, reason))

    def rerun(self, nodes: Iterable[NodeHandle | str] | NodeHandle | str = ()) -> None:
        """Open another round of a workflow that has ended, and not in SUCCESS.

        It repeats the named nodes, or all that failed or were cancelled, and every node below them that did not
        succeed; of a mapped node only the instances that failed, if what it maps over stays. The deadline begins
        anew, and `wait` and `result` are those of the new round.

        Raises, and nothing is recorded: `UnknownNodeError`; `UsageError` for a workflow that has not ended, or has
        ended in SUCCESS.
        """
        names = tuple(map(_id, [nodes] if isinstance(nodes, NodeHandle | str) else nodes))
        folded = self._now()
        for name in names:
            folded.state.graph.number(name)
        state = folded.state.workflow_state
        if not state.is_final or state is WorkflowState.SUCCESS:
            message = (
                f"workflow {quoted(self.id)} is in {state.name}; only one that has ended, and not in SUCCESS, "
                f"can be run again"
            )
            raise UsageError(message)
        self._request(RerunRequested(names))

    def _request(self, observation: Observation) -> None:
        """Append what somebody asks for, unless it would change nothing."""
        folded = self._now()
        if advance(folded.state.graph, folded.state, [observation])[0] is folded.state:
            return
        folded = self._conductor.turn(self.key, [observation])
        if folded.state.to_revoke:
            self._conductor.journal.remind(self.key, in_ms=0)

    def _now(self) -> Folded:
        return self._conductor.refresh(self.key)

    def _own_result(self) -> Any:
        folded = self._now()
        if folded.state.workflow_state is not WorkflowState.SUCCESS:
            raise WorkflowFailedError(_why(folded))
        return fill(self._conductor.journal, self._conductor.adapter.values, folded, folded.definition.output)

    def _node_result(self, node: str) -> Any:
        folded = self._now()
        status = folded.state.status(node)
        if status is not Status.SUCCEEDED:
            failure = cause_of(folded, node)
            because = f": {failure}" if failure is not None else ""
            message = f"node {quoted(node)} of workflow {quoted(self.id)} has no result, it is {status.name}{because}"
            raise WorkflowFailedError(message)
        results = Results(self._conductor.journal, self._conductor.adapter.values, folded)
        results.read([(None, node)])
        value = results.of(node)
        if value is NO_VALUE:
            message = (
                f"node {quoted(node)} succeeded, but no later node refers to its result, so it was not kept; "
                f"refer to it in Workflow.returns(…)"
            )
            raise ResultNotKeptError(message)
        return value


def _id(node: NodeHandle | str) -> str:
    return node.id if isinstance(node, NodeHandle) else node


def _why(folded: Folded) -> str:
    state = folded.state
    failed = state.first_failed
    because = f"; node {quoted(failed)} failed first: {cause_of(folded, failed)}" if failed is not None else ""
    return f"workflow {quoted(folded.key.id)} has no result, it is in {state.workflow_state.name}{because}"
