"""The Redis journal."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest
import redis

from dyrygent_core import Attempt, DeadlinePassed, Lost, Succeeded, UsageError, WorkflowState
from dyrygent_core.codec import encode_observation
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError
from dyrygent_core.ports import Journal, Lease, Mark, MarkKind, Query, Seen, StoredSnapshot, WorkflowKey
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_runtime.journals.redis import journal as redis_journal
from dyrygent_runtime.journals.redis import walking as redis_walking
from dyrygent_runtime.journals.redis.address import read_address
from dyrygent_runtime.journals.redis.keys import Keys, member_of
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, eventually, new_workflow
from tests.dyrygent_runtime.journals.process_rules import ProcessRules
from tests.dyrygent_runtime.journals.redis_servers import Wire

_A = Attempt("a")


class TestRedisJournal(ProcessRules, JournalSuite):
    """The suite, and the rules for several processes."""

    @pytest.fixture
    def make_journal(self, redis_url: str) -> Callable[[str], Journal]:
        return lambda namespace: RedisJournal(redis_url, namespace)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def namespace(client: redis.Redis) -> Iterator[str]:
    yield "own"
    if keys := client.keys("*:3:own:*"):
        client.delete(*keys)


@pytest.fixture
def journal(redis_url: str, namespace: str) -> Iterator[RedisJournal]:
    journal = RedisJournal(redis_url, namespace)
    yield journal
    journal.dispose()


def test_j9_a_server_that_is_away_is_unavailable() -> None:
    """A refused connection is an error of ours with the library's as its cause; neither holds the password."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        journal = RedisJournal(f"redis://user:secret@127.0.0.1:{silent.getsockname()[1]}/0")

        with pytest.raises(JournalUnavailableError, match="Redis cannot be used now") as problem:
            journal.definition("w")
        with pytest.raises(JournalUnavailableError):
            journal.append(new_workflow().key, [Lost(_A)], seen=Seen(), nonce="n")

    assert isinstance(problem.value.__cause__, redis.ConnectionError)
    assert "secret" not in f"{problem.value} {problem.value.__cause__} {journal!r}"


def test_j9_an_append_whose_reply_is_lost_was_written_once(redis_url: str, journal: RedisJournal) -> None:
    """The journal does not repeat it: its caller reads whether it is there, under the nonce."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    with closing(Wire(redis_url)) as wire:
        behind = RedisJournal(wire.url, journal.namespace)
        add(behind, key, Lost(_A))
        wire.replies_to_lose = 1
        with pytest.raises(JournalUnavailableError):
            behind.append(key, [Lost(_A)], seen=Seen(2, "n"), nonce="lost")
        assert [entry.nonce for entry in behind.read(key)] == ["n", "n", "lost"]

        wire.replies_to_lose = 2
        assert len(behind.read(key)) == 3  # what may be repeated is, twice
        wire.replies_to_lose = 3
        with pytest.raises(JournalUnavailableError):
            behind.read(key)
        behind.dispose()


def test_j5_the_longest_overdue_of_all_partitions_come_first(journal: RedisJournal) -> None:
    """It does not matter which partition a workflow is in."""
    first_partition = Keys("own", "w0").due
    together = [f"w{it}" for it in range(1_000) if Keys("own", f"w{it}").due == first_partition][:3]
    apart = (f"w{it}" for it in count() if Keys("own", f"w{it}").due != first_partition)
    ids = [name for pair in zip(together, apart, strict=False) for name in pair]
    for workflow_id in ids:
        created = journal.create(new_workflow(workflow_id), nonce="n", due_in_ms=0)
        eventually(lambda key=created.key, at_ms=created.at_ms: journal.mark(key, []) > at_ms)

    assert [it.key.id for it in journal.due(limit=4, claim_ms=LATER_MS)] == ids[:4]
    assert [it.key.id for it in journal.due(limit=4, claim_ms=LATER_MS)] == ids[4:]
    assert journal.due(limit=0, claim_ms=LATER_MS) == ()


def test_j8_creating_what_is_there_puts_nothing_at_risk(client: redis.Redis, journal: RedisJournal) -> None:
    """Calls that are waiting to be created expire; those of a workflow never do, even if it is created again."""
    workflow = new_workflow()
    for _ in range(2):
        journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
    journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS)

    names = client.keys("*:3:own:*")
    assert {client.ttl(name) for name in names} == {-1}
    assert len(names) == 5  # head, entries, calls, due times, times of creation


def test_j8_a_workflow_of_very_many_calls_is_created_in_pieces(
    client: redis.Redis, journal: RedisJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the last piece there is no workflow, and the pieces expire; afterwards nothing does."""
    monkeypatch.setattr(redis_journal, "_CALLS_AT_ONCE", 2)
    monkeypatch.setattr(redis_journal, "_BYTES_AT_ONCE", 20)
    workflow = new_workflow(calls=[b"0", b"1", b"2" * 15, b"3" * 15, b"4"])
    calls = Keys("own", workflow.key.id, workflow.key.incarnation).calls
    client.hset(calls, "0", b"0")  # what a create that was cut off has left
    client.expire(calls, 100)

    assert journal.create(workflow, nonce="n", due_in_ms=LATER_MS).is_new
    assert client.ttl(calls) == -1
    assert dict(journal.calls(workflow.key, range(9))) == dict(enumerate(workflow.calls))


