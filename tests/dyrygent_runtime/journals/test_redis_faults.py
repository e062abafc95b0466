"""The Redis journal on servers that are killed, full, read-only, or cannot write to their disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis

from dyrygent_core import Attempt, Lost, Succeeded, WorkflowState
from dyrygent_core.errors import JournalError, JournalUnavailableError, UnknownWorkflowError
from dyrygent_core.ports import Mark, MarkKind, Query, Seen, StoredSnapshot
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_testing.journal_basis import LATER_MS, LIMIT_S, add, eventually, new_workflow
from tests.dyrygent_runtime.journals.redis_servers import Server, Wire, started

_A = Attempt("a")
_SAFE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that forgets all when it is killed, but what it was told to save."""
    with started() as server:
        yield server


@pytest.fixture
def journal(server: Server) -> Iterator[RedisJournal]:
    journal = RedisJournal(server.url)
    yield journal
    journal.dispose()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with closing(server.client) as client:
        yield client


# Killed


def test_j9_what_was_answered_survives_a_kill_where_each_write_is_on_the_disk() -> None:
    """A server with `appendfsync always` is killed under appends: each that was answered is there, and there once."""
    with started(*_SAFE) as server:
        journal = RedisJournal(server.url)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
        answered: list[tuple[int, str]] = []
        has_many = threading.Event()

        def append(name: int) -> None:
            with suppress(JournalUnavailableError):
                for turn in range(100_000):
                    nonce = f"{name}.{turn}"
                    answered.append((add(journal, key, Lost(_A), nonce=nonce).first, nonce))
                    if len(answered) > 200:
                        has_many.set()

        threads = [threading.Thread(target=append, args=(it,)) for it in range(4)]
        for thread in threads:
            thread.start()
        assert has_many.wait(LIMIT_S)
        server.kill()
        for thread in threads:
            thread.join(LIMIT_S)
        server.start()

        found = [(entry.position, entry.nonce) for entry in journal.read(key)]
        assert [position for position, _ in found] == list(range(1, len(found) + 1))
        assert len({nonce for _, nonce in found}) == len(found)
        assert set(answered) <= set(found)
        assert journal.list(Query(), limit=1).items[0].key == key
        assert add(journal, key, Lost(_A)).first == len(found) + 1
        journal.dispose()


def test_j2_a_journal_that_lost_its_last_entries_says_so(
    client: redis.Redis, server: Server, journal: RedisJournal
) -> None:
    """Who has seen more than is left is told, whether the place of what it saw is empty or taken by another."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    client.save()
    seen = Seen(journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="lost").first, "lost")
    server.kill()
    server.start()

    beyond = journal.append(key, [Lost(_A)], seen=seen, nonce="first")
    assert (beyond.first, beyond.missed, beyond.has_diverged) == (2, (), True)
    elsewhere = journal.append(key, [Lost(_A)], seen=seen, nonce="second")
    assert (elsewhere.first, elsewhere.missed, elsewhere.has_diverged) == (3, (), True)
    assert [entry.nonce for entry in journal.read(key)] == ["n", "first", "second"]
    assert not journal.append(key, [Lost(_A)], seen=Seen(3, "second"), nonce="third").has_diverged


def test_j3_a_journal_that_lost_everything_says_so(server: Server, journal: RedisJournal) -> None:
    """After a restart without any file every workflow is unknown, and an append to it creates nothing."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    seen = Seen(add(journal, key, Lost(_A)).first, "n")
    server.kill()
    server.start()

    with pytest.raises(UnknownWorkflowError):
        journal.append(key, [Succeeded(_A)], seen=seen, nonce="n", results={_A: b"value"})
    with pytest.raises(UnknownWorkflowError):
        journal.definition(key.id)
    with closing(server.client) as client:
        assert client.dbsize() == 0


