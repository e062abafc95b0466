"""How journals write an attempt and a lease: part of the stored format, so it is written here only."""

from __future__ import annotations

import json

from dyrygent_core import Attempt
from dyrygent_core.ports import Lease

__all__ = ["attempt_of", "field_of", "lease_of", "lease_text"]


def field_of(attempt: Attempt) -> bytes:
    """Write an attempt as a name. The id comes last, so nothing in it can be taken for a number."""
    return f"{attempt.index}.{attempt.number}.{attempt.node}".encode()


def attempt_of(name: bytes) -> Attempt:
    """Read what `field_of` wrote."""
    index, number, node = name.decode().split(".", 2)
    return Attempt(node, int(index), int(number))


def lease_text(lease: Lease) -> str:
    """Write what a lease names, but not whose it is."""
    return json.dumps([sorted(lease.active), sorted(lease.reserved)])


def lease_of(worker: str, boot: str, text: str) -> Lease:
    """Read what `lease_text` wrote of this worker's lease."""
    active: list[str]
    reserved: list[str]
    active, reserved = json.loads(text)
    return Lease(worker, boot, frozenset(active), frozenset(reserved))
