"""A snapshot that no state gave is refused, though its sum is right; so is one of newer rules."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from dyrygent_core import Attempt, Begin, Failed, Graph, Node, Succeeded
from dyrygent_core.codec import Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.rules import RULES_VERSION
from dyrygent_core.statuses import Status
from tests.dyrygent_core.folding import after

GRAPH = Graph([Node("a"), Node("m", ["a"], each="a"), Node("z", ["m"]), Node("never", ["a"], trigger="one_failed")])
STATE = after(GRAPH, Begin(), Succeeded(Attempt("a"), sizes=(2,)), Failed(Attempt("m", 0)))


def packed(*statuses: int) -> str:
    return base64.b64encode(zlib.compress(bytes(statuses))).decode()


def written(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Write the state's snapshot, altered, with the sum of what it holds now."""
    fields = json.loads(encode_snapshot(Snapshot(STATE, 3)).rpartition(b"\n")[0])
    change(fields)
    body = json.dumps(fields).encode()
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode()


def test_the_snapshot_that_is_altered_here_is_right() -> None:
    """Unaltered, it gives the state."""
    assert decode_snapshot(written(lambda _: None), GRAPH) == Snapshot(STATE, 3)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: it.update(v=2), "is written in format '2'; this release reads format 1"),
        (lambda it: it.update(rules=RULES_VERSION + 1), "follows rules 2; this release knows rules 1 to 1"),
        (lambda it: it.update(rules="1"), "TypeError"),
        (lambda it: it.update(graph="x"), "is of graph x, not of <Graph"),
        (lambda it: it.pop("tries"), "KeyError: 'tries'"),
        (lambda it: it.update(statuses=packed(203, 202)), "it has 2 statuses for 4 nodes"),
        (lambda it: it.update(statuses="%"), "Error"),
        (lambda it: it.update(statuses="AAAA"), "error"),
        (
            lambda it: it.update(statuses=packed(Status.FAILED, 0, 0, 0)),
            "node 'm' waits, though its dependencies decide it",
        ),
        (
            lambda it: it["bands"].append([0, packed(Status.READY), [], []]),
            "node 'a' has instances, but is not mapped",
        ),
        (lambda it: it["flags"].update(is_tired=True), "TypeError"),
        (lambda it: it["due_ms"].append([99, 1]), "IndexError"),
        (lambda it: it["emitted"].append(["a", -1, 1, 1, 1]), "an attempt has an index of 0 or more"),
    ],
)
def test_what_no_state_gave_is_refused(change: Callable[[dict[str, Any]], object], why: str) -> None:
    """Whoever asked reads the journal from the start instead."""
    with pytest.raises(UnsupportedVersionError, match=why.replace("(", r"\(")):
        decode_snapshot(written(change), GRAPH)
