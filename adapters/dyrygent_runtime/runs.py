"""Which workflows a journal holds: found by state, name, tags and time, newest first, and deleted when they are old.

Nothing here reads the workflows themselves: a list tells what their journal knew at the last close. What has become of
one of them is asked of its `Run`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypedDict, Unpack

from dyrygent_core import UsageError, WorkflowState
from dyrygent_core.checks import check_text, check_whole, items_of, named, shown
from dyrygent_core.errors import LimitError, UnknownWorkflowError
from dyrygent_core.ports import Journal, Listed, Page, Query, WorkflowKey
from dyrygent_runtime.labels import check_name, tags_of

__all__ = ["Filters", "listed", "page_of_runs", "purge", "runs"]

_PAGE: Final = 100
_MOST_ON_A_PAGE: Final = 1_000
_PURGED_AT_ONCE: Final = 100
"""Workflows deleted in one step: each step holds up those who write for a moment."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Filters(TypedDict, total=False):
    """Which workflows to list: those that match everything that is given."""

    states: Iterable[WorkflowState | str]
    """Any of these. RUNNING stands for every workflow that is not closed yet."""
    name: str | None
    """Exactly this; `""` for those without a name, None for all."""
    tags: Iterable[str]
    """All of these."""
    created_from: datetime | int | None
    """From this time of the journal's store on: with a time zone, or milliseconds since the epoch."""
    created_to: datetime | int | None
    """Before this time."""


def runs(journal: Journal, **filters: Unpack[Filters]) -> Iterator[Listed]:
    """Go through all workflows that match, newest first; they are read in pages, as you go.

    `filters`: see `Filters`. One that is created or deleted meanwhile may be missed; no other is missed, and none comes
    twice.

    Raises `UsageError` at once for a filter that can match nothing, or cannot be understood.
    """
    query = _query(filters)
    return _all(journal, query)


def page_of_runs(journal: Journal, *, limit: int = _PAGE, after: str | None = None, **filters: Unpack[Filters]) -> Page:
    """Read one page of at most `limit` (up to 1,000) workflows that match, newest first.

    The next page begins `after` the `following` of this one, which is None on the last; it is text for you to hand on,
    to a browser for instance. `filters`: see `Filters`; pages that follow each other have the same.

    Raises `UsageError`, also for an `after` that no page has given.
    """
    query = _query(filters)
    check_whole("limit", limit, 1)
    if limit > _MOST_ON_A_PAGE:
        message = f"a page has at most {_MOST_ON_A_PAGE:,} workflows, not {limit:,}; go on with its `following`"
        raise LimitError(message)
    if after is not None:
        check_text("after", after)
    return journal.list(query, limit=limit, after=after)


def purge(journal: Journal, closed_for: timedelta | int) -> int:
    """Delete all workflows that have been closed for so long, some at a time; return how many that were.

    `closed_for`: a `timedelta`, or milliseconds. A workflow is closed when it has ended and its engine knows; one that
    runs again is not. May be called by several processes at once, and again after it broke off.

    Raises `UsageError`; `JournalUnavailableError`, and what was deleted until then is.
    """
    closed_for_ms = -(-closed_for // _MILLISECOND) if isinstance(closed_for, timedelta) else closed_for
    check_whole("closed_for", closed_for_ms, 0)
    total = 0
    while deleted := journal.purge(closed_for_ms=closed_for_ms, limit=_PURGED_AT_ONCE):
        total += deleted
    return total


def listed(journal: Journal, key: WorkflowKey) -> Listed:
    """Find one workflow in the list; raises `UnknownWorkflowError`. It is among those of one millisecond."""
    stored = journal.definition(key.id)
    query = Query(created_from_ms=stored.created_ms, created_to_ms=stored.created_ms + 1)
    found = next((item for item in _all(journal, query) if item.key == key), None)
    if found is None:
        raise UnknownWorkflowError(key.id)
    return found


def _all(journal: Journal, query: Query) -> Iterator[Listed]:
    page = journal.list(query, limit=_PAGE)
    yield from page.items
    while page.following is not None:
        page = journal.list(query, limit=_PAGE, after=page.following)
        yield from page.items


def _query(filters: Filters) -> Query:
    """Check what is asked for; unknown filters are refused, since they would match everything."""
    unknown = sorted(set(filters) - Filters.__optional_keys__)
    if unknown:
        message = f"runs are not found by {unknown[0]!r}, but by {', '.join(sorted(Filters.__optional_keys__))}"
        raise UsageError(message)
    name = filters.get("name")
    states = items_of("states", filters.get("states", ()), "states", len(WorkflowState))
    return Query(
        states=frozenset(named(WorkflowState, "the state", state) for state in states),
        name=None if name is None else check_name(name),
        tags=tags_of(filters.get("tags", ())),
        created_from_ms=_instant("created_from", filters.get("created_from")),
        created_to_ms=_instant("created_to", filters.get("created_to")),
    )


def _instant(what: str, value: Any) -> int | None:
    """Give an instant in milliseconds, rounded up: what is created in one is from then on, and not before."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        if not isinstance(value, int) or isinstance(value, bool):
            message = f"{what} must be a datetime, or milliseconds since the epoch, not {shown(value)}"
            raise UsageError(message)
        check_whole(what, value, 0)
        return value
    if value.utcoffset() is None:
        message = (
            f"{what} is {shown(str(value))} without a time zone, which is another instant on each machine; "
            f"write {what}=datetime(…, tzinfo=UTC), or value.astimezone() for this machine's time"
        )
        raise UsageError(message)
    return -((_EPOCH - value) // _MILLISECOND)
