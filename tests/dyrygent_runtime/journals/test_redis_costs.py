"""What the Redis journal costs its server: round trips, commands while idle, connections and waking of who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from statistics import median
from typing import TypeAlias

import pytest
import redis

from dyrygent_core import Attempt, Lost, Succeeded, WorkflowState
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError
from dyrygent_core.ports import Lease, Mark, MarkKind, NewWorkflow, Query, Seen, StoredSnapshot, WorkflowKey
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_runtime.journals.redis import watching as redis_watching
from dyrygent_runtime.journals.redis.watching import Listener
from dyrygent_testing.journal_basis import LATER_MS, LIMIT_S, add, at_once, eventually, new_workflow
from tests.dyrygent_runtime.journals.redis_servers import Server, Wire, started

_A = Attempt("a")
_NEW = new_workflow("new", calls=[b"call"] * 1_000)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


@pytest.fixture(autouse=True)
def client(server: Server) -> Iterator[redis.Redis]:
    with closing(server.client) as client:
        yield client
        client.flushall()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with closing(Wire(server.url)) as wire:
        yield wire


@pytest.fixture
def journal(wire: Wire) -> Iterator[RedisJournal]:
    journal = RedisJournal(wire.url)
    yield journal
    journal.dispose()


@pytest.fixture
def key(journal: RedisJournal) -> WorkflowKey:
    return journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key


_Asked: TypeAlias = Callable[[RedisJournal, WorkflowKey], object]
_CALLS: dict[str, _Asked] = {
    "create": lambda journal, _: journal.create(_NEW, nonce="n", due_in_ms=LATER_MS),
    "append": lambda journal, key: journal.append(
        key, [Succeeded(_A), Lost(_A)], seen=Seen(1, "n"), nonce="m", results={_A: b"value"}, calls=[0, 1]
    ),
    "read": lambda journal, key: journal.read(key),
    "definition": lambda journal, key: journal.definition(key.id),
    "calls": lambda journal, key: journal.calls(key, [0, 1]),
    "results": lambda journal, key: journal.results(key, [_A]),
    "mark": lambda journal, key: journal.mark(key, [Mark(MarkKind.SENT, _A), Mark(MarkKind.STARTED, _A)]),
    "marks": lambda journal, key: journal.marks(key, [_A]),
    "due, nothing": lambda journal, _: journal.due(limit=10, claim_ms=LATER_MS),
    "due, claimed": lambda journal, _: journal.due(limit=10, claim_ms=LATER_MS),
    "rest": lambda journal, key: journal.rest(key, in_ms=LATER_MS),
    "remind": lambda journal, key: journal.remind(key, in_ms=LATER_MS),
    "close": lambda journal, key: journal.close(key, at=1, state=WorkflowState.SUCCESS),
    "keep_snapshot": lambda journal, key: journal.keep_snapshot(key, StoredSnapshot(Seen(1, "n"), b"state")),
    "annotate": lambda journal, key: journal.annotate(key, {"name": 1, "other": 2}),
    "annotations": lambda journal, key: journal.annotations(key),
    "renew_lease": lambda journal, _: journal.renew_lease(Lease("w", "1"), ttl_ms=LATER_MS),
    "leases": lambda journal, _: journal.leases(),
    "watch, there": lambda journal, key: journal.watch(key, after=0, timeout_ms=LATER_MS),
    "list": lambda journal, _: journal.list(Query(), limit=100),
    "purge, nothing": lambda journal, _: journal.purge(closed_for_ms=LATER_MS, limit=100),
    "delete": lambda journal, key: journal.delete(key),
}
_ROUND_TRIPS = {"list": 2}
"""All others take one."""


@pytest.mark.parametrize("name", _CALLS)
def test_a_call_is_one_round_trip(journal: RedisJournal, key: WorkflowKey, wire: Wire, name: str) -> None:
    """A list is two: which workflows come next, and what they are."""
    if name == "due, claimed":
        journal.rest(key, in_ms=0)
    journal.due(limit=1, claim_ms=0)  # the first asks for the server's configuration, too
    for _ in range(2):  # the first may have to send the script
        before = wire.round_trips
        _CALLS[name](journal, key)
        taken = wire.round_trips - before
        if name == "delete":
            key = journal.create(_again(key), nonce="n", due_in_ms=LATER_MS).key

    assert taken == _ROUND_TRIPS.get(name, 1)


def test_to_sweep_nothing_is_one_cheap_command(client: redis.Redis, journal: RedisJournal, wire: Wire) -> None:
    """A poll is one round trip: three commands for the server where nothing is open, else one for each partition."""
    journal.due(limit=10, claim_ms=LATER_MS)

    def cost_of_a_poll() -> tuple[int, int]:
        trips, commands = wire.round_trips, _commands(client)
        for _ in range(10):
            assert journal.due(limit=10, claim_ms=LATER_MS) == ()
        return wire.round_trips - trips, (_commands(client) - commands - 1) // 10

    assert cost_of_a_poll() == (10, 3)
    journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS)
    assert cost_of_a_poll() == (10, 3 + 64)


# Waiting


def test_all_that_wait_in_a_process_share_one_connection(client: redis.Redis, journal: RedisJournal) -> None:
    """Twenty threads wait for twenty workflows, and each is woken by its own."""
    keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=LATER_MS).key for it in range(20)]
    other = RedisJournal(f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}")

    def work(number: int) -> bool:
        if number < 20:
            return _watched(journal, keys[number], after=1)
        eventually(lambda: len(client.pubsub_channels("*:wake:*")) == 20)
        assert len(client.client_list(_type="pubsub")) == 1
        for key in keys:
            add(other, key, Lost(_A))
        return True

    assert at_once(21, work) == [True] * 21
    other.dispose()


def test_who_waits_does_nothing(client: redis.Redis, journal: RedisJournal, key: WorkflowKey) -> None:
    """While nothing happens, a second of waiting is a handful of commands at its ends."""
    assert not journal.watch(key, after=1, timeout_ms=1)
    before = _commands(client)

    assert not journal.watch(key, after=1, timeout_ms=1_000)

    assert _commands(client) - before < 20


def test_an_append_wakes_who_waits_at_once(server: Server, journal: RedisJournal, key: WorkflowKey) -> None:
    """Within milliseconds; the limit here is for a machine that does much else."""
    other = RedisJournal(server.url)
    woken = [_latency_s(journal, other, key, position) for position in range(1, 12)]

    assert median(woken) < 0.2
    other.dispose()


def test_who_waits_is_told_when_the_server_goes() -> None:
    """Whoever waits learns that the server is away, and waits again once it is back."""
    with started("--appendonly", "yes", "--appendfsync", "always") as server:
        journal = RedisJournal(server.url)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key

        def wait_or_kill(number: int) -> bool:
            if number:
                with closing(server.client) as client:
                    eventually(lambda: client.pubsub_channels("*:wake:*"))
                server.kill()
                return True
            with pytest.raises(JournalUnavailableError):
                eventually(lambda: journal.watch(key, after=1, timeout_ms=10_000))
            return True

        assert at_once(2, wait_or_kill) == [True, True]
        server.start()
        assert not journal.watch(key, after=1, timeout_ms=50)
        add(journal, key, Lost(_A))
        assert journal.watch(key, after=1, timeout_ms=10_000)
        journal.dispose()


def test_dispose_lets_go_who_waits(client: redis.Redis, journal: RedisJournal, key: WorkflowKey) -> None:
    """The call comes back early, and may be made again."""

    def wait_or_dispose(number: int) -> bool:
        if number:
            eventually(lambda: client.pubsub_channels("*:wake:*"))
            journal.dispose()
            return False
        return journal.watch(key, after=1, timeout_ms=60_000)

    began = time.monotonic()
    assert at_once(2, wait_or_dispose) == [False, False]
    assert time.monotonic() - began < LIMIT_S
    assert not journal.watch(key, after=1, timeout_ms=1)


def test_a_listener_gives_up_what_nobody_waits_for_and_ends(
    client: redis.Redis, journal: RedisJournal, key: WorkflowKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels go first, then the connection; the next that waits opens another."""
    monkeypatch.setattr(redis_watching, "_TICK_S", 0.05)
    for _ in range(2):
        assert not journal.watch(key, after=1, timeout_ms=1)
        eventually(lambda: not client.pubsub_channels("*"))
        eventually(lambda: not client.client_list(_type="pubsub"))


