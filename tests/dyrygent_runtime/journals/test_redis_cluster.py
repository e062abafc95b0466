"""The Redis journal on a cluster: the whole suite, and what happens when slots move and nodes go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
import redis

from dyrygent_core import Attempt, Lost, Succeeded, WorkflowState
from dyrygent_core.errors import JournalError, JournalUnavailableError
from dyrygent_core.ports import Journal, Lease, Mark, MarkKind, Query, Seen, StoredSnapshot
from dyrygent_runtime.journals.redis import RedisJournal
from dyrygent_runtime.journals.redis import scripts as redis_scripts
from dyrygent_runtime.journals.redis.keys import Keys
from dyrygent_testing import JournalSuite
from dyrygent_testing.journal_basis import LATER_MS, add, eventually, new_workflow
from tests.dyrygent_runtime.journals.process_rules import ProcessRules
from tests.dyrygent_runtime.journals.redis_servers import Server, Wire, is_cluster_up, started_cluster

_NODES = 3
_A = Attempt("a")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Sequence[Server]]:
    with started_cluster(_NODES) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def lone() -> Iterator[Server]:
    with started_cluster(1) as (node,):
        yield node


@pytest.fixture
def url(nodes: Sequence[Server]) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}"


@pytest.fixture
def journal(url: str, request: pytest.FixtureRequest) -> Iterator[RedisJournal]:
    journal = RedisJournal(url, request.node.name)
    yield journal
    journal.dispose()


class TestRedisClusterJournal(ProcessRules, JournalSuite):
    """The suite, and the rules for several processes: no script has keys of two slots, or the cluster would say so."""

    @pytest.fixture
    def make_journal(self, url: str) -> Callable[[str], Journal]:
        return lambda namespace: RedisJournal(url, namespace)


def test_every_script_keeps_to_one_slot(nodes: Sequence[Server], journal: RedisJournal) -> None:
    """In one life of a workflow every script runs but the one for plain servers, and the cluster refuses none."""
    for node in nodes:
        with closing(node.client) as client:
            client.script_flush()
    gone, workflow = new_workflow("gone").key, new_workflow(calls=[b"call"] * 1_500)
    key = workflow.key
    journal.create(workflow, nonce="n", due_in_ms=LATER_MS)
    journal.append(key, [Succeeded(_A)], seen=Seen(1, "n"), nonce="m", results={_A: b"value"})
    journal.keep_snapshot(key, StoredSnapshot(Seen(2, "m"), b"state"))
    journal.mark(key, [Mark(MarkKind.SENT, _A)])
    journal.annotate(key, {"name": 1})
    journal.remind(key, in_ms=0)
    assert [it.key for it in journal.due(limit=9, claim_ms=LATER_MS)] == [key]
    journal.rest(key, in_ms=LATER_MS)
    journal.renew_lease(Lease("w", "1"), ttl_ms=LATER_MS)
    assert len(journal.leases()[0]) == 1
    assert journal.close(key, at=2, state=WorkflowState.SUCCESS)
    assert [it.key for it in journal.list(Query(), limit=9).items] == [key]
    assert journal.purge(closed_for_ms=0, limit=9) == 1
    journal.delete(gone)

    scripts = set(redis_scripts.__all__) - {"DUE"}
    unused = {it for it in scripts if not any(_knows(node, getattr(redis_scripts, it)) for node in nodes)}
    assert unused == set()


def test_all_partitions_of_all_nodes_are_swept_listed_and_purged(journal: RedisJournal) -> None:
    """Workflows are spread over the nodes, and found wherever they are."""
    keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=0).key for it in range(200)]
    claimed = [it.key for _ in range(5) for it in journal.due(limit=40, claim_ms=LATER_MS)]
    assert sorted(claimed, key=str) == sorted(keys, key=str)
    assert len(journal.list(Query(), limit=999).items) == 200

    for key in keys[:150]:
        assert journal.close(key, at=1, state=WorkflowState.SUCCESS)
    assert journal.purge(closed_for_ms=0, limit=100) == 100
    assert journal.purge(closed_for_ms=0, limit=100) == 50
    assert {it.key for it in journal.list(Query(), limit=999).items} == set(keys[150:])


def test_j9_an_append_waits_for_a_slot_that_moves(nodes: Sequence[Server], journal: RedisJournal) -> None:
    """While keys are on their way none is written, since no node has them all; then it goes where they are."""
    key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
    assert add(journal, key, Lost(_A)).first == 2

    def append_between() -> None:
        with pytest.raises(JournalUnavailableError):
            add(journal, key, Lost(_A))

    _move_slot_of(key.id, journal.namespace, nodes, append_between)

    assert add(journal, key, Lost(_A)).first == 3
    assert [entry.position for entry in journal.read(key)] == [1, 2, 3]
    assert [it.key for it in journal.list(Query(), limit=9).items] == [key]


def test_j9_a_node_that_is_away_is_unavailable_and_comes_back(nodes: Sequence[Server], journal: RedisJournal) -> None:
    """The workflows of the other nodes go on; its own are there again, with all entries, once it is back."""
    keys = [journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=LATER_MS).key for it in range(30)]
    nodes[2].kill()
    lost, written = [], []
    for key in keys:
        try:
            journal.append(key, [Lost(_A)], seen=Seen(1, "n"), nonce="m")
            written.append(key)
        except JournalUnavailableError:
            lost.append(key)
    nodes[2].start()
    eventually(lambda: all(is_cluster_up(node, _NODES) for node in nodes))

    assert lost
    assert written
    assert all(len(journal.read(key)) == 1 + (key in written) for key in keys)
    assert [add(journal, key, Lost(_A)).first for key in lost] == [2] * len(lost)


def test_j9_a_cluster_that_is_away_is_unavailable() -> None:
    """The client's own class of that error is no error of Redis's; ours it is."""
    journal = RedisJournal("redis+cluster://:secret@127.0.0.1:1,127.0.0.1:2")

    with pytest.raises(JournalUnavailableError) as problem:
        journal.definition("w")
    assert "secret" not in str(problem.value)


def test_j9_an_append_whose_reply_is_lost_is_not_repeated(lone: Server) -> None:
    """The client of a cluster would repeat it on its own; it is told not to."""
    with closing(Wire(lone.url)) as wire, closing(lone.client) as client:
        client.config_set("cluster-announce-port", wire.port)
        journal = RedisJournal(wire.url.replace("redis://", "redis+cluster://"), "lost")
        key = journal.create(new_workflow(), nonce="n", due_in_ms=LATER_MS).key
        add(journal, key, Lost(_A))  # which teaches the server the script
        wire.replies_to_lose = 1
        with pytest.raises(JournalUnavailableError):
            journal.append(key, [Lost(_A)], seen=Seen(2, "n"), nonce="lost")

        assert [entry.nonce for entry in journal.read(key)] == ["n", "n", "lost"]
        client.config_set("cluster-announce-port", 0)
        journal.dispose()


def test_a_plain_url_does_for_a_cluster_of_one_node(lone: Server) -> None:
    """As for a proxy before a cluster: it is found out that no script may see all partitions, and not asked again."""
    journal = RedisJournal(lone.url)
    keys = {journal.create(new_workflow(f"w{it}"), nonce="n", due_in_ms=0).key for it in range(20)}

    assert {it.key for it in journal.due(limit=99, claim_ms=LATER_MS)} == keys
    assert {it.key for it in journal.list(Query(), limit=99).items} == keys
    assert journal.due(limit=99, claim_ms=LATER_MS) == ()
    with closing(lone.client) as client:
        assert client.info("errorstats")["errorstat_CROSSSLOT"] == {"count": 1}
    journal.dispose()


def test_a_plain_url_to_a_node_of_several_is_told_what_to_write(nodes: Sequence[Server]) -> None:
    """A workflow that is on another node would never be found."""
    journal = RedisJournal(nodes[0].url)
    with closing(nodes[0].client) as client:
        ids = [f"w{it}" for it in range(100)]
        elsewhere = next(it for it in ids if not _is_served(client, Keys(journal.namespace, it).head))

    with pytest.raises(JournalError, match=r"use redis\+cluster://"):
        journal.definition(elsewhere)
    journal.dispose()


def _knows(node: Server, script: str) -> bool:
    with closing(node.client) as client:
        return bool(client.script_exists(client.register_script(script).sha)[0])


def _move_slot_of(workflow_id: str, namespace: str, nodes: Sequence[Server], between: Callable[[], None]) -> None:
    """Move the slot of a workflow to another node, the way that `redis-cli --cluster reshard` does."""
    head = Keys(namespace, workflow_id).head
    clients = [node.client for node in nodes]
    slot = clients[0].execute_command("CLUSTER KEYSLOT", head)
    source = next(it for it in range(_NODES) if _has(clients[it], slot))
    target = (source + 1) % _NODES
    ids = [str(client.execute_command("CLUSTER MYID"), "ascii") for client in clients]
    clients[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    keys = clients[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 999)
    for part in (keys[:1], keys[1:]):
        clients[source].execute_command("MIGRATE", "127.0.0.1", nodes[target].port, "", 0, 5_000, "KEYS", *part)
        between()
    for client in (clients[target], clients[source]):
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
    for client in clients:
        client.close()


def _is_served(client: redis.Redis, key: str) -> bool:
    try:
        client.exists(key)
    except redis.exceptions.MovedError:
        return False
    return True


def _has(client: redis.Redis, slot: int) -> bool:
    return bool(client.execute_command("CLUSTER COUNTKEYSINSLOT", slot))
