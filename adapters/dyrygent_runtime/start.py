"""Starting a workflow: all checks first, then one write, then the first attempts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol

from dyrygent_core import Begin, Definition, LimitError, UsageError, Workflow, WorkflowExistsError
from dyrygent_core.checks import check_id, named
from dyrygent_core.codec import digest, encode_call, encode_definition
from dyrygent_core.errors import JournalUnavailableError, quoted
from dyrygent_core.ports import Adapter, Created, Entry, Journal, NewWorkflow, WorkflowKey
from dyrygent_runtime.conductor import Conductor
from dyrygent_runtime.connecting import conductor_over
from dyrygent_runtime.faults import FaultPoint
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.labels import check_name, tags_of
from dyrygent_runtime.portability import check_engine
from dyrygent_runtime.run import Run
from dyrygent_runtime.settings import MAX_NODES, MAX_WORKFLOW_ID_CHARACTERS, check_time_outs

__all__ = ["OnConflict", "StartingAdapter", "start"]

_INCARNATION_BYTES: Final = 8


class OnConflict(Enum):
    """What to do when a workflow with the wanted id exists."""

    EXISTING = "existing"
    """Give the run of the one that exists, if it has the same definition."""
    ERROR = "error"


class StartingAdapter(Adapter, Protocol):
    """An adapter that has a journal, and a conductor between the two."""

    @property
    def conductor(self) -> Conductor:
        """What takes this process's turns."""
        ...


def start(
    adapter: StartingAdapter,
    workflow: Workflow,
    *,
    id: str | None = None,  # noqa: A002  # the word a user expects here
    on_conflict: OnConflict | str = OnConflict.EXISTING,
    tags: Sequence[str] = (),
    journal: Journal | None = None,
    prepare: Callable[[Created], object] | None = None,
) -> Run:
    """Write the workflow into the journal, send what can run, and return its run.

    `id`: at most 155 characters; made up if not given. Starting the same workflow under the same id again gives
    the run that exists, ended or not, with the tags that it was started with first; so a start whose answer was lost
    is simply tried again. `tags`: at most 32, each written as an id is, to find it by (`runs`).
    `journal`: another than the adapter's own; it must be over the store that the engine's workers use.
    `prepare`: called when the workflow is written, by this start or by an earlier one, and before this one sends
    anything; if it raises, what was written is left to the sweep.

    Raises, and nothing is started: `UsageError` and its kinds for a workflow that cannot be built, a call that the
    engine can never run or arguments that cannot be encoded; `LimitError`; `WorkflowExistsError`.
    `JournalUnavailableError`: it may have been started; try again under the same id.
    """
    policy = named(OnConflict, "on_conflict", on_conflict)
    conductor = adapter.conductor if journal is None else conductor_over(journal, adapter)
    new, definition = _written(conductor, workflow, _workflow_id(id), tags_of(tags))
    nonce = secrets.token_hex(8)
    until = conductor.clock.monotonic_ms() + conductor.settings.grace_ms // 2
    conductor.reach(FaultPoint.BEFORE_CREATE)
    created = _create(conductor, new, nonce, definition.graph.deadline_ms)
    conductor.reach(FaultPoint.AFTER_CREATE)
    if not created.is_new:
        _check_same(new, created, policy)
    if prepare is not None:
        prepare(created)
    if not created.is_new:
        return Run(conductor, created.key)
    begin = Entry(1, nonce, Begin(at_ms=created.at_ms))
    conductor.begin(Folded.initial(created.key, definition), begin, new.calls, until)
    return Run(conductor, created.key)


def _written(
    conductor: Conductor, workflow: Workflow, workflow_id: str, tags: tuple[str, ...]
) -> tuple[NewWorkflow, Definition]:
    """Build, check and encode all of it, before anything is written."""
    _check_workflow(workflow)
    check_engine(workflow, getattr(conductor.adapter, "engine", workflow.engine))
    name = check_name(workflow.name)
    if len(workflow) > MAX_NODES:
        message = f"a workflow has at most {MAX_NODES:,} nodes at run time, this one {len(workflow):,}; split it"
        raise LimitError(message)
    definition, calls = workflow.build()
    check_time_outs(conductor.settings, definition.graph)
    values = conductor.adapter.values
    for item in calls:
        conductor.adapter.check(item)
    encoded = tuple(
        encode_call(node.id, item, values) for node, item in zip(definition.graph.nodes, calls, strict=True)
    )
    new = NewWorkflow(
        key=WorkflowKey(workflow_id, secrets.token_hex(_INCARNATION_BYTES)),
        digest=digest(definition, calls, values, workflow.generated),
        definition=encode_definition(definition),
        calls=encoded,
        name=name,
        tags=tags,
    )
    return new, definition


def _check_workflow(workflow: object) -> None:
    if not isinstance(workflow, Workflow):
        message = (
            f"start takes a Workflow, not a value of type {type(workflow).__name__}; add calls to a Workflow first"
        )
        raise UsageError(message)


def _create(conductor: Conductor, new: NewWorkflow, nonce: str, deadline_ms: int | None) -> Created:
    """Create, and once more if the reply is lost: the same incarnation twice is one workflow.

    The sweep looks after its interval, and in time for the deadline.
    """
    interval_ms = conductor.settings.sweep_interval_ms
    due_in_ms = interval_ms if deadline_ms is None else min(interval_ms, deadline_ms)
    try:
        return conductor.journal.create(new, nonce=nonce, due_in_ms=due_in_ms)
    except JournalUnavailableError:
        return conductor.journal.create(new, nonce=nonce, due_in_ms=due_in_ms)


def _check_same(new: NewWorkflow, created: Created, on_conflict: OnConflict) -> None:
    if on_conflict is OnConflict.ERROR:
        message = f"workflow {quoted(new.key.id)} exists already; choose another id, or on_conflict='existing'"
        raise WorkflowExistsError(message)
    if created.digest != new.digest:
        message = (
            f"workflow {quoted(new.key.id)} exists already with other nodes or arguments, or another name; an id "
            f"stands for one workflow, so put what differs into the id"
        )
        raise WorkflowExistsError(message)


def _workflow_id(wanted: str | None) -> str:
    if wanted is None:
        return secrets.token_hex(16)
    workflow_id = check_id(wanted)
    if len(workflow_id) > MAX_WORKFLOW_ID_CHARACTERS:
        message = (
            f"a workflow id has at most {MAX_WORKFLOW_ID_CHARACTERS} characters; "
            f"{quoted(workflow_id)} has {len(workflow_id)}"
        )
        raise UsageError(message)
    return workflow_id
