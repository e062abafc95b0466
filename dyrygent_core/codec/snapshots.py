"""Snapshots: a state at one position of its journal, so that whoever catches up reads a short tail.

Statuses are one byte a node, compressed: most neighbours have the same. What can be recomputed is not written. A sum
stands at the end, so that what was cut or altered is refused and not misread.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Final, TypeVar

import attrs
from attrs import field, frozen

from dyrygent_core.cells import code_at
from dyrygent_core.codec.fields import (
    LIST,
    Fields,
    all_of,
    check_known,
    flag,
    known,
    listed,
    mapped,
    row,
    text,
    unique,
    whole,
    wholes,
)
from dyrygent_core.codec.json_text import FORMAT, MALFORMED, dumps, loads, malformed
from dyrygent_core.codec.observations import attempt_of, write_attempt
from dyrygent_core.errors import InvariantError, UnsupportedVersionError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import MAX_WIDTH
from dyrygent_core.observations import Attempt
from dyrygent_core.restore import BandRecord, StateRecord, record_of, restore
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import Flags, State, tries_of
from dyrygent_core.statuses import Status
from dyrygent_core.tries import Tries

__all__ = ["Emission", "Snapshot", "decode_snapshot", "encode_snapshot"]

_WHAT: Final = "this snapshot"
_FIELDS: Final = known("v rules graph position nonce flags statuses tries due_ms sizes branches bands emitted")
_Told = TypeVar("_Told", int, str)


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


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot down. Cost: O(nodes), at about ten nanoseconds a node."""
    record = record_of(snapshot.state)
    body = dumps(
        {
            "v": FORMAT,
            "rules": snapshot.state.graph.rules.version,
            "graph": snapshot.state.graph.fingerprint,
            "position": snapshot.position,
            "nonce": snapshot.nonce,
            "flags": {**attrs.asdict(record.flags, recurse=False), "skips": list(record.flags.skips)},
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

    Raises `UnsupportedVersionError` for another format, other rules, another graph, and for what no release wrote;
    so whatever is read can be gone on from.
    """
    body, _, its_sum = data.rpartition(b"\n")
    if its_sum != _sum(body):
        message = f"{_WHAT} was cut or altered: its sum does not match"
        raise UnsupportedVersionError(message)
    fields = loads(body, _WHAT)
    try:
        if (rules := whole(fields, "rules", 1)) != graph.rules.version:
            message = f"{_WHAT} follows rules {rules}, and its graph rules {graph.rules.version}"
            raise UnsupportedVersionError(message)
        if (found := text(fields, "graph")) != graph.fingerprint:
            message = f"{_WHAT} is of graph {quoted(found)}, not of {graph!r} ({graph.fingerprint})"
            raise UnsupportedVersionError(message)
        return _read(fields, graph)
    except (*MALFORMED, InvariantError, zlib.error) as problem:
        raise malformed(_WHAT, problem) from problem


def _read(fields: Fields, graph: Graph) -> Snapshot:
    check_known(fields, _FIELDS)
    record = StateRecord(
        statuses=_unpacked(text(fields, "statuses"), len(graph)),
        flags=_read_flags(mapped(fields["flags"], "flags")),
        tries=_read_tries(fields["tries"]),
        due_ms=_read_due(fields["due_ms"]),
        sizes=_read_told(int, fields, "sizes"),
        branches=_read_told(str, fields, "branches"),
        bands=unique([_read_band(it) for it in listed(fields["bands"], "bands")], "bands"),
    )
    state = restore(graph, record)
    emitted = _read_emitted(fields["emitted"], state)
    return Snapshot(state, whole(fields, "position", 0), text(fields, "nonce"), emitted)


def _read_flags(it: Fields) -> Flags:
    check_known(it, _FLAGS, "flags")
    return Flags(
        round=whole(it, "round", 1),
        has_begun=flag(it, "has_begun"),
        is_cancelled=flag(it, "is_cancelled"),
        is_past_deadline=flag(it, "is_past_deadline"),
        is_failing_fast=flag(it, "is_failing_fast"),
        is_paused=flag(it, "is_paused"),
        is_work_over=flag(it, "is_work_over"),
        begun_ms=whole(it, "begun_ms"),
        skips=SparseMap[bool].of(dict.fromkeys(wholes(it, "skips"), True)),
    )


_FLAGS: Final = frozenset(attribute.name for attribute in attrs.fields(Flags))


def _packed(statuses: bytes) -> str:
    return base64.b64encode(zlib.compress(statuses, 1)).decode()


def _unpacked(packed: str, most: int) -> bytes:
    reader = zlib.decompressobj()
    statuses = reader.decompress(base64.b64decode(packed, validate=True), most + 1)
    if not reader.eof or reader.unused_data or len(statuses) > most:
        message = f"statuses are cut, or more than {most:,}"
        raise ValueError(message)
    return statuses


def _tries(tries: Mapping[int, Tries]) -> list[list[int]]:
    return [[at, it.number, it.failures, it.losses] for at, it in tries.items()]


def _read_tries(written: object) -> dict[int, Tries]:
    rows = [row(it, "tries", int, int, int, int) for it in listed(written, "tries")]
    return unique([(at, Tries(number, failures, losses)) for at, number, failures, losses in rows], "tries")


def _read_due(written: object) -> dict[int, int]:
    return unique([row(it, "due_ms", int, int) for it in listed(written, "due_ms")], "due_ms")


def _read_told(kind: type[_Told], fields: Fields, name: str) -> dict[int, tuple[_Told, ...]]:
    rows = [row(it, name, int, LIST) for it in listed(fields[name], name)]
    return unique([(node, all_of(kind, told, name)) for node, told in rows], name)


def _read_band(written: object) -> tuple[int, BandRecord]:
    node, statuses, tries, due_ms = row(written, "bands", int, str, LIST, LIST)
    return node, BandRecord(_unpacked(statuses, MAX_WIDTH), _read_tries(tries), _read_due(due_ms))


def _read_emitted(written: object, state: State) -> dict[Attempt, Emission]:
    emitted: dict[Attempt, Emission] = {}
    for it in listed(written, "emitted"):
        node, index, number, position, at_ms = row(it, "emitted", str, int, int, int, int)
        attempt = attempt_of(node, index, number)
        if not _is_in_flight(state, attempt):
            message = f"{attempt} was emitted, but is not in flight"
            raise ValueError(message)
        emitted[attempt] = Emission(position, at_ms)
    return emitted


def _is_in_flight(state: State, attempt: Attempt) -> bool:
    side, node = state.side, state.graph.numbers.get(attempt.node)
    if node is None:
        return False
    band = side.bands.get(node) if side.bands else None
    if band is not None:
        code = band.code(attempt.index) if attempt.index < band.width else 0
    else:
        code = 0 if attempt.index else code_at(state.pages, state.graph.page_bits, node)
    is_first = band is None and not side.tries
    return code == _SCHEDULED and attempt.number == (1 if is_first else tries_of(side, node, attempt.index).number)


_SCHEDULED: Final = int(Status.SCHEDULED)


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
