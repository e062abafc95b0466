"""Which distributions are installed, and which of them requires which.

A requirement counts if its marker holds here and what it names is installed. Which extras somebody asked pip for is
written down nowhere, so an extra counts where another installed distribution asks for it, as `kombu[redis]` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from attrs import field, frozen
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["Distribution", "Environment", "find_environment"]


@frozen
class Distribution:
    """One installed distribution: its name in canonical form, and the folder that its metadata stands in."""

    name: str
    version: str
    folder: str
    requires: frozenset[str] = frozenset()
    """The installed distributions that it requires, by name; never itself."""


@frozen
class Environment:
    """What is installed, by name, and what about it is odd."""

    distributions: Mapping[str, Distribution]
    notices: tuple[str, ...] = ()


@frozen
class _Found:
    version: str
    folder: str
    requirements: tuple[Requirement, ...]


@frozen
class _Search:
    found: dict[str, _Found] = field(factory=dict[str, _Found])
    notices: list[str] = field(factory=list[str])


def find_environment(site: Path | None = None) -> Environment:
    """Look at one folder, or at all that this Python imports from; the first of two of one name counts, as there.

    Markers are evaluated for this Python and platform, whichever folder is looked at.
    """
    search = _Search()
    for one in metadata.distributions(path=[str(site)]) if site is not None else metadata.distributions():
        _note(search, one)
    requires = _requires(search)
    return Environment(
        {
            name: Distribution(name, one.version, one.folder, frozenset(requires[name]))
            for name, one in sorted(search.found.items())
        },
        tuple(search.notices),
    )


def _note(search: _Search, one: metadata.Distribution) -> None:
    folder = str(one.locate_file(""))
    given: str | None = one.metadata["Name"]
    if not given:
        search.notices.append(f"{folder} holds metadata without a name; what it belongs to is left out")
        return
    name = canonicalize_name(given)
    if name not in search.found:
        requirements = tuple(_parsed(search, name, one.requires or ()))
        search.found[name] = _Found(str(one.metadata["Version"] or "?"), folder, requirements)


def _parsed(search: _Search, name: str, requirements: list[str] | tuple[()]) -> Iterator[Requirement]:
    for text in requirements:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            search.notices.append(f"{name} has a requirement that nobody can read, which is left out: {text!r}")


def _requires(search: _Search) -> dict[str, set[str]]:
    """Follow the requirements, and the extras that they ask for, until nothing new is asked for."""
    edges: dict[str, set[str]] = {name: set() for name in search.found}
    asked = {(name, "") for name in search.found}
    todo = sorted(asked)
    while todo:
        name, extra = todo.pop()
        for requirement in search.found[name].requirements:
            required = canonicalize_name(requirement.name)
            if required not in search.found or not _holds(requirement, extra):
                continue
            if required != name:
                edges[name].add(required)
            new = {(required, other) for other in requirement.extras} - asked
            asked |= new
            todo += sorted(new)
    return edges


def _holds(requirement: Requirement, extra: str) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False