def test_j9_a_connection_that_was_cut_is_opened_again(client: redis.Redis, journal: RedisJournal) -> None:
    """What the server has closed while nobody used it costs no call, not even an append."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    for first in (2, 3):
        client.client_kill_filter(_type="normal", skipme=True)
        assert add(journal, key, Lost(_A)).first == first


def test_a_server_that_does_not_know_a_script_has_not_run_it(client: redis.Redis, server: Server) -> None:
    """It is sent the whole script then, once, and each append is written once."""
    with closing(Wire(server.url)) as wire:
        journal = RedisJournal(wire.url)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
        add(journal, key, Lost(_A), nonce="before")
        client.script_flush()
        before = wire.round_trips

        assert add(journal, key, Lost(_A), nonce="after").first == 3
        assert wire.round_trips - before == 2
        assert add(journal, key, Lost(_A), nonce="again").first == 4
        assert wire.round_trips - before == 3
        assert [entry.nonce for entry in journal.read(key)] == ["n", "before", "after", "again"]
        journal.dispose()


def test_j9_a_claim_whose_reply_is_lost_runs_out(server: Server) -> None:
    """Nobody has it, until its time is over; then somebody does."""
    with closing(Wire(server.url)) as wire:
        journal = RedisJournal(wire.url)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=0).key
        journal.due(limit=1, claim_ms=0)
        journal.rest(key, in_ms=0)
        wire.replies_to_lose = 1
        with pytest.raises(JournalUnavailableError):
            journal.due(limit=1, claim_ms=200)

        assert journal.due(limit=1, claim_ms=LATER_MS) == ()
        assert [it.key for it in eventually(lambda: journal.due(limit=1, claim_ms=LATER_MS))] == [key]
        journal.dispose()


# Refused


def test_j9_a_full_server_refuses_whole_writes(client: redis.Redis, journal: RedisJournal) -> None:
    """Without memory nothing is half-written, what is there can be read, and closing and purging make room."""
    workflow = new_workflow("full")
    old = journal.create(new_workflow("old"), nonce="n", due_in_ms=LATER_MS).key
    key = journal.create(workflow, nonce="n", due_in_ms=0).key
    before = _dump(client)
    client.config_set("maxmemory", 1)

    writes = [
        lambda: journal.create(new_workflow("new"), nonce="n", due_in_ms=0),
        lambda: journal.create(new_workflow("new", calls=()), nonce="n", due_in_ms=0),
        lambda: journal.append(key, [Succeeded(_A)], seen=Seen(1, "n"), nonce="m", results={_A: b"value"}),
        lambda: journal.mark(key, [Mark(MarkKind.SENT, _A)]),
        lambda: journal.keep_snapshot(key, StoredSnapshot(Seen(1, "n"), b"state")),
        lambda: journal.annotate(key, {"name": 1}),
        lambda: journal.due(limit=9, claim_ms=LATER_MS),
        lambda: journal.rest(key, in_ms=LATER_MS),
    ]
    for write in writes:
        with pytest.raises(JournalUnavailableError, match="memory is full; nothing was written: raise maxmemory"):
            write()
    assert _dump(client) == before
    assert len(journal.read(key)) == 1

    assert journal.close(old, at=1, state=WorkflowState.SUCCESS)
    assert journal.purge(closed_for_ms=0, limit=9) == 1
    client.config_set("maxmemory", 0)
    assert add(journal, key, Lost(_A)).first == 2
    assert [it.key for it in journal.due(limit=9, claim_ms=LATER_MS)] == [key]


def test_j9_a_replica_can_be_read_and_not_written(client: redis.Redis, journal: RedisJournal) -> None:
    """The error says that the URL is the replica's."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    with started("--repl-diskless-sync-delay", "0") as primary:
        client.replicaof("127.0.0.1", str(primary.port))
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
        with pytest.raises(UnknownWorkflowError):
            journal.definition(key.id)
        behind = RedisJournal(primary.url)
        behind.create(new_workflow("replicated"), nonce="n", due_in_ms=LATER_MS)
        eventually(lambda: client.dbsize() > 0)

        replicated = journal.definition("replicated").key
        for write in (
            lambda: add(journal, replicated, Lost(_A)),
            lambda: journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS),
        ):
            with pytest.raises(JournalUnavailableError, match="read-only replica: give the URL of the primary"):
                write()
        assert len(behind.read(replicated)) == 1
        behind.dispose()


def test_j9_a_server_that_cannot_save_refuses_whole_writes(tmp_path: Path) -> None:
    """Its folder is gone, as on a disk that is full: it stops to write, and the error says why."""
    with closing(Server(tmp_path / "redis")) as server:
        journal = RedisJournal(server.url)
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
        with closing(server.client) as client:
            client.config_set("save", "3600 1")
            shutil.rmtree(tmp_path / "redis")
            client.bgsave()
            eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")

            with pytest.raises(JournalUnavailableError, match="cannot save to its disk"):
                add(journal, key, Lost(_A))
            client.config_set("stop-writes-on-bgsave-error", "no")
        assert add(journal, key, Lost(_A)).first == 2
        journal.dispose()


def test_j9_too_many_connections_are_unavailable(client: redis.Redis, server: Server) -> None:
    """Who comes too late waits for another to go."""
    client.config_set("maxclients", 1)
    journal = RedisJournal(server.url)
    with pytest.raises(JournalUnavailableError):
        journal.definition("w")
    client.config_set("maxclients", 10)

    with pytest.raises(UnknownWorkflowError):
        journal.definition("w")
    journal.dispose()


def test_who_may_not_send_messages_can_append(client: redis.Redis, server: Server, journal: RedisJournal) -> None:
    """An append is whole without its message; who waits without permission is told so."""
    client.execute_command("ACL SETUSER mute on >secret ~* +@all resetchannels")
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    mute = RedisJournal(f"redis://mute:secret@127.0.0.1:{server.port}")

    assert add(mute, key, Lost(_A)).first == 2
    with pytest.raises(JournalError, match="channel"):
        mute.watch(key, after=2, timeout_ms=1_000)
    mute.dispose()


def _dump(client: redis.Redis) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter()}