def test_j8_pieces_that_expired_are_missed(client: redis.Redis, journal: RedisJournal) -> None:
    """A workflow whose first calls are gone when the last come is not created."""
    workflow = new_workflow(calls=[b"call"] * 1_001)
    keys = Keys("own", workflow.key.id, workflow.key.incarnation)
    client.hset(keys.calls, "1001", b"one too many, as one too few would be")

    with pytest.raises(JournalUnavailableError, match="create again"):
        journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
    assert not client.exists(keys.head, keys.entries, keys.due, keys.created)


@pytest.mark.parametrize("text", ['{"v":99,"t":"begin"}', '{"v":1,"t":"unheard_of"}', "no JSON"])
def test_an_entry_of_an_unknown_version_is_refused(client: redis.Redis, journal: RedisJournal, text: str) -> None:
    """What a newer release wrote is not read, and stays as it is; what is appended beside it is recorded."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    entries = Keys("own", key.id, key.incarnation).entries
    client.rpush(entries, json.dumps(["n", 1, text]))
    before = client.lrange(entries, 0, -1)

    with pytest.raises(UnsupportedVersionError):
        journal.read(key)
    assert client.lrange(entries, 0, -1) == before

    appended = journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="n")
    assert (appended.first, appended.missed, appended.has_diverged) == (3, (), True)
    assert client.lrange(entries, 0, 1) == before


def test_deleting_all_workflows_leaves_only_leases(client: redis.Redis, journal: RedisJournal) -> None:
    """No key of a workflow that was deleted is left, and that of the leases goes by itself."""
    workflows = [new_workflow(f"w{it}") for it in range(5)]
    for workflow in workflows:
        key = journal.create(workflow, nonce="n", due_in_ms=0).key
        journal.append(key, [Succeeded(_A)], seen=Seen(), nonce="n", results={_A: b"value"})
        journal.mark(key, [Mark(MarkKind.SENT, _A)])
        journal.annotate(key, {"name": 1})
    journal.renew_lease(Lease("w", "1"), ttl_ms=LATER_MS)
    for workflow in workflows[:3]:
        journal.close(workflow.key, at=2, state=WorkflowState.SUCCESS)
    assert len(client.keys("*:3:own:*")) > 6 * 5

    for workflow in workflows[1:]:
        journal.delete(workflow.key)
    assert journal.purge(closed_for_ms=0, limit=9) == 1

    (left,) = client.keys("*:3:own:*")
    assert left == b"{dy}:3:own:leases"
    assert LATER_MS < client.pttl(left) <= LATER_MS + 86_400_000


def test_old_leases_are_dropped(client: redis.Redis, journal: RedisJournal) -> None:
    """A lease that has been over for a day is told of no longer."""
    journal.renew_lease(Lease("new", "1"), ttl_ms=0)
    now_ms = journal.renew_lease(Lease("old", "1"), ttl_ms=0)
    stored = json.dumps(["[[],[]]", 1, now_ms - 90_000_000, None])
    client.hset("{dy}:3:own:leases", '["old","1"]', stored)

    assert [view.lease.worker for view in journal.leases()[0]] == ["new"]
    assert client.hlen("{dy}:3:own:leases") == 1


def test_a_forgetful_server_is_warned_of_once(
    client: redis.Redis, journal: RedisJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """If the server keeps no append-only file, a process that sweeps says so once; one that starts does not."""
    with caplog.at_level(logging.WARNING, "dyrygent"):
        journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS)
        assert not caplog.records
        for _ in range(2):
            journal.due(limit=1, claim_ms=LATER_MS)

    warned = [record for record in caplog.records if "append-only" in record.getMessage()]
    assert len(warned) == (0 if client.info("persistence")["aof_enabled"] else 1)


def test_a_server_that_lost_its_scripts_is_sent_them_again(client: redis.Redis, journal: RedisJournal) -> None:
    """Scripts are sent by their hash, and whole when the server does not know it: after a restart, say."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    client.script_flush()

    assert add(journal, key, Lost(_A)).first == 2


