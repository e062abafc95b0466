"""What the Redis journal does over all its partitions: claims, lists, retention.

A partition keeps its workflows in sorted sets, so each gives its first few in order, and a round of asking all of them
is known to be complete as far as the one that got least far. A round is one round trip to each server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from dyrygent_core import WorkflowState
from dyrygent_core.ports import Due, Listed, Page, Query, WorkflowKey
from dyrygent_runtime.journals.listing import Place, cursor_of, matches, page_of, read_cursor
from dyrygent_runtime.journals.redis import scripts
from dyrygent_runtime.journals.redis.connection import Call, RedisConnection
from dyrygent_runtime.journals.redis.keys import LISTED, Keys, key_of, listed_of, member_of, partition_keys

__all__ = ["claim_due", "list_page", "purge_closed", "removal"]

_AT_ONCE: Final = 32
"""How many each partition is asked for: of 64, a round is then good for about a thousand workflows in order."""
_HEADS_AT_ONCE: Final = 500
_MOST_LOOKED_AT: Final = 10_000
"""So many are looked at for one page. Where a filter matches few, the page is short, and the next goes on."""


# Claims


def claim_due(redis: RedisConnection, namespace: str, *, limit: int, claim_ms: int) -> tuple[Due, ...]:
    """Claim what is due: in one round trip, or in a cluster, where no script sees all partitions, in one or two."""
    if limit < 1:
        return ()
    names = partition_keys(namespace, "due")
    answer = redis.run_across(scripts.DUE, names, [limit, claim_ms])
    if answer is not None:
        now_ms, *members = answer
        return tuple(Due(key_of(member), int(now_ms)) for member in members)
    return _claimed_by_partition(redis, names, limit, claim_ms)


def _claimed_by_partition(redis: RedisConnection, names: Sequence[str], limit: int, claim_ms: int) -> tuple[Due, ...]:
    oldest = _oldest(redis, names, 0, limit, limit)
    if not oldest:
        return ()
    wanted: dict[int, list[bytes]] = {}
    for _, place, member in oldest:
        wanted.setdefault(place, []).append(member)
    answers = redis.run_each(scripts.CLAIM, [([names[it]], [claim_ms, *wanted[it]]) for it in wanted])
    claimed_ms = {member: int(now_ms) for now_ms, *members in answers for member in members}
    return tuple(Due(key_of(it), claimed_ms[it]) for _, _, it in oldest if it in claimed_ms)


def _oldest(
    redis: RedisConnection, names: Sequence[str], age_ms: int, limit: int, limit_of_each: int
) -> list[tuple[float, int, bytes]]:
    """Give what has been in these sorted sets for so long: its time, the place of the set, the member."""
    answers = redis.gather(scripts.OLD, names, [age_ms, limit_of_each])
    return sorted(
        (float(score), place, member)
        for place, found in enumerate(answers)
        for member, score in zip(found[::2], found[1::2], strict=True)
    )[:limit]


# Retention


def purge_closed(redis: RedisConnection, namespace: str, *, closed_for_ms: int, limit: int) -> int:
    """Delete what has been closed for so long, oldest first or nearly; each workflow by a script that looks again."""
    names, purged = partition_keys(namespace, "closed"), 0
    while purged < limit:
        most = min(limit - purged, _HEADS_AT_ONCE)
        oldest = _oldest(redis, names, closed_for_ms, most, min(most, _AT_ONCE))
        if not oldest:
            break
        keys = [removal(namespace, key_of(member)) for _, _, member in oldest]
        answers = redis.run_each(scripts.PURGE, [(names, [*arguments, closed_for_ms]) for names, arguments in keys])
        purged += sum(answers)
    return purged


def removal(namespace: str, key: WorkflowKey) -> Call:
    """Give the keys and arguments of `DELETE`."""
    keys = Keys(namespace, key.id, key.incarnation)
    indexes = [keys.due, keys.created, keys.closed, keys.wake]
    own = [keys.head, keys.entries, keys.calls, keys.results, keys.marks, keys.notes]
    return indexes + own, [key.incarnation, key.id.encode(), member_of(key)]


# Lists


def list_page(redis: RedisConnection, namespace: str, query: Query, *, limit: int, after: str | None) -> Page:
    """List a page: one round trip tells which come next, one more what they are. Raises `UsageError`."""
    start = None if after is None else read_cursor(after)
    is_filtered = evolve(query, created_from_ms=None, created_to_ms=None) != Query()
    at_once = _HEADS_AT_ONCE if is_filtered else min(limit + 1, _HEADS_AT_ONCE)
    found: list[Listed] = []
    looked_at = 0
    for places in _places(redis, namespace, query, start):
        for batch in (places[it : it + at_once] for it in range(0, len(places), at_once)):
            found += [it for it in _heads(redis, namespace, batch) if matches(query, it)]
            looked_at += len(batch)
            if len(found) > limit:
                return page_of(found, limit)
            if looked_at >= _MOST_LOOKED_AT:
                return Page(tuple(found), cursor_of(_stand_in(batch[-1])))
    return page_of(found, limit)


@frozen
class _Round:
    """What a round of asking all partitions has brought, and how far it is complete; None for to the end."""

    places: tuple[Place, ...]
    end: Place | None


def _places(redis: RedisConnection, namespace: str, query: Query, after: Place | None) -> Iterator[Sequence[Place]]:
    """Give the places of workflows in order, a round at a time; of what a query asks, only the times are heeded."""
    if query.created_to_ms is not None:
        newest = (-query.created_to_ms, b"")
        after = newest if after is None else max(after, newest)
    oldest = "+inf" if query.created_from_ms is None else -query.created_from_ms
    while True:
        found = _round(redis, partition_keys(namespace, "created"), after, oldest)
        yield found.places
        if found.end is None:
            return
        after = found.end


def _round(redis: RedisConnection, names: Sequence[str], after: Place | None, oldest: int | str) -> _Round:
    first, lowest = ("(0", "-inf") if after is None else (after[0], f"({after[0]}")
    answers = redis.gather(scripts.PLACES, names, [first, lowest, oldest, _AT_ONCE])
    found = [[*_read(same), *_read(later)] for same, later in answers]
    ends = [it[-1] for it, (_, later) in zip(found, answers, strict=True) if len(later) == 2 * _AT_ONCE]
    end = min(ends, default=None)
    places = sorted(
        place for it in found for place in it if (after is None or place > after) and (end is None or place <= end)
    )
    return _Round(tuple(places), end)


def _read(answer: Sequence[bytes]) -> list[Place]:
    return [(int(float(score)), member) for member, score in zip(answer[::2], answer[1::2], strict=True)]


def _heads(redis: RedisConnection, namespace: str, places: Sequence[Place]) -> Iterator[Listed]:
    """Read what is told of workflows; one that was deleted meanwhile is left out, and so is its successor."""
    ids = [member.decode() for _, member in places]
    heads: list[Any] = redis.read(lambda pipe: [pipe.hmget(Keys(namespace, it).head, LISTED) for it in ids])
    for (score, _), workflow_id, head in zip(places, ids, heads, strict=True):
        item = listed_of(workflow_id, head)
        if item is not None and item.created_ms == -score:
            yield item


def _stand_in(place: Place) -> Listed:
    """Give something that stands at this place of a list, for a cursor."""
    return Listed(WorkflowKey(place[1].decode(), ""), "", (), WorkflowState.RUNNING, -place[0])