def test_a_listener_that_hears_nothing_asks_and_goes(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a server is gone without a word, say behind a broken wire, who waits is let go."""
    monkeypatch.setattr(redis_watching, "_TICK_S", 0.05)
    with closing(redis.Redis.from_url(wire.url)) as behind:
        listener, stands = Listener(behind), threading.Event()

        def wait_or_cut(number: int) -> int | None:
            if number:
                assert stands.wait(LIMIT_S)
                wire.drops_replies.set()
                return None
            return listener.wait("there", lambda: bool(stands.set()), 60)

        began = time.monotonic()
        assert at_once(2, wait_or_cut) == [None, None]
        assert time.monotonic() - began < LIMIT_S
        assert listener.is_over


def test_who_waits_for_what_is_deleted_is_woken(server: Server, journal: RedisJournal, key: WorkflowKey) -> None:
    """The message of a deletion is told from that of an append."""
    other = RedisJournal(server.url)
    waiting = threading.Thread(target=partial(_expect_unknown, journal, key))
    waiting.start()
    with closing(server.client) as client:
        eventually(lambda: client.pubsub_channels("*:wake:*"))
    other.delete(key)
    waiting.join(LIMIT_S)

    assert not waiting.is_alive()
    other.dispose()


def _again(key: WorkflowKey) -> NewWorkflow:
    return new_workflow(key.id)


def _commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


def _watched(journal: RedisJournal, key: WorkflowKey, after: int) -> bool:
    return eventually(partial(journal.watch, key, after=after, timeout_ms=10_000))


def _expect_unknown(journal: RedisJournal, key: WorkflowKey) -> None:
    with pytest.raises(UnknownWorkflowError):
        journal.watch(key, after=1, timeout_ms=60_000)


def _latency_s(journal: RedisJournal, other: RedisJournal, key: WorkflowKey, position: int) -> float:
    """Give how long after an append by another the call comes back that waits for it."""

    def work(number: int) -> float:
        if number:
            assert _watched(journal, key, after=position)
            return time.monotonic()
        eventually(lambda: journal._redis._process.listener and journal._redis._process.listener._waiters)  # type: ignore[union-attr]
        began = time.monotonic()
        add(other, key, Lost(_A))
        return began

    began, woken = at_once(2, work)
    return woken - began
