"""Finding runs by state, name, tags and time, page by page, and deleting old ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import LimitError, UsageError, WorkflowState
from dyrygent_core.ports import Journal, Page, Query
from dyrygent_runtime import Run, page_of_runs, purge, runs
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.journal_basis import HOSTILE
from tests.dyrygent_runtime.stores import STORES, Store, of_calls, opened


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


class StampedJournal(MemoryJournal):
    """A journal whose time the test sets, and that keeps what it was asked for."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.asked: list[tuple[int, str | None]] = []
        super().__init__("tests", clock=lambda: self.now_ms)

    def list(self, query: Query, *, limit: int, after: str | None = None) -> Page:
        self.asked.append((limit, after))
        return super().list(query, limit=limit, after=after)

    def purge(self, *, closed_for_ms: int, limit: int) -> int:
        self.asked.append((limit, None))
        return super().purge(closed_for_ms=closed_for_ms, limit=limit)


@pytest.fixture
def stamped() -> StampedJournal:
    return StampedJournal()


def ids(journal: Journal, **filters: Any) -> set[str]:
    found = {it.key.id for it in runs(journal, **filters)}
    assert found == {it.key.id for it in page_of_runs(journal, **filters).items}
    return found


def started_at(journal: StampedJournal, *instants_ms: int) -> list[Run]:
    store = Store(lambda: journal)
    found: list[Run] = []
    for instant_ms in instants_ms:
        journal.now_ms = instant_ms
        found.append(store.start(of_calls("a"), id=f"at {instant_ms}"))
    return found


# Filters


def test_runs_are_found_by_what_they_are(store: Store) -> None:
    """By their states, name and tags; what is given must all match, and nothing given finds all."""
    store.start(of_calls("a", name="report"), id="running", tags=["eu", "daily"])
    for workflow_id, name, tags in (("done", "report", ["eu"]), ("failed", "", ["us", "daily"])):
        run = store.start(of_calls("a", name=name), id=workflow_id, tags=tags)
        (store.succeed if workflow_id == "done" else store.fail)(run, "a")
    store.start(of_calls("a"), id="cancelled").cancel()
    journal = store.open()

    assert ids(journal) == {"running", "done", "failed", "cancelled"}
    assert ids(journal, states=["SUCCESS"]) == {"done"}
    assert ids(journal, states=(WorkflowState.FAILURE, "SUCCESS")) == {"done", "failed"}
    assert ids(journal, states={WorkflowState.RUNNING}) == {"running", "cancelled"}  # what it runs has not ended
    assert ids(journal, states=["INITIAL"]) == set()
    assert ids(journal, name="report") == {"running", "done"}
    assert ids(journal, name="") == {"failed", "cancelled"}
    assert ids(journal, tags=["eu"]) == {"running", "done"}
    assert ids(journal, tags=["daily", "eu"]) == {"running"}
    assert ids(journal, tags=["eu"], states=["SUCCESS"], name="report") == {"done"}
    assert ids(journal, tags=["eu"], states=["FAILURE"]) == set()


def test_any_text_is_found(store: Store) -> None:
    """Names and tags are compared as they are, never as patterns."""
    texts = [text for text in HOSTILE if len(text) <= 155]
    for text in texts:
        store.start(of_calls("a", name=text), id=text, tags=[text])

    for text in texts:
        assert ids(store.journal, name=text) == {text}
        assert ids(store.journal, tags=[text]) == {text}
    assert {it.key.id for it in runs(store.journal)} == set(texts)


def test_times_are_instants(stamped: StampedJournal) -> None:
    """`created_from` is included, `created_to` is not; a time zone only says how an instant is written."""
    started_at(stamped, 0, 1_000, 2_000)
    second = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    elsewhere = second.astimezone(timezone(timedelta(hours=-7)))

    assert ids(stamped, created_from=second) == {"at 1000", "at 2000"}
    assert ids(stamped, created_to=second) == {"at 0"}
    assert ids(stamped, created_from=elsewhere, created_to=elsewhere + timedelta(seconds=1)) == {"at 1000"}
    assert ids(stamped, created_from=second + timedelta(microseconds=1)) == {"at 2000"}
    assert ids(stamped, created_to=second + timedelta(microseconds=1)) == {"at 0", "at 1000"}
    assert ids(stamped, created_from=1_000, created_to=1_001) == {"at 1000"}
    assert ids(stamped, created_from=datetime(1969, 1, 1, tzinfo=UTC)) == {"at 0", "at 1000", "at 2000"}


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"states": "SUCCESS"}, r"states must be a sequence of states, not str; write \['SUCCESS'\]"),
        ({"states": ["success"]}, "the state 'success' is none of 'INITIAL', 'RUNNING', 'SUCCESS'"),
        ({"states": WorkflowState.SUCCESS}, "a sequence of states, not WorkflowState"),
        ({"name": 5}, "a workflow's name must be a str, not int: 5"),
        ({"name": "a\0"}, "must not contain NUL"),
        ({"tags": "eu"}, r"write \['eu'\]"),
        ({"tags": [None]}, "a tag must be a str, not NoneType"),
        ({"created_from": datetime(2024, 1, 1)}, "'2024-01-01 00:00:00' without a time zone, .* tzinfo=UTC"),  # noqa: DTZ001
        ({"created_to": "2024-01-01"}, "created_to must be a datetime, or milliseconds since the epoch, not '2024"),
        ({"created_to": True}, "created_to must be a datetime"),
        ({"created_from": -1}, "created_from must be at least 0, not -1"),
        ({"created_from": 2**70}, "created_from must be at most"),
        ({"state": ["SUCCESS"]}, "runs are not found by 'state', but by created_from, created_to, name, states, tags"),
    ],
)
@pytest.mark.parametrize("find", [runs, page_of_runs])
def test_a_filter_that_makes_no_sense_is_refused(
    store: Store, find: Callable[..., object], filters: dict[str, Any], text: str
) -> None:
    """The error has what was given, and comes at once, not with the first item."""
    with pytest.raises(UsageError, match=text):
        find(store.journal, **filters)


