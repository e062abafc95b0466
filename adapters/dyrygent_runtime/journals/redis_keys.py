"""How the Redis journal names its keys, and how it writes what has no other form.

A workflow lives in one of 64 partitions, whose name is its keys' hash tag. Ids are hashed into keys, and lengths
prefixed where a text stands before another, so that no two can be taken for one another.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Final

from dyrygent_core.codec import decode_observation
from dyrygent_core.ports import Entry, LeaseView, Marks, WorkflowKey
from dyrygent_runtime.journals.writing import lease_of

__all__ = [
    "Keys",
    "due_keys",
    "entries_of",
    "key_of",
    "lease_view",
    "leases_key",
    "marks_of",
    "member_of",
]

_PARTITIONS: Final = 64


class Keys:
    """The names of one workflow's keys. Without an incarnation only `head` and `due` mean something."""

    def __init__(self, namespace: str, workflow_id: str, incarnation: str = "") -> None:
        name = workflow_id.encode()
        tag = _partition(zlib.crc32(name) % _PARTITIONS, namespace)
        digest = hashlib.sha256(name).hexdigest()
        own = f"{tag}:{digest}:{incarnation}"
        self.head = f"{tag}:{digest}:h"
        self.entries = f"{own}:e"
        self.calls = f"{own}:c"
        self.results = f"{own}:r"
        self.marks = f"{own}:m"
        self.notes = f"{own}:n"
        self.due = f"{tag}:due"
        self.wake = f"{tag}:wake:{digest}"


def due_keys(namespace: str) -> tuple[str, ...]:
    """Return the sorted sets of due times, of all partitions."""
    return tuple(f"{_partition(number, namespace)}:due" for number in range(_PARTITIONS))


def leases_key(namespace: str) -> str:
    """Return the hash of all leases."""
    return f"{{dy}}:{_sized(namespace)}:leases"


def _partition(number: int, namespace: str) -> str:
    return f"{{dy:{number}}}:{_sized(namespace)}"


def _sized(text: str) -> str:
    return f"{len(text)}:{text}"


# Members


def member_of(key: WorkflowKey) -> bytes:
    """Write a workflow as a member of a sorted set of due times."""
    return f"{_sized(key.incarnation)}{key.id}".encode()


def key_of(member: bytes) -> WorkflowKey:
    """Read what `member_of` wrote."""
    length, _, rest = member.decode().partition(":")
    return WorkflowKey(rest[int(length) :], rest[: int(length)])


# Values


def entries_of(lines: Sequence[bytes], first: int) -> tuple[Entry, ...]:
    """Read entries as the scripts write them; raises `UnsupportedVersionError`."""
    entries: list[Entry] = []
    for position, line in enumerate(lines, first):
        nonce, at_ms, text = json.loads(line)
        entries.append(Entry(position, nonce, decode_observation(text, int(at_ms))))
    return tuple(entries)


def marks_of(text: bytes) -> Marks:
    """Read marks as the scripts write them, 0 for a time that is not."""
    sent, sent_ms, started_ms, worker, boot = json.loads(text)
    return Marks(int(sent), int(sent_ms) or None, int(started_ms) or None, worker, boot)


def lease_view(name: bytes, text: bytes) -> LeaseView:
    """Read a lease as the scripts write it."""
    worker, boot = json.loads(name)
    written, renewed_ms, expires_ms, before = json.loads(text)
    return LeaseView(
        lease_of(worker, boot, written),
        int(renewed_ms),
        int(expires_ms),
        None if before is None else lease_of(worker, boot, before[0]),
        None if before is None else int(before[1]),
    )
