"""Where a call goes: what the sweep wants to know of it again and again, without its arguments."""

from __future__ import annotations

from attrs import frozen

from dyrygent_core import Call

__all__ = ["Route", "route_of"]


@frozen
class Route:
    """What is run, and the queue that its options name, if any."""

    target: str
    queue: str | None = None

    @property
    def line(self) -> tuple[str, str]:
        """In which line it waits: that of its queue, or, where the engine chooses the queue, of what is run."""
        return ("target", self.target) if self.queue is None else ("queue", self.queue)


def route_of(call: Call) -> Route:
    """Return where a call goes."""
    queue = call.options.get("queue")
    return Route(call.target, queue if isinstance(queue, str) else None)
