"""How the Redis journal names its keys, and how it writes what has no other form.

A workflow lives in one of 64 partitions, whose name is its keys' hash tag. Ids are hashed into keys, and lengths
prefixed where a text stands before another, so that no two can be taken for one another.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Final, Literal

from dyrygent_core import WorkflowState
from dyrygent_core.codec import decode_observation
from dyrygent_core.ports import Entry, LeaseView, Listed, Marks, Seen, StoredSnapshot, StoredWorkflow, WorkflowKey
from dyrygent_runtime.journals.writing import lease_of

__all__ = [
    "LISTED",
    "STORED",
    "Keys",
    "entries_of",
    "key_of",
    "lease_view",
    "leases_key",
    "listed_of",
    "marks_of",
    "member_of",
    "partition_keys",
    "stored_of",
    "tags_text",
]

_PARTITIONS: Final = 64


class Keys:
    """The names of one workflow's keys. Without an incarnation `entries` to `notes` mean nothing."""

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
        self.created = f"{tag}:created"
        self.closed = f"{tag}:closed"
        self.wake = f"{tag}:wake:{digest}"


def partition_keys(namespace: str, name: Literal["due", "created", "closed"]) -> tuple[str, ...]:
    """Return the keys of this name, of all partitions."""
    return tuple(f"{_partition(number, namespace)}:{name}" for number in range(_PARTITIONS))


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


STORED: Final = (
    "incarnation",
    "digest",
    "definition",
    "closed",
    "created",
    "snapshot_at",
    "snapshot_nonce",
    "snapshot",
)
"""The fields of a head that `stored_of` reads."""


def stored_of(workflow_id: str, head: Sequence[bytes | None]) -> StoredWorkflow | None:
    """Read a workflow from its head; None if there is none."""
    incarnation, digest, definition, closed, created, at, nonce, data = head
    if incarnation is None or digest is None or definition is None or created is None:
        return None
    snapshot = None
    if at is not None and nonce is not None and data is not None:
        snapshot = StoredSnapshot(Seen(int(at), nonce.decode()), data)
    key = WorkflowKey(workflow_id, incarnation.decode())
    return StoredWorkflow(key, digest.decode(), definition, closed is None, int(created), snapshot)


LISTED: Final = ("incarnation", "name", "tags", "created", "closed", "state")
"""The fields of a head that `listed_of` reads."""


def listed_of(workflow_id: str, head: Sequence[bytes | None]) -> Listed | None:
    """Read what a list says of a workflow from its head; None if there is none."""
    incarnation, name, tags, created, closed, state = head
    if incarnation is None or name is None or tags is None or created is None:
        return None
    return Listed(
        WorkflowKey(workflow_id, incarnation.decode()),
        name.decode(),
        tuple(json.loads(tags)),
        WorkflowState.RUNNING if state is None else WorkflowState(state.decode()),
        int(created),
        None if closed is None else int(closed),
    )


def tags_text(tags: Sequence[str]) -> str:
    """Write tags."""
    return json.dumps(tags)


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
