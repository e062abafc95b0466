"""The tasks of both workflows: plain functions, by the names under which any engine runs them.

What they take and return is JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from records import check_record

__all__ = ["FUNCTIONS", "Verified"]

Verified: TypeAlias = dict[str, Any]
"""What `verify` returns: the component's own figures, and what it learned from those that it requires."""

_MOST_TOLD: Final = 50
"""Mismatches of one component that are named; all are counted."""


def verify(component: str, members: Sequence[Mapping[str, str]], required: Sequence[Verified]) -> Verified:
    """Check the files of a component's distributions, with the results of those that it requires at hand.

    `members`: for each distribution its name, version and folder.
    """
    checked = {member["name"]: check_record(member["name"], Path(member["folder"])) for member in members}
    mismatches = [[name, it.path, it.why] for name, one in checked.items() for it in one.mismatches]
    longest: list[str] = max((below["chain"] for below in required), key=len, default=[])
    return {
        "component": component,
        "distributions": len(checked),
        "files": sum(one.files for one in checked.values()),
        "bytes": sum(one.size_bytes for one in checked.values()),
        "unhashed": sum(one.unhashed for one in checked.values()),
        "without_record": [name for name, one in checked.items() if not one.has_record],
        "mismatches": mismatches[:_MOST_TOLD],
        "mismatch_count": len(mismatches),
        "chain": [*longest, component],
        "rests_on": sorted({name for below in required for name in _unsound(below)}),
    }


def _unsound(below: Verified) -> list[str]:
    """Name the components that do not match: those that `below` rests on, and itself."""
    return [*below["rests_on"], *([below["component"]] if below["mismatch_count"] else [])]


def total(results: Sequence[Verified]) -> dict[str, Any]:
    """Add up what was verified, and pick the longest chain of requirements."""
    return {
        "components": len(results),
        **{
            key: sum(it[key] for it in results)
            for key in ("distributions", "files", "bytes", "unhashed", "mismatch_count")
        },
        "without_record": sorted(name for it in results for name in it["without_record"]),
        "mismatches": [mismatch for it in results for mismatch in it["mismatches"]],
        "rests_on": {it["component"]: it["rests_on"] for it in results if it["rests_on"]},
        "chain": max((it["chain"] for it in results), key=len, default=[]),
    }


def replay(seconds: float) -> None:
    """Take as long as the node did that this one stands for."""
    if seconds:
        time.sleep(seconds)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "environment.verify": verify,
    "environment.total": total,
    "graph.replay": replay,
}
