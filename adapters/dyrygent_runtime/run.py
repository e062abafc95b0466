"""The handle on a started workflow: everything that it tells comes from the journal.

What it is asked is answered in `results`, `waiting` and, in words, in the core's `explain`, `story` and
`critical_path`; what it is told to do is done in `requests`. Which workflows there are is asked in `runs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dyrygent_core import (
    CancelRequested,
    Definition,
    History,
    NodeHandle,
    PathStep,
    PauseRequested,
    Progress,
    Ran,
    ResumeRequested,
    SkipRequested,
    State,
    Status,
    UsageError,
    WorkflowState,
    advance,
    critical_path,
    explain,
    story,
)
from dyrygent_core.checks import check_id, named, shown
from dyrygent_core.errors import quoted
from dyrygent_core.observations import Lost
from dyrygent_core.past import replay
from dyrygent_core.ports import Adapter, Entry, Journal, WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.connecting import conductor_over
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.requests import OnUnfinished, ask, checked_reason, delete, rerun
from dyrygent_runtime.resolution import readable_calls
from dyrygent_runtime.results import kept_results, node_result, own_result
from dyrygent_runtime.runs import listed
from dyrygent_runtime.waiting import wait_for_end, wait_for_end_async

__all__ = ["Run"]


class Run:
    """A started workflow. Making one costs nothing; each question reads what is new in the journal.

    Nodes are named by their handles or ids; a name that the workflow does not have raises `UnknownNodeError`.
    Every question and request raises `UnknownWorkflowError` once the workflow is deleted, even if its id was used
    again, and `JournalUnavailableError` while the journal's store cannot be reached. A request that this has befallen
    may have been recorded; asking again is safe.
    """

    def __init__(self, conductor: Conductor, key: WorkflowKey) -> None:
        self._conductor = conductor
        self._known: Definition | None = None
        self.key = key

    def __repr__(self) -> str:
        return f"<Run {quoted(self.id)}>"

    @classmethod
    def from_id(cls, id: str, journal: Journal, adapter: Adapter | None = None) -> Run:  # noqa: A002  # as in `start`
        """Return the run of a workflow that is in the journal; raises `UnknownWorkflowError`.

        Without its adapter a run tells everything, and what it is asked to do is recorded; the workers do it, and send
        what it lets start when the grace time (30 s) is over. Results are then read as plain JSON.
        """
        conductor = conductor_over(journal, adapter)
        return cls(conductor, conductor.find(check_id(id)))

    # What it is

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.key.id

    @property
    def name(self) -> str:
        """The workflow's name, empty if it has none."""
        return self._definition().name

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it was started with. Cost: two reads."""
        return listed(self._conductor.journal, self.key).tags

    # How it is

    @property
    def state(self) -> State:
        """Where every node stands now: ask it several questions to get answers of one moment."""
        return self._now().state

    @property
    def workflow_state(self) -> WorkflowState:
        """What has become of the whole."""
        return self.state.workflow_state

    @property
    def statuses(self) -> Mapping[str, Status]:
        """What has become of every node by id, in topological order."""
        return self.state.statuses

    @property
    def progress(self) -> Progress:
        """How far it is, in nodes."""
        return self.state.progress

    def status(self, node: NodeHandle | str) -> Status:
        """Return what has become of one node."""
        return self.state.status(_id(node))

    def wait(self, timeout: float | None = None) -> WorkflowState:
        """Wait until the workflow has ended, at most `timeout` seconds; return what became of it.

        After a rerun this is the end of that round. Raises `TimeoutError`; the workflow goes on.
        """
        return wait_for_end(self._conductor, self.key, timeout)

    async def wait_async(self, timeout: float | None = None) -> WorkflowState:  # noqa: ASYNC109  # as in `wait`
        """Wait as `wait` does, without holding up the event loop.

        It may be cancelled at any time. While it waits it has a thread of its own, which is gone half a second after
        a cancel.
        """
        return await wait_for_end_async(self._conductor, self.key, timeout)

    def result(self, node: NodeHandle | str | None = None) -> Any:
        """Return a node's result, or the workflow's own.

        That of a node which nobody refers to is not kept in the journal; the engine is asked for it.

        Raises `WorkflowFailedError` if the workflow did not end in SUCCESS, or the node did not succeed, as yet;
        `ResultNotKeptError` if the engine does not have it either.
        """
        folded = self._now()
        if node is None:
            return own_result(self._conductor, folded)
        return node_result(self._conductor, folded, _id(node))

    def results(self, nodes: Iterable[NodeHandle | str] | None = None) -> dict[str, Any]:
        """Return the results that are in the journal, of these nodes or of all, by id and in topological order.

        Nodes that have not succeeded, or whose result nobody refers to, are left out; the engine is not asked.
        Cost: one read of results, or two where they are mapped over.
        """
        return kept_results(self._conductor, self._now(), None if nodes is None else _ids(nodes))

    # How it came about

    def history(self) -> History:
        """Return the whole journal of the workflow, in order, together with what it is a journal of.

        Cost: one read of the entries and one of the calls.
        """
        definition = self._definition()
        numbers = range(len(definition.graph))
        calls = readable_calls(self._conductor.adapter.values, self._conductor.journal.calls(self.key, numbers))
        return History(self.id, definition, self._entries(), calls)

    def explain(self, node: NodeHandle | str) -> str:
        """Say in one sentence why a node has or has not run; see `dyrygent_core.explain`."""
        graph, entries = self._definition().graph, self._entries()
        state, _ = advance(graph, State.initial(graph), [entry.observation for entry in entries])
        return explain(graph, state, _id(node), entries=entries)

    def story(self, node: NodeHandle | str) -> tuple[str, ...]:
        """Tell what was observed of a node, in order, and what became of it; see `dyrygent_core.story`."""
        return story(self._definition().graph, self.history(), _id(node))

    def critical_path(self, node: NodeHandle | str | None = None) -> tuple[PathStep, ...]:
        """Give the chain of nodes that the whole, or one node, had to wait for; see `dyrygent_core.critical_path`."""
        return critical_path(self._definition().graph, self.history(), None if node is None else _id(node))

    def timeline(self) -> dict[str, Ran]:
        """Return when and where each node that has run did so for the last time, by id.

        Of a mapped node it is the instance whose end was recorded last. Only outcomes that counted are in it.
        """
        passed = (it.counted_outcome for it in replay(self._definition().graph, self._entries()))
        return {
            outcome.attempt.node: outcome.ran
            for outcome in passed
            if outcome is not None and not isinstance(outcome, Lost) and outcome.ran is not None
        }

    # What it is asked to do

    def cancel(self, reason: str = "") -> None:
        """Record that the workflow is to stop: nothing that has not been sent starts after this.

        What the engine already holds is revoked as best effort. A workflow that has ended stays as it is.
        """
        ask(self._conductor, self.key, CancelRequested(checked_reason(reason)))

    def pause(self, reason: str = "") -> None:
        """Record that nothing more is to start until `resume`; what is in flight goes on, and its end is recorded.

        A workflow that has ended, or is ending, stays as it is. The deadline goes on.
        """
        ask(self._conductor, self.key, PauseRequested(checked_reason(reason)))

    def resume(self) -> None:
        """Record that the pause is over, and send what it held back; without a pause nothing happens."""
        ask(self._conductor, self.key, ResumeRequested())

    def skip(self, node: NodeHandle | str, reason: str = "") -> None:
        """Record that the workflow is to go on without one of its nodes: it ends SKIPPED, as if it had said so itself.

        If it runs already it is revoked as best effort; should it succeed all the same, that counts.
        A node that has ended, or whose workflow has, stays as it is.
        """
        self._definition().graph.number(_id(node))
        ask(self._conductor, self.key, SkipRequested(_id(node), checked_reason(reason)))

    def rerun(self, nodes: Iterable[NodeHandle | str] | NodeHandle | str = ()) -> None:
        """Open another round of a workflow that has ended, and not in SUCCESS.

        It repeats the named nodes, or all that failed or were cancelled, and every node below them that did not
        succeed; of a mapped node only the instances that failed, if what it maps over stays. The deadline begins
        anew, and `wait` and `result` are those of the new round.

        Raises `UsageError`, and nothing has come of it: for a workflow that has not ended, or has ended in SUCCESS;
        also if somebody else's rerun was a moment earlier.
        """
        rerun(self._conductor, self.key, _ids([nodes] if isinstance(nodes, NodeHandle | str) else nodes))

    def delete(self, *, on_unfinished: OnUnfinished | str = OnUnfinished.ERROR) -> None:
        """Delete everything that the journal holds of the workflow; its id may be used again.

        What the engine keeps, such as Celery's result backend, stays there for as long as it is configured to.
        With `on_unfinished="delete"` it need not have ended: nothing more starts then, what the engine holds of it may
        still run, and its outcome is dropped.

        Raises `UsageError`, and nothing is deleted, for a workflow that has not ended, or of whose end its engine does
        not know yet.
        """
        delete(self._conductor, self.key, named(OnUnfinished, "on_unfinished", on_unfinished))

    def _entries(self) -> tuple[Entry, ...]:
        return self._conductor.journal.read(self.key)

    def _now(self) -> Folded:
        return self._conductor.refresh(self.key)

    def _definition(self) -> Definition:
        """Return what never changes, read once."""
        if self._known is None:
            self._known = self._now().definition
        return self._known


def _id(node: object) -> str:
    if isinstance(node, NodeHandle):
        return node.id
    if not isinstance(node, str):
        message = f"a node is named by its handle or its id, not by {shown(node)}"
        raise UsageError(message)
    return node


def _ids(nodes: Iterable[NodeHandle | str]) -> tuple[str, ...]:
    if isinstance(nodes, str):
        message = f"nodes must be a sequence of ids, not the single id {quoted(nodes)}; write [{quoted(nodes)}]"
        raise UsageError(message)
    return tuple(map(_id, nodes))
