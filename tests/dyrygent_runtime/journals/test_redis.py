"""The Redis journal."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from urllib.parse import urlsplit

import pytest
import redis

from dyrygent_core import Attempt, Lost, Succeeded
from dyrygent_core.errors import JournalUnavailableError, UnsupportedVersionError
from dyrygent_core.ports import Journal, Lease, Mark, MarkKind, Seen
from dyrygent_runtime.journals.redis_journal import RedisJournal
from dyrygent_runtime.journals.redis_keys import Keys
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, eventually, new_workflow
from tests.dyrygent_runtime.journals.process_rules import ProcessRules

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


class _Wire:
    """A wire to the server that can be told to lose replies."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.loses_replies = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}{self._server.path}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._server.hostname or "", self._server.port or 6379))
                threading.Thread(target=self._pump, args=(near, far, None), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, self.loses_replies), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, cut: threading.Event | None) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65_536):
                if cut is not None and cut.is_set():
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


def test_j9_an_append_whose_reply_is_lost_was_written_once(redis_url: str, journal: RedisJournal) -> None:
    """The journal does not repeat it: its caller reads whether it is there, under the nonce."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    with closing(_Wire(redis_url)) as wire:
        behind = RedisJournal(wire.url, journal.namespace)
        assert len(behind.read(key)) == 1
        wire.loses_replies.set()

        with pytest.raises(JournalUnavailableError):
            behind.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="lost")
        with pytest.raises(JournalUnavailableError):
            behind.read(key)

        wire.loses_replies.clear()
        assert [entry.nonce for entry in behind.read(key)] == ["n", "lost"]
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
    assert len(names) == 4  # head, entries, calls, due times


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
    journal.close(workflows[0].key, at=2)
    assert len(client.keys("*:3:own:*")) > 6 * 5

    for workflow in workflows:
        journal.delete(workflow.key)

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