# Pages


def test_all_runs_are_read_in_pages_and_no_sooner(stamped: StampedJournal) -> None:
    """Whoever looks at the first only has one page read; whoever goes on gets each once, newest first."""
    started_at(stamped, *range(250))
    found = runs(stamped)
    assert stamped.asked == []

    assert next(found).key.id == "at 249"
    assert len(stamped.asked) == 1
    assert [it.created_ms for it in found] == list(reversed(range(249)))
    assert [limit for limit, _ in stamped.asked] == [100, 100, 100]


def test_a_page_says_where_the_next_one_begins(store: Store) -> None:
    """Each page has at most `limit`, and the last one has no `following`."""
    wanted = {store.start(of_calls("a"), tags=["t"]).id for _ in range(5)}
    for _ in range(3):
        store.start(of_calls("a"))
    pages = [page_of_runs(store.journal, tags=["t"], limit=2)]
    while (following := pages[-1].following) is not None:
        pages.append(page_of_runs(store.open(), tags=["t"], limit=2, after=following))

    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert {it.key.id for page in pages for it in page.items} == wanted


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"limit": 0}, UsageError),
        ({"limit": 1.5}, UsageError),
        ({"limit": 1_001}, LimitError),
        ({"after": 5}, UsageError),
        ({"after": "nowhere"}, UsageError),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(store: Store, wrong: dict[str, Any], error: type[Exception]) -> None:
    """A page has 1 to 1,000 items, and goes on only from where another ended."""
    with pytest.raises(error):
        page_of_runs(store.journal, **wrong)


def test_a_list_leads_to_the_runs(store: Store) -> None:
    """An item's id is all that is needed to ask more."""
    store.succeed(store.start(of_calls("a"), id="w"), "a", value=7)

    (item,) = runs(store.open(), states=["SUCCESS"])
    assert Run.from_id(item.key.id, store.open()).result() == 7


# Retention


def test_old_closed_workflows_are_purged(stamped: StampedJournal) -> None:
    """All that have been closed for so long, however many, and no others."""
    old = started_at(stamped, *range(250))
    for run in old[1:]:
        Store(lambda: stamped).succeed(run, "a")
    stamped.now_ms = 10_000
    (young,) = started_at(stamped, 10_001)
    Store(lambda: stamped).succeed(young, "a")
    stamped.asked.clear()

    assert purge(stamped, closed_for=timedelta(seconds=5)) == 249
    assert [limit for limit, _ in stamped.asked] == [100, 100, 100, 100]
    assert {it.key.id for it in runs(stamped)} == {"at 0", "at 10001"}
    assert purge(stamped, closed_for=5_000) == 0
    assert purge(stamped, 0) == 1


def test_a_rerun_saves_from_the_purge(store: Store) -> None:
    """A workflow that runs again is not closed, however old it is."""
    run = store.start(of_calls("a"))
    store.fail(run, "a")
    run.rerun()

    assert purge(store.open(), timedelta(0)) == 0
    store.succeed(run, "a")
    assert purge(store.open(), timedelta(0)) == 1
    assert list(runs(store.journal)) == []


@pytest.mark.parametrize("wrong", [-1, timedelta(days=-1), 1.5, None, "1 day"])
def test_a_retention_that_makes_no_sense_deletes_nothing(store: Store, wrong: Any) -> None:
    """A time that is none, or negative, is refused."""
    store.succeed(store.start(of_calls("a")), "a")

    with pytest.raises(UsageError, match="closed_for must be"):
        purge(store.journal, wrong)
    assert len(list(runs(store.journal))) == 1