# What the indexes say, and what they do not


def test_j1_a_workflow_without_its_entries_is_none(client: redis.Redis, journal: RedisJournal) -> None:
    """If a server that evicts keys took the entries, no position is given for the second time."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    client.delete(Keys("own", key.id, key.incarnation).entries)

    with pytest.raises(UnknownWorkflowError):
        journal.append(key, [Succeeded(_A)], seen=Seen(1, "n"), nonce="m", results={_A: b"value"})
    assert journal.results(key, [_A]) == {}


def test_j6_a_snapshot_goes_with_its_workflow(journal: RedisJournal) -> None:
    """The next workflow of the id has none."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    journal.keep_snapshot(key, StoredSnapshot(Seen(1, "n"), b"state"))
    journal.delete(key)
    again = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key

    assert journal.definition(again.id).snapshot is None


def test_j10_workflows_of_one_millisecond_are_listed_each_once(client: redis.Redis, journal: RedisJournal) -> None:
    """However many of one partition were created at once: pages go on among them by id."""
    first = Keys("own", "w0").created
    ids = [f"w{it}" for it in range(9_000) if Keys("own", f"w{it}").created == first][:100]
    for workflow_id in ids:
        journal.create(new_workflow(workflow_id), nonce="n", due_in_ms=LATER_MS)
        client.hset(Keys("own", workflow_id).head, "created", 5)
        client.zadd(first, {workflow_id: -5})
    journal.create(new_workflow("newest"), nonce="n", due_in_ms=LATER_MS)

    page = journal.list(Query(), limit=7)
    listed = [it.key.id for it in page.items]
    while page.following is not None:
        page = journal.list(Query(), limit=7, after=page.following)
        listed += [it.key.id for it in page.items]
    assert listed == ["newest", *sorted(ids)]


