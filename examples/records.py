"""Check the files of an installed distribution against the hashes in its RECORD.

The format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import csv
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from attrs import field, frozen

__all__ = ["Checked", "Mismatch", "check_record"]

_FIELDS: Final = 3
_STRONG: Final = frozenset({"sha256", "sha384", "sha512"})
"""The specification forbids md5 and sha1; these are what installers write."""


@frozen
class Mismatch:
    """A file that is not what RECORD says, and how it differs."""

    path: str
    why: str


@frozen
class Checked:
    """What became of one distribution's files."""

    files: int = 0
    """How many were hashed."""
    size_bytes: int = 0
    unhashed: int = 0
    """How many RECORD names without a hash: itself, and compiled files."""
    mismatches: tuple[Mismatch, ...] = ()
    has_record: bool = True


@frozen
class _Row:
    path: str
    hash: str
    size: str


@frozen
class _Tally:
    sizes: list[int] = field(factory=list[int])
    unhashed: list[str] = field(factory=list[str])
    mismatches: list[Mismatch] = field(factory=list[Mismatch])


def check_record(name: str, folder: Path) -> Checked:
    """Hash every file that the RECORD of the distribution `name`, whose metadata stands in `folder`, has a hash of."""
    found = next(iter(metadata.distributions(name=name, path=[str(folder)])), None)
    if found is None:
        return Checked(mismatches=(Mismatch(f"{name} in {folder}", "its metadata is gone"),))
    tally = _Tally()
    try:
        text = found.read_text("RECORD")
    except UnicodeDecodeError:
        return Checked(mismatches=(Mismatch("RECORD", "is no UTF-8 text"),))
    if text is None:
        return Checked(has_record=False)
    for row in _rows(text, tally):
        _check(row, folder, tally)
    return Checked(len(tally.sizes), sum(tally.sizes), len(tally.unhashed), tuple(tally.mismatches))


def _rows(text: str, tally: _Tally) -> Iterator[_Row]:
    reader = csv.reader(text.splitlines())
    try:
        for row in reader:
            if len(row) == _FIELDS and row[0]:
                yield _Row(*row)
            elif row:
                tally.mismatches.append(Mismatch("RECORD", f"line {reader.line_num} is not 'path,hash,size'"))
    except csv.Error as problem:
        tally.mismatches.append(Mismatch("RECORD", f"line {reader.line_num} cannot be read: {problem}"))


def _check(row: _Row, folder: Path, tally: _Tally) -> None:
    if not row.hash:
        tally.unhashed.append(row.path)
        return
    try:
        size, why = _compare(folder / row.path, row)
    except (OSError, ValueError) as problem:  # ValueError: a path with NUL
        size, why = None, f"cannot be read: {problem}"
    if size is not None:
        tally.sizes.append(size)
    if why:
        tally.mismatches.append(Mismatch(row.path, why))


def _compare(path: Path, row: _Row) -> tuple[int | None, str]:
    """Return the size of what was hashed, if anything was, and how it differs."""
    algorithm, _, expected = row.hash.partition("=")
    if algorithm not in _STRONG:
        return None, f"is recorded with {algorithm!r}, which proves nothing"
    if not path.exists():
        return None, "is missing"
    if not path.is_file():
        return None, "is no file"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).digest()
        size = file.tell()
    if row.size and row.size != str(size):
        return size, f"has {size} bytes, not {row.size}"
    if urlsafe_b64encode(digest).rstrip(b"=").decode() != expected.rstrip("="):
        return size, "has another content"
    return size, ""
