"""How a task steers its workflow: it stops itself with `SkipNode`, or chooses branches with `Take`.

Both work on every engine; what becomes of the other nodes is decided in `advance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from dyrygent_core.checks import check_id, items_of
from dyrygent_core.nodes import MAX_NODES
from dyrygent_core.wiring import NodeHandle

__all__ = ["SkipNode", "Take"]


class SkipNode(Exception):  # noqa: N818  # control flow, as StopIteration is, and no error
    """Raise it in a task to stop that node without failing: it ends SKIPPED, and so does what needs its success."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


def _ids(branches: Iterable[str | NodeHandle]) -> tuple[str, ...]:
    items = items_of("branches", branches, "ids or nodes", MAX_NODES)
    return tuple(item.id if isinstance(item, NodeHandle) else check_id(item) for item in items)


@frozen
class Take:
    """Return it from a task to choose which of its direct dependents go on: those that `branches` names.

    `value` is the node's result. To every other dependent the node counts as SKIPPED.
    A name that is no direct dependent fails the node. Raises `UsageError` for branches that are no ids.
    """

    value: Any = field(hash=False)
    branches: tuple[str, ...] = field(converter=_ids)

    def __json__(self) -> Any:
        """Be written as the value alone: kombu asks for this when an engine stores what the task returned."""
        return self.value