def test_j10_a_page_looks_at_so_many_and_no_more(journal: RedisJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that matches few gives short pages, even empty ones, and misses none."""
    monkeypatch.setattr(redis_walking, "_MOST_LOOKED_AT", 10)
    monkeypatch.setattr(redis_walking, "_HEADS_AT_ONCE", 5)
    for number in range(40):
        tags = ("wanted",) if number in {0, 1, 39} else ()
        journal.create(new_workflow(f"w{number}", tags=tags), nonce="n", due_in_ms=LATER_MS)
    query = Query(tags=("wanted",))

    pages = [journal.list(query, limit=2)]
    while (following := pages[-1].following) is not None:
        pages.append(journal.list(query, limit=2, after=following))

    assert sorted(it.key.id for page in pages for it in page.items) == ["w0", "w1", "w39"]
    assert 4 <= len(pages) <= 5
    assert () in [page.items for page in pages]


def test_j10_rounds_of_all_partitions_miss_none(journal: RedisJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list goes as far as the partition that got least far, and on from there."""
    monkeypatch.setattr(redis_walking, "_AT_ONCE", 2)
    for number in range(200):
        journal.create(new_workflow(f"w{number}"), nonce="n", due_in_ms=LATER_MS)

    items = journal.list(Query(), limit=999).items
    assert [(-it.created_ms, it.key.id.encode()) for it in items] == sorted(
        (-it.created_ms, it.key.id.encode()) for it in items
    )
    assert {it.key.id for it in items} == {f"w{number}" for number in range(200)}


def test_j10_purge_takes_more_than_it_asks_for_at_once(
    client: redis.Redis, journal: RedisJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rounds, up to its limit; what the index says of workflows that are open or gone is put right."""
    monkeypatch.setattr(redis_walking, "_AT_ONCE", 1)
    keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=LATER_MS).key for it in range(150)]
    for key in keys:
        journal.close(key, at=1, state=WorkflowState.SUCCESS)
    open_key = journal.create(new_workflow("open"), nonce="n", due_in_ms=LATER_MS).key
    gone = WorkflowKey("gone", "1")
    for key in (open_key, gone):
        client.zadd(Keys("own", key.id).closed, {member_of(key): 1})

    assert journal.purge(closed_for_ms=0, limit=100) == 100
    assert journal.purge(closed_for_ms=0, limit=100) == 50
    assert not client.keys("*:3:own:closed")
    assert [it.key for it in journal.list(Query(), limit=9).items] == [open_key]


def _of_the_first_release(client: redis.Redis, key: WorkflowKey, *, is_open: bool) -> None:
    """Write what the release wrote that kept no lists."""
    keys = Keys("own", key.id, key.incarnation)
    head = {"incarnation": key.incarnation, "id": key.id, "digest": "d", "definition": b"definition", "created": 7}
    client.hset(keys.head, mapping=head if is_open else {**head, "closed": 1})
    client.rpush(keys.entries, json.dumps(["n", 7, encode_observation(DeadlinePassed())]))
    if is_open:
        client.zadd(keys.due, {member_of(key): 7})


def test_a_workflow_of_the_first_release_is_listed_once_it_was_swept(
    client: redis.Redis, journal: RedisJournal
) -> None:
    """It is read and appended to as any other, and comes into the lists with the next sweep turn, nameless."""
    key = WorkflowKey("old", "1")
    _of_the_first_release(client, key, is_open=True)
    assert journal.definition("old").key == key
    assert journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="m").first == 2
    assert journal.list(Query(), limit=9).items == ()

    journal.rest(key, in_ms=LATER_MS)

    (listed,) = journal.list(Query(), limit=9).items
    assert (listed.key, listed.name, listed.tags, listed.created_ms) == (key, "", (), 7)
    assert journal.close(key, at=2, state=WorkflowState.FAILURE)
    (listed,) = journal.list(Query(), limit=9).items
    assert listed.state is WorkflowState.FAILURE
    assert journal.purge(closed_for_ms=0, limit=9) == 1


def test_a_workflow_that_the_first_release_closed_is_listed_when_it_is_closed_again(
    client: redis.Redis, journal: RedisJournal
) -> None:
    """In which state it closed that release did not say; a rerun, or whoever closes it again, does."""
    key = WorkflowKey("old", "1")
    _of_the_first_release(client, key, is_open=False)
    journal.rest(key, in_ms=0)
    assert not journal.definition("old").is_open
    assert journal.list(Query(), limit=9).items == ()
    assert journal.close(key, at=9, state=WorkflowState.SUCCESS)
    assert journal.list(Query(), limit=9).items == ()

    assert journal.close(key, at=1, state=WorkflowState.SUCCESS)

    (listed,) = journal.list(Query(), limit=9).items
    assert (listed.state, listed.closed_ms is not None and listed.closed_ms > 7) == (WorkflowState.SUCCESS, True)


# URLs


def test_a_cluster_is_spelled_with_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host makes a URL for the client library, the others are asked if it does not answer."""
    monkeypatch.setattr(redis, "__version__", "6.0.0")
    one = read_address("redis+cluster://user:se%40cret@a:7000,b:7001,[::1]/0?socket_timeout=3")
    assert (one.url, one.is_cluster) == ("redis://user:se%40cret@a:7000/0?socket_timeout=3", True)
    assert one.others == (("b", 7001), ("::1", 6379))
    assert read_address("rediss+cluster://a").url == "rediss://a"
    assert not read_address("redis://a:7000/3").is_cluster
    assert "cret" not in repr(one)


@pytest.mark.parametrize(
    "url", ["redis+cluster://a:secret,b/0", "redis+cluster://a,b:secret", "redis+cluster://:secret@a/3", "redis:secret"]
)
def test_a_wrong_address_is_refused_without_showing_it(url: str) -> None:
    """A cluster has no numbered databases, and ports are numbers."""
    with pytest.raises(UsageError) as refused:
        RedisJournal(url)
    assert "secret" not in str(refused.value)


def test_a_client_that_repeats_what_it_sends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster client of redis-py 5 would append twice."""
    monkeypatch.setattr(redis, "__version__", "5.2.1")

    with pytest.raises(UsageError, match=r"redis-py 6 or newer, this is 5\.2\.1"):
        RedisJournal("redis+cluster://a")
    RedisJournal("redis://a")
