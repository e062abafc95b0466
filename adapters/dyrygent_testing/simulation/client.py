"""Whoever starts the workflows and asks things of them: they ask again until they know that they were heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import define

from dyrygent_core import (
    CancelRequested,
    Observation,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    SkipRequested,
    UsageError,
    Workflow,
    WorkflowState,
)
from dyrygent_runtime import Run, start
from dyrygent_testing.simulation.loop import Poll
from dyrygent_testing.simulation.process import Process, World
from dyrygent_testing.simulation.trace import ActKind

__all__ = ["Client", "asked"]

_AGAIN_MS: Final = 1_000
_LONGEST_AGAIN_MS: Final = 4_000


@define(eq=False)
class _Wish:
    """What somebody wants of a workflow: to start it, if there is no request."""

    workflow: str
    request: Observation | None
    at_ms: int
    again_ms: int = _AGAIN_MS
    is_heard: bool = False


class Client:
    """Has wishes, and a process that carries them out; that may die, the wishes stay."""

    def __init__(self, world: World, workflow: Workflow, process: Callable[[], Process]) -> None:
        self._world = world
        self._workflow = workflow
        self._process = process
        self._open: list[_Wish] = []
        self.heard_ms = 0
        """When the last wish was fulfilled."""
        self.refused: UsageError | None = None
        """Why the product will not start this workflow, ever."""

    @property
    def is_content(self) -> bool:
        """Whether no wish is left."""
        return not self._open

    @property
    def last_ms(self) -> int:
        """When the last of the wishes that are left is to be said."""
        return max((it.at_ms for it in self._open), default=0)

    @property
    def only_waits(self) -> bool:
        """Whether no wish could be said now."""
        return all(it.at_ms > self._world.loop.now_ms or self._is_early(it) for it in self._open)

    def start(self, workflow: str) -> None:
        """Wish for a workflow to be started."""
        self._wish(_Wish(workflow, None, 0))

    def ask(self, workflow: str, at_ms: int, request: Observation) -> None:
        """Wish for something to be asked of a workflow, at some time or as soon as it makes sense."""
        self._wish(_Wish(workflow, request, at_ms))

    def _wish(self, wish: _Wish) -> None:
        self._open.append(wish)
        self._world.loop.later(wish.at_ms, lambda: self._try(wish))

    def _try(self, wish: _Wish) -> None:
        process, loop = self._process(), self._world.loop
        can_act = process.is_alive and process.stopped_until_ms <= loop.now_ms and not self._is_early(wish)
        kind = ActKind.START if wish.request is None else ActKind.REQUEST
        if can_act and process.act(kind, lambda: self._say(wish, process)) and wish.is_heard:
            self._open.remove(wish)
            self.heard_ms = loop.now_ms
        else:
            loop.later(wish.again_ms, Poll(lambda: self._try(wish)))
            wish.again_ms = min(2 * wish.again_ms, _LONGEST_AGAIN_MS)

    def _is_early(self, wish: _Wish) -> bool:
        if wish.request is None:
            return False
        if self._world.recorder.is_first(wish.workflow):
            return True
        match wish.request:
            case RerunRequested():
                return self._world.store.definition(wish.workflow).is_open
            case ResumeRequested():  # a pause of earlier that was held up would come after it, and last for ever
                return any(isinstance(it.request, PauseRequested) and it.at_ms <= wish.at_ms for it in self._open)
            case _:
                return False

    def _say(self, wish: _Wish, process: Process) -> None:
        wish.is_heard = True
        if wish.request is not None:
            run = Run(process.conductor, process.journal.definition(wish.workflow).key)
            wish.is_heard = _say(wish.request, run)
            return
        try:
            start(process.adapter, self._workflow, id=wish.workflow)
        except UsageError as problem:
            self.refused = problem


def _say(request: Observation, run: Run) -> bool:
    """Say it as a user would; tell whether it was not refused for now."""
    match request:
        case CancelRequested(reason=reason):
            run.cancel(reason)
        case PauseRequested(reason=reason):
            run.pause(reason)
        case ResumeRequested():
            run.resume()
        case SkipRequested(node=node, reason=reason):
            run.skip(node, reason)
        case RerunRequested(nodes=nodes):
            if run.workflow_state is not WorkflowState.SUCCESS:  # what has ended well needs no other round
                try:
                    run.rerun(nodes)
                except UsageError:  # somebody else was faster, and it runs again
                    return False
        case _:
            pass  # `asked` has refused it
    return True


def asked(requests: Sequence[tuple[int, Observation]], heal_ms: int) -> list[tuple[int, Observation]]:
    """Give the requests by time, and a last one that lets go on what may be paused then.

    Raises `UsageError` for what no user can ask for.
    """
    ordered = sorted(requests, key=lambda it: it[0])
    odd = next((it for _, it in ordered if not isinstance(it, _REQUESTS)), None)
    if odd is not None:
        known = ", ".join(it.__name__ for it in _REQUESTS)
        message = f"{odd!r} is nothing that a user asks for; requests are {known}"
        raise UsageError(message)
    if any(isinstance(request, PauseRequested) for _, request in ordered):
        ordered.append((max(heal_ms, ordered[-1][0]) + _AGAIN_MS, ResumeRequested()))
    return ordered


_REQUESTS: Final = (CancelRequested, PauseRequested, RerunRequested, ResumeRequested, SkipRequested)
