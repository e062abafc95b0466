"""A snapshot that no state gave is refused, though its sum is right; so is one of newer rules."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve

from dyrygent_core import (
    Attempt,
    Begin,
    Failed,
    Graph,
    InvariantError,
    Lost,
    Node,
    RerunRequested,
    RetryPolicy,
    State,
    Succeeded,
)
from dyrygent_core.codec import Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.codec.snapshots import Emission
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.restore import record_of, restore
from dyrygent_core.rules import RULES_VERSION
from dyrygent_core.statuses import Status
from tests.dyrygent_core.folding import after, step

WAITING, READY, SCHEDULED, SUCCEEDED, FAILED, UPSTREAM_FAILED, CANCELLED, SKIPPED = map(int, Status)

GRAPH: Final = Graph(
    [
        Node("a"),
        Node("m", ["a"], each="a"),
        Node("never", ["a"], trigger="one_failed"),
        Node("r", max_attempts=3, retry=RetryPolicy(500)),
        Node("z", ["m", "r"]),
        Node("end", role="finally"),
    ]
)
A, M, NEVER, R, Z, END = (GRAPH.number(name) for name in ("a", "m", "never", "r", "z", "end"))
STATE: Final = after(
    GRAPH,
    Begin(),
    Succeeded(Attempt("a"), sizes=(2,), branches=("m", "never")),
    Failed(Attempt("m", 0)),
    Lost(Attempt("r")),
    Failed(Attempt("r", 0, 2), at_ms=100),
)
"""In it an instance and a delayed retry are all that goes on."""
SNAPSHOT: Final = Snapshot(STATE, 5, "nonce", {Attempt("m", 1): Emission(2, 7)})

Change = Callable[[dict[str, Any]], object]


def packed(*statuses: int) -> str:
    return base64.b64encode(zlib.compress(bytes(statuses))).decode()


def written(change: Change, snapshot: Snapshot = SNAPSHOT) -> bytes:
    """Write a snapshot, altered, with the sum of what it holds now."""
    fields = json.loads(encode_snapshot(snapshot).rpartition(b"\n")[0])
    change(fields)
    body = json.dumps(fields).encode()
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode()


def statuses(**by_name: int) -> Change:
    """Give some nodes another status."""
    now = {**STATE.statuses, **by_name}
    return lambda it: it.update(statuses=packed(*(now[node.id] for node in GRAPH.nodes)))


def flags(**changed: Any) -> Change:
    return lambda it: it["flags"].update(changed)


def test_the_snapshot_that_is_altered_here_is_right() -> None:
    """Unaltered, it gives the state, and holds what there is to hold."""
    assert decode_snapshot(written(lambda _: None), GRAPH) == SNAPSHOT
    fields = json.loads(encode_snapshot(SNAPSHOT).partition(b"\n")[0])
    fields["bands"][0][1] = "packed"
    assert (fields["tries"], fields["due_ms"]) == ([[R, 3, 1, 1]], [[R, 600]])
    assert (fields["sizes"], fields["branches"]) == ([[A, [2]]], [[A, ["m", "never"]]])
    assert fields["bands"] == [[M, "packed", [], []]]
    assert fields["emitted"] == [["m", 1, 1, 2, 7]]


def refusal(data: bytes, graph: Graph = GRAPH) -> str:
    with pytest.raises(UnsupportedVersionError) as caught:
        decode_snapshot(data, graph)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: it.update(v=2), "is written in format '2'; this release reads format 1"),
        (lambda it: it.update(rules=RULES_VERSION + 1), "this snapshot follows rules 2, and its graph rules 1"),
        (lambda it: it.update(rules="1"), "rules must be a whole number, not str: '1'"),
        (lambda it: it.update(rules=True), "rules must be a whole number, not bool: True"),
        (lambda it: it.update(rules=0), "rules must be 1 or more, not int: 0"),
        (lambda it: it.update(rules=0.5), "rules must be a whole number, not float: 0.5"),
        (lambda it: it.update(rules=float("nan")), "this snapshot is not JSON: there is no NaN"),
        (lambda it: it.update(graph="x"), "is of graph 'x', not of <Graph"),
        (lambda it: it.update(graph=5), "graph must be a str, not int: 5"),
        (lambda it: it.update(colour=5), "there is no field 'colour' in it"),
        (lambda it: it.pop("tries"), "KeyError: 'tries'"),
        (lambda it: it.update(position="x"), "position must be a whole number, not str: 'x'"),
        (lambda it: it.update(position=-1), "position must be 0 or more, not int: -1"),
        (lambda it: it.update(nonce=5), "nonce must be a str, not int: 5"),
        (lambda it: it.update(flags=[]), "flags must be a mapping, not list: []"),
        (lambda it: it["flags"].pop("is_paused"), "KeyError: 'is_paused'"),
        (flags(is_tired=True), "there is no field 'is_tired' in flags"),
        (flags(is_paused=0), "is_paused must be true or false, not int: 0"),
        (flags(round=0), "round must be 1 or more, not int: 0"),
        (flags(begun_ms=0.5), "begun_ms must be a whole number, not float: 0.5"),
        (flags(skips=["m"]), "skips must be a list of int, not list: ['m']"),
        (lambda it: it.update(statuses=5), "statuses must be a str, not int: 5"),
        (lambda it: it.update(statuses="%"), "Error"),
        (lambda it: it.update(statuses="AAAA"), "Error -3 while decompressing data"),
        (lambda it: it.update(statuses=it["statuses"][:-8]), "statuses are cut, or more than 6"),
        (lambda it: it.update(statuses=packed(*[0] * 7)), "statuses are cut, or more than 6"),
        (lambda it: it.update(statuses=packed(*[0] * 5)), "it has 5 statuses for 6 nodes"),
        (lambda it: it.update(tries=[[R, 3, 1]]), "tries must be [int, int, int, int], not list: "),
        (lambda it: it["tries"].append([R, 2, 1, 0]), "tries has one number twice"),
        (lambda it: it["due_ms"].append([0, "x"]), "due_ms must be [int, int], not list: [0, 'x']"),
        (lambda it: it.update(sizes=[[A, ["x"]]]), "sizes must be a list of int, not list: ['x']"),
        (lambda it: it.update(branches=[[A, [5]]]), "branches must be a list of str, not list: [5]"),
        (lambda it: it.update(bands=[[M, "", []]]), "bands must be [int, str, list, list], not list: "),
        (lambda it: it["emitted"].append(["m", -1, 1, 1, 1]), "an attempt has an index of 0 or more"),
        (lambda it: it["emitted"].append(["m", 1, 1, 1]), "emitted must be [str, int, int, int, int], not list: "),
        (lambda it: it["emitted"].append(["m", 1, 1, 1, "x"]), "emitted must be [str, int, int, int, int], not list: "),
    ],
)
def test_what_no_release_wrote_is_refused(change: Change, why: str) -> None:
    """Whoever asked reads the journal from the start instead."""
    assert why in refusal(written(change))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        # statuses
        (statuses(z=255), "255 is no status"),
        (statuses(z=5), "5 is no status"),
        (statuses(a=FAILED), "node 'a' has told of a success that it had not"),
        (statuses(z=FAILED), "node 'z' is FAILED, though its dependencies make it WAITING"),
        (statuses(z=SCHEDULED), "node 'z' is SCHEDULED, though its dependencies make it WAITING"),
        (statuses(z=UPSTREAM_FAILED), "node 'z' is UPSTREAM_FAILED, though its dependencies make it WAITING"),
        (statuses(never=WAITING), "node 'never' is WAITING, though its dependencies make it SKIPPED"),
        (statuses(never=SUCCEEDED), "node 'never' is SUCCEEDED, though its dependencies make it SKIPPED"),
        (statuses(r=WAITING), "node 'r' has a retry that is due, but does not wait for one"),
        (statuses(z=CANCELLED), "a node is CANCELLED, but nothing has ended the workflow"),
        (statuses(end=FAILED), "node 'end' is FAILED before or after its time"),
        # what is told of nodes
        (lambda it: it["tries"].append([-5, 2, 0, 0]), "it tells of node -5, and there are 6"),
        (lambda it: it["due_ms"].append([-1, 5]), "it tells of node -1, and there are 6"),
        (lambda it: it["due_ms"].append([99, 5]), "it tells of node 99, and there are 6"),
        (lambda it: it["sizes"].append([6, [1]]), "it tells of node 6, and there are 6"),
        (lambda it: it["branches"].append([6, []]), "it tells of node 6, and there are 6"),
        (lambda it: it["bands"].append([6, packed(), [], []]), "it tells of node 6, and there are 6"),
        (flags(skips=[6]), "it tells of node 6, and there are 6"),
        (lambda it: it["due_ms"].append([A, 5]), "node 'a' has a retry that is due, but does not wait for one"),
        (lambda it: it.update(tries=[[R, 3, 3, 0]]), "node 'r' goes on after 3 failures and 0 losses"),
        (lambda it: it.update(tries=[[R, 4, 0, 3]]), "node 'r' goes on after 0 failures and 3 losses"),
        (lambda it: it.update(tries=[[R, 2, -1, 0]]), "node 'r' goes on after -1 failures and 0 losses"),
        (lambda it: it.update(tries=[[R, 2, 1, 1]]), "node 'r' is at attempt 2 after 2"),
        (lambda it: it["tries"].append([Z, 2, 0, 0]), "node 'z' never ran, but is at attempt 2"),
        (lambda it: it.update(sizes=[[Z, [1]]]), "node 'z' has told of a success that it had not"),
        (lambda it: it.update(branches=[[R, []]]), "node 'r' has told of a success that it had not"),
        (lambda it: it.update(branches=[[A, ["z"]]]), "node 'a' took what does not wait for it"),
        (lambda it: it.update(branches=[[A, []]]), "node 'm' is SCHEDULED, though its dependencies make it SKIPPED"),
        (flags(skips=[Z]), "node 'z' is to be skipped when it ends, but is not in flight"),
        # instances
        (lambda it: it.update(bands=[]), "node 'm' is mapped, but has no instances"),
        (lambda it: it["bands"].append([A, packed(READY), [], []]), "node 'a' has instances, but is not mapped"),
        (lambda it: it.update(bands=[[M, packed(0, 202), [], []]]), "0 is no status of an instance"),
        (lambda it: it.update(bands=[[M, packed(205, 202), [], []]]), "205 is no status of an instance"),
        (
            lambda it: it.update(bands=[[M, packed(204, 203), [], []]]),
            "node 'm' is SCHEDULED, though its instances",
        ),
        (
            lambda it: it.update(bands=[[M, packed(204, 201), [], []]]),
            "node 'm' is SCHEDULED, though its instances",
        ),
        (lambda it: it["bands"][0][3].append([0, 5]), "node 'm' has a retry of instance 0 that is due, but does not"),
        (lambda it: it["bands"][0][3].append([-1, 5]), "node 'm' has a retry of instance -1 that is due, but does not"),
        (lambda it: it["bands"][0][2].append([2, 2, 0, 0]), "node 'm' has 2 instances, and no instance 2"),
        (lambda it: it["bands"][0][2].append([1, 2, 1, 0]), "node 'm' goes on after 1 failures and 0 losses"),
        # the whole
        (flags(is_work_over=True), "its ordinary nodes are said to be final, but are not"),
        (flags(is_cancelled=True), "it is ending, but a node still waits, or waits for its retry"),
        (flags(has_begun=False), "node 'a' is SUCCEEDED, though its dependencies make it WAITING"),
        (flags(has_begun=False, round=2), "it has not begun, but goes on"),
        (lambda it: it.update(due_ms=[]), "a node is held, but nothing holds it"),
        (lambda it: it["emitted"].append(["a", 0, 1, 1, 1]), "Attempt(node='a', index=0, number=1) was emitted, but"),
        (lambda it: it["emitted"].append(["gone", 0, 1, 1, 1]), "Attempt(node='gone', index=0, number=1) was emitted"),
    ],
)
def test_what_no_state_gave_is_refused(change: Change, why: str) -> None:
    """From such a state nothing could go on as it should; the words say why it cannot be."""
    assert why in refusal(written(change))


@pytest.mark.parametrize("given", [(WAITING, FAILED), (255, 255), (5, WAITING), (SUCCEEDED, WAITING)])
def test_statuses_that_contradict_each_other_are_refused(given: tuple[int, int]) -> None:
    """A node that failed while what it waits for waits itself, and the like."""
    graph = Graph([Node("a"), Node("b", ["a"])])
    begun = Snapshot(after(graph, Begin()))

    assert "InvariantError" in refusal(written(lambda it: it.update(statuses=packed(*given)), begun), graph)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"is_work_over": False}, "every ordinary node is final, but that is not noted"),
        ({"is_paused": True}, "it is finished, but paused, or not every node is final"),
    ],
)
def test_a_finished_workflow_is_finished(changed: dict[str, bool], why: str) -> None:
    """It is known to be, and nothing goes on."""
    graph = Graph([Node("a")])
    over = Snapshot(after(graph, Begin(), Succeeded(Attempt("a"))))

    assert why in refusal(written(flags(**changed), over), graph)


def test_what_a_node_of_the_whole_workflow_told_outlives_a_rerun() -> None:
    """It is kept from the round before, though the node has not run in this one; so a snapshot may hold it."""
    graph = Graph([Node("b"), Node("end", role="finally")])
    told = Succeeded(Attempt("end"), sizes=(3,), branches=())
    state = after(graph, Begin(), Failed(Attempt("b")), told, RerunRequested())

    assert decode_snapshot(encode_snapshot(Snapshot(state)), graph).state == state


def test_wide_joins_are_counted() -> None:
    """Beyond a hundred dependencies, and with as many left as there are."""
    graph = Graph([*(Node(f"n{at}") for at in range(250)), Node("join", [f"n{at}" for at in range(250)])])
    state = after(graph, Begin())
    for at in range(249):
        assert restore(graph, record_of(state)) == state
        state = after_one(state, at)
    again = restore(graph, record_of(state))

    assert again == state
    assert after_one(again, 249).status("join") is Status.SCHEDULED
    record = record_of(after_one(state, 249))
    with pytest.raises(InvariantError, match="node 'join' is WAITING, though its dependencies make it SCHEDULED"):
        restore(graph, evolve(record, statuses=record.statuses[:-1] + bytes([WAITING])))


def after_one(state: State, at: int) -> State:
    return step(state, Succeeded(Attempt(f"n{at}")))[0]
