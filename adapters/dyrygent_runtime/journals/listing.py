"""What journals that filter lists themselves share: which workflows match, in which order, and how pages go on.

The order is newest first; of workflows of one millisecond, by id. A cursor is the place of the last one listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dyrygent_core import UsageError
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Listed, Page, Query

__all__ = ["Place", "cursor_of", "matches", "page_of", "place_of", "read_cursor"]

Place: TypeAlias = tuple[int, bytes]
"""Where a workflow stands in a list: ascending is newest first, then by the bytes of its id."""


def matches(query: Query, item: Listed) -> bool:
    """Tell whether a workflow is one of those asked for."""
    return (
        (not query.states or item.state in query.states)
        and (query.name is None or query.name == item.name)
        and set(query.tags) <= set(item.tags)
        and (query.created_from_ms is None or query.created_from_ms <= item.created_ms)
        and (query.created_to_ms is None or item.created_ms < query.created_to_ms)
    )


def place_of(item: Listed) -> Place:
    """Give the place of a workflow in a list."""
    return -item.created_ms, item.key.id.encode()


def page_of(found: Sequence[Listed], limit: int) -> Page:
    """Make a page of what was found from its beginning on, one more than fits if there is more."""
    items = tuple(found[:limit])
    return Page(items, cursor_of(items[-1]) if len(found) > limit and items else None)


def cursor_of(item: Listed) -> str:
    """Write the place of a workflow as a cursor."""
    return f"{item.created_ms}.{item.key.id}"


def read_cursor(text: str) -> Place:
    """Read what `cursor_of` wrote; raises `UsageError`."""
    created_ms, dot, workflow_id = text.partition(".")
    if not dot or not created_ms.isdecimal() or not created_ms.isascii():
        message = f"{quoted(text)} is no place in a list of workflows; pass the `following` of a page as it is"
        raise UsageError(message)
    return -int(created_ms), workflow_id.encode()
