"""Handlers of what happens to workflows, as `Workflow.connect` registers them, and when each is called.

Handlers are functions of this process: what a worker is to call must be registered in the worker, by the module that
defines the tasks for instance. The process that takes a turn calls its own.

    signal              when                                              payload
    on_state_change     the workflow begins, begins again, ends           the state's name
    after_active_tick   a turn has sent something, and did not end it     None
    after_turn          a turn is over, whatever came of it               `Progress`: done, total, running, failed
    on_finish           the workflow has ended, after its final state     None

What tells the beginning is called before anything is sent, so it comes before what tells the end. What tells the end is
called before the journal notes that it was told, so if the process dies there, the sweep calls it again elsewhere: at
least once. All others are called once, or not at all if the process dies first. Turns are taken by many processes, so
theirs may overtake each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from attrs import frozen

from celery_dyrygent.adapter import CeleryAdapter, Told, tell_every_adapter
from dyrygent_core import UsageError
from dyrygent_core.errors import quoted
from dyrygent_core.ports import WorkflowOutcome
from dyrygent_runtime import NodeChanged, TurnTaken, WorkflowChanged

__all__ = ["Announcement", "Handler", "WorkflowSignalMixin", "announcements"]

_LOG = logging.getLogger("dyrygent")

Handler: TypeAlias = Callable[[Any, Any], object]
"""Called with the workflow and the signal's payload."""
_H = TypeVar("_H", bound=Handler)


@frozen
class Announcement:
    """One signal that is to be sent."""

    name: str
    payload: Any = None


class WorkflowSignalMixin:
    """Registers and calls handlers; the name is the predecessor's."""

    hooks: ClassVar[dict[str, list[Handler]]] = {
        "after_active_tick": [],
        "after_turn": [],
        "on_finish": [],
        "on_state_change": [],
    }
    """The handlers of this process, by signal, in the order in which they are called."""

    @classmethod
    def connect(cls, hook_name: str) -> Callable[[_H], _H]:
        """Return a decorator that registers a function as a handler of a signal, for all workflows of this process.

        The function is called with the workflow, as the journal has it, and the signal's payload. What it changes in
        `workflow.custom_payload`, and in that of nodes, is saved. If it raises, that is logged, and nothing else
        comes of it.

        Raises `UsageError` for an unknown signal.
        """
        if hook_name not in cls.hooks:
            message = f"there is no signal {quoted(hook_name)}; there are {', '.join(sorted(cls.hooks))}"
            raise UsageError(message)

        def register(function: _H) -> _H:
            cls.hooks[hook_name].append(function)
            tell_every_adapter(_tell)
            return function

        return register

    def emit(self, hook_name: str, payload: Any = None) -> None:
        """Call the handlers of a signal in this process, now."""
        for handler in list(self.hooks[hook_name]):
            try:
                handler(self, payload)
            except Exception:  # noqa: BLE001  # a user's hook
                name = str(getattr(handler, "__qualname__", type(handler).__name__))
                _LOG.exception("the handler %s of %s failed", quoted(name), hook_name)


def _tell(adapter: CeleryAdapter, told: Told) -> None:
    """Call the handlers of what this turn, beginning or end means; without handlers nothing is read."""
    sent = [it for it in announcements(told) if WorkflowSignalMixin.hooks[it.name]]
    if not sent:
        return
    from celery_dyrygent.workflows.started import StartedWorkflow  # noqa: PLC0415  # which is a workflow itself

    if isinstance(told, WorkflowOutcome):
        workflow = StartedWorkflow(adapter, told.key)
        workflow.shown_state = told.state.name
    else:
        workflow = StartedWorkflow(adapter, told.workflow, moment=told.state if isinstance(told, TurnTaken) else None)
    for it in sent:
        workflow.emit(it.name, it.payload)
    workflow.save()


def announcements(told: Told) -> Sequence[Announcement]:
    """Say which signals are to be sent, in their order."""
    match told:
        case WorkflowOutcome(state=state) if state.is_final:
            return (Announcement("on_state_change", state.name), Announcement("on_finish"))
        case WorkflowOutcome(state=state):
            return (Announcement("on_state_change", state.name),)
        case TurnTaken(state=state):
            is_active = bool(told.emitted) and not state.is_finished
            active = [Announcement("after_active_tick")] if is_active else []
            return (*active, Announcement("after_turn", state.progress))
        case WorkflowChanged() | NodeChanged():
            return ()
