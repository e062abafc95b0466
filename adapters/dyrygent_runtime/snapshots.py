"""Snapshots of folds: what a process keeps beside the journal, so that others catch up from there.

A snapshot is a help and no truth (J6): whoever cannot use one folds the journal from its first entry, and comes to the
same. It is the core's snapshot of the state, and the log beside it, in versioned JSON, compressed.
Who keeps one, and when, is decided by position alone, so that processes need not agree: the turn that appended the
entry at a multiple of `interval` does.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from dyrygent_core import Definition, Failure
from dyrygent_core.codec import FORMAT, Snapshot, decode_snapshot, encode_snapshot
from dyrygent_core.codec.json_text import MALFORMED, dumps, loads, malformed
from dyrygent_core.errors import UnsupportedVersionError
from dyrygent_core.ports import Seen, StoredSnapshot, WorkflowKey
from dyrygent_core.sparse import SparseMap
from dyrygent_runtime.fold import Folded, Step
from dyrygent_runtime.log import Emission, End, Log, text_of

__all__ = ["interval", "is_due", "read_snapshot", "snapshot_of"]

_WHAT: Final = "this snapshot"
_MOST_BYTES: Final = 256 << 20
"""What a few bytes may unfold to: more than a million nodes with a million failures take."""
_SHARE: Final = 10
"""For each attempt in it a snapshot costs about a tenth of a turn, so it makes no turn twice as long on average."""


def interval(folded: Folded, entries: int) -> int:
    """Return at multiples of which position a snapshot is kept: `entries`, doubled until it is a tenth of the size."""
    size = len(folded.log.emitted) + len(folded.log.ends) + len(folded.definition.graph) // 100
    while entries * _SHARE < size:
        entries *= 2
    return entries


def is_due(folded: Folded, steps: list[Step], behind: int, entries: int) -> bool:
    """Tell whether a turn is to keep a snapshot.

    That is one whose own entry stands at a multiple of the interval; and one that had to fold twice as many to catch
    up, for then whoever should have kept one did not.
    """
    every = interval(folded, entries)
    return behind > 2 * every or any(step.entry.position % every == 0 for step in steps)


def snapshot_of(folded: Folded) -> StoredSnapshot:
    """Write a fold down. Cost: O(attempts in flight or failed), and about ten nanoseconds for each other node."""
    log, seen = folded.log, folded.seen
    state = Snapshot(folded.state, seen.position, seen.nonce)
    text = dumps(
        {
            "v": FORMAT,
            "state": encode_snapshot(state).decode(),
            "emitted": [[slot, at.position, at.at_ms, at.place] for slot, at in log.emitted.items()],
            "ends": [[slot, end.number, _failure(end.failure), int(end.is_silent)] for slot, end in log.ends.items()],
            "ending_ms": log.ending_ms,
            "skips_ms": list(log.skips_ms.items()),
        }
    )
    return StoredSnapshot(seen, zlib.compress(text.encode(), 1))


def read_snapshot(key: WorkflowKey, definition: Definition, stored: StoredSnapshot) -> Folded:
    """Read a fold of this workflow.

    Raises `UnsupportedVersionError` for what is of another format, of other rules or another graph, for what was cut or
    altered, and for what no release wrote.
    """
    fields = loads(_unfolded(stored.data), _WHAT)
    try:
        return _read(key, definition, stored.seen, fields)
    except MALFORMED as problem:
        raise malformed(_WHAT, problem) from problem


def _unfolded(data: bytes) -> bytes:
    unfolding = zlib.decompressobj()
    try:
        text = unfolding.decompress(data, _MOST_BYTES)
    except zlib.error as problem:
        message = f"{_WHAT} was cut or altered: {problem}"
        raise UnsupportedVersionError(message) from problem
    if not unfolding.eof:
        message = f"{_WHAT} was cut or altered: it does not end"
        raise UnsupportedVersionError(message)
    return text


def _read(key: WorkflowKey, definition: Definition, seen: Seen, fields: Mapping[str, Any]) -> Folded:
    graph = definition.graph
    snapshot = decode_snapshot(str(fields["state"]).encode(), graph)
    if Seen(snapshot.position, snapshot.nonce) != seen:
        message = f"{_WHAT} is of another entry than it is kept as"
        raise UnsupportedVersionError(message)
    emitted = {slot: Emission(position, at_ms, place) for slot, position, at_ms, place in fields["emitted"]}
    ends = {slot: End(number, _read_failure(failure), bool(silent)) for slot, number, failure, silent in fields["ends"]}
    log = Log(
        SparseMap[Emission].of(emitted),
        SparseMap[End].of(ends),
        sum(text_of(end.failure) for end in ends.values()),
        fields["ending_ms"],
        SparseMap[int].of(dict(fields["skips_ms"])),
    )
    return Folded(key, definition, snapshot.state, seen, log)


def _failure(failure: Failure | None) -> list[Any] | None:
    if failure is None:
        return None
    return [failure.type, failure.message, failure.module, None if failure.args is None else list(failure.args)]


def _read_failure(written: list[Any] | None) -> Failure | None:
    if written is None:
        return None
    kind, message, module, args = written
    return Failure(kind, message, module, None if args is None else tuple(args))
