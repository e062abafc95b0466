"""The words in which values from outside are refused."""

from __future__ import annotations

import sys

import pytest

from dyrygent_core import Graph, LimitError, Node, UsageError
from dyrygent_core.checks import items_of, shown


class Mute:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


def nest(depth: int) -> list[object]:
    """Give lists within lists."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("line\nbreak", r"'line\nbreak'"),
        ("x" * 1_000, "'" + "x" * 78 + "…"),
        (10**5_000, "an int that cannot be shown"),
        (Mute(), "a Mute that cannot be shown"),
    ],
    ids=["text", "lines", "long", "digits", "mute"],
)
def test_foreign_values_are_shown_safely(value: object, text: str) -> None:
    """On one line, cut to a readable length; a value that fails to show itself is named by its type."""
    assert shown(value) == text


def test_a_deep_value_is_refused_like_any_other() -> None:
    """Showing it must not end in a RecursionError."""
    with pytest.raises(UsageError, match="an id must be a str, not list: a list that cannot be shown"):
        Node(nest(2 * sys.getrecursionlimit()))  # type: ignore[arg-type]


def test_a_limit_is_checked_before_anything_is_copied() -> None:
    """Of a sequence whose length is known nothing is read; of another no more than the limit and one."""

    class Endless:
        """As long as it says, and not to be read."""

        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> None:
            raise AssertionError

    read: list[int] = []
    endless = (read.append(number) or number for number in iter(int, 1))

    with pytest.raises(LimitError, match="a path has at most 3 keys, this one 1,000,000,000"):
        items_of("a path", Endless(), "keys", 3)
    with pytest.raises(LimitError, match="a path has at most 3 keys, this one more"):
        items_of("a path", endless, "keys", 3)
    assert len(read) == 4


@pytest.mark.parametrize("nodes", [Node("a"), "ab", None, {"a": Node("a")}, [Node("a"), "b"]])
def test_a_graph_is_made_of_nodes(nodes: object) -> None:
    """Anything else is refused, with what to write."""
    with pytest.raises(UsageError, match=r"a graph (is made of|must be) "):
        Graph(nodes)  # type: ignore[arg-type]
