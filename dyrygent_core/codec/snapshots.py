"""Snapshots: a state at one position of its journal, so that whoever catches up reads a short tail.

Statuses are one byte a node, compressed: most neighbours have the same. What can be recomputed is not written. A sum
stands at the end, so that what was cut or altered is refused and not misread.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, Final

import attrs
from attrs import field, frozen

from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads, malformed
from dyrygent_core.codec.observations import write_attempt
from dyrygent_core.errors import InvariantError, UnsupportedVersionError
from dyrygent_core.graph import Graph
from dyrygent_core.observations import Attempt
from dyrygent_core.restore import BandRecord, StateRecord, record_of, restore
from dyrygent_core.rules import RULES_VERSION
from dyrygent_core.state import Flags, State
from dyrygent_core.tries import Tries

__all__ = ["Emission", "Snapshot", "decode_snapshot", "encode_snapshot"]

_WHAT: Final = "this snapshot"
_MOST_STATUSES: Final = 1_000_000
"""Most nodes of a graph, and more than a mapped node has instances: what a few bytes may unfold to."""


@frozen
class Emission:
    """Where and when an attempt was emitted: journal position, and the journal's time."""

    position: int
    at_ms: int


@frozen
class Snapshot:
    """A state, the last journal entry folded into it, and when the attempts in flight were emitted."""

    state: State
    position: int = 0
    nonce: str = ""
    emitted: Mapping[Attempt, Emission] = field(factory=dict[Attempt, Emission], hash=False)
    rules_version: int = RULES_VERSION


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot down. Cost: O(nodes), at about ten nanoseconds a node."""
    record = record_of(snapshot.state)
    body = dumps(
        {
            "v": FORMAT,
            "rules": snapshot.rules_version,
            "graph": snapshot.state.graph.fingerprint,
            "position": snapshot.position,
            "nonce": snapshot.nonce,
            "flags": {**attrs.asdict(record.flags), "skips": sorted(record.flags.skips)},
            "statuses": _packed(record.statuses),
            "tries": _tries(record.tries),
            "due_ms": list(record.due_ms.items()),
            "sizes": [[node, list(sizes)] for node, sizes in record.sizes.items()],
            "branches": [[node, list(branches)] for node, branches in record.branches.items()],
            "bands": [
                [node, _packed(band.statuses), _tries(band.tries), list(band.due_ms.items())]
                for node, band in record.bands.items()
            ],
            "emitted": [[*write_attempt(it), at.position, at.at_ms] for it, at in snapshot.emitted.items()],
        }
    ).encode()
    return body + b"\n" + _sum(body)


def decode_snapshot(data: bytes, graph: Graph) -> Snapshot:
    """Read a snapshot of a state of this graph.

    Raises `UnsupportedVersionError` for another format, newer rules, another graph, and for what no release wrote.
    """
    body, _, its_sum = data.rpartition(b"\n")
    if its_sum != _sum(body):
        message = f"{_WHAT} was cut or altered: its sum does not match"
        raise UnsupportedVersionError(message)
    fields = loads(body, _WHAT)
    try:
        if fields["rules"] > RULES_VERSION:
            message = f"{_WHAT} follows rules {fields['rules']}; this release knows rules 1 to {RULES_VERSION}"
            raise UnsupportedVersionError(message)
        if fields["graph"] != graph.fingerprint:
            message = f"{_WHAT} is of graph {fields['graph']}, not of {graph!r} ({graph.fingerprint})"
            raise UnsupportedVersionError(message)
        return _read(fields, graph)
    except (*MALFORMED, InvariantError, zlib.error) as problem:
        raise malformed(_WHAT, problem) from problem


def _read(fields: Mapping[str, Any], graph: Graph) -> Snapshot:
    record = StateRecord(
        statuses=_unpacked(fields["statuses"]),
        flags=_flags(dict(fields["flags"])),
        tries=_read_tries(fields["tries"]),
        due_ms=dict(fields["due_ms"]),
        sizes={node: tuple(sizes) for node, sizes in fields["sizes"]},
        branches={node: tuple(branches) for node, branches in fields["branches"]},
        bands={
            node: BandRecord(_unpacked(statuses), _read_tries(tries), dict(due_ms))
            for node, statuses, tries, due_ms in fields["bands"]
        },
    )
    emitted = {
        Attempt(node, index, number): Emission(position, at_ms)
        for node, index, number, position, at_ms in fields["emitted"]
    }
    return Snapshot(restore(graph, record), fields["position"], fields["nonce"], emitted, fields["rules"])


def _flags(written: dict[str, Any]) -> Flags:
    skips: list[int] = written.pop("skips")
    return Flags(skips=frozenset(skips), **written)


def _packed(statuses: bytes) -> str:
    return base64.b64encode(zlib.compress(statuses, 1)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST_STATUSES)


def _tries(tries: Mapping[int, Tries]) -> list[list[int]]:
    return [[at, it.number, it.failures, it.losses] for at, it in tries.items()]


def _read_tries(written: list[list[int]]) -> dict[int, Tries]:
    return {at: Tries(number, failures, losses) for at, number, failures, losses in written}


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
