"""A graph as a tree of text, for terminals and logs.

A graph is no tree, so each node stands once: below the last of those that it waits for. Hence whatever a node waits
for is above it. Behind the others that it waits for, an arrow says that it follows further down.
Where only one node follows, it stands under its predecessor without indentation, so a long chain costs no width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from attrs import frozen

from dyrygent_core.checks import check_whole
from dyrygent_core.diagrams.picture import EACH, Arrow, Picture, alike, by_urgency, tally
from dyrygent_core.diagrams.texts import shortened
from dyrygent_core.errors import UsageError
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Role
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["Charset", "tree"]


class Charset(Enum):
    """Which characters a tree is written in."""

    UNICODE = "unicode"
    ASCII = "ascii"
    """For terminals and logs that have no other; what else an id holds is written as in Python source."""


def tree(
    graph: Graph,
    state: State | None = None,
    *,
    width: int = 120,
    max_lines: int = 200,
    charset: Charset | str = Charset.UNICODE,
) -> str:
    """Write a graph as an indented tree; given a state, with what has become of each node.

    Every node stands once, below all that it waits for. `→ x` says that `x` waits for this node too, and stands
    further down; `[on failed]` is what a node asks of the one that it stands under, or of the one with the arrow.
    Nodes of the whole workflow come last. A graph of more than `max_lines` nodes is folded as by `mermaid`, but never
    across statuses; what is still too long ends in "… and 99,900 more". Lines are cut at `width` characters (which
    are not columns: some take two). No argument and no result is shown.

    Cost: O(nodes + edges), and no recursion. Raises `UsageError` for a `width` below 20, for `max_lines` below 2,
    for an unknown `charset`, and for a state of another graph.

    >>> from dyrygent_core import Graph, Node
    >>> print(tree(Graph([Node("load"), Node("a", ["load"]), Node("b", ["load"]), Node("join", ["a", "b"])])))
    load
    ├─ a  → join
    └─ b
       ↓ join
    """
    check_whole("width", width, _LEAST_WIDTH)
    check_whole("max_lines", max_lines, _LEAST_LINES)
    written = _charset(charset)
    boxes = alike(graph, state, max_lines)
    steps = [*_walk(boxes, width // 2), *_apart(boxes)]
    shown = steps if len(steps) <= max_lines else steps[: max_lines - 1]
    lines = [_line(boxes, step) for step in shown]
    if len(shown) < len(steps):
        lines.append(_rest(boxes, steps[len(shown) :]))
    return "\n".join(_cut(_in_charset(line, written), width, written) for line in lines)


_LEAST_WIDTH: Final = 20
_LEAST_LINES: Final = 2
_MOST_FOLLOWING: Final = 3
_MOST_NAMED: Final = 32
"""Characters of a name that is only referred to."""

_SYMBOLS: Final[Mapping[Status, str]] = {
    Status.WAITING: "·",
    Status.READY: "○",
    Status.SCHEDULED: "▶",
    Status.SUCCEEDED: "✓",
    Status.FAILED: "✗",
    Status.UPSTREAM_FAILED: "⊘",
    Status.CANCELLED: "■",
    Status.SKIPPED: "»",
}
_IN_ASCII: Final = str.maketrans(
    {"·": ".", "○": "o", "▶": ">", "✓": "+", "✗": "x", "⊘": "/", "■": "#", "»": "-"}
    | {"├": "|", "└": "`", "│": "|", "─": "-", "↓": "v", "→": "->", "…": "...", "×": "x"}
)


@frozen
class Step:
    """One line of a tree."""

    indent: str
    box: int | None
    """None for the line above the nodes of the whole workflow."""
    asked: str = ""
    """What the box asks of the one that it stands under."""
    following: tuple[Arrow, ...] = ()
    """The first arrows to what stands further down, and not under this box."""
    others: int = 0
    """How many more of those there are."""


def _charset(value: Charset | str) -> Charset:
    try:
        return Charset(value)
    except ValueError:
        message = f"charset {value!r} is none of {', '.join(repr(each.value) for each in Charset)}"
        raise UsageError(message) from None


def _walk(drawn: Picture, most_indented: int) -> Iterator[Step]:
    """Go down from each root, to whatever has nothing left to wait for."""
    after: list[list[Arrow]] = [[] for _ in drawn.boxes]
    left = [0] * len(drawn.boxes)
    for arrow in drawn.arrows:
        after[arrow.start].append(arrow)
        left[arrow.end] += 1
    roots = [at for at, box in enumerate(drawn.boxes) if not left[at] and box.role is Role.NODE]
    stack = [(root, "", "", "") for root in reversed(roots)]
    while stack:
        at, indent, inside, asked = stack.pop()
        below: list[Arrow] = []
        following: list[Arrow] = []
        for arrow in after[at]:
            left[arrow.end] -= 1
            (following if left[arrow.end] else below).append(arrow)
        yield Step(indent, at, asked, tuple(following[:_MOST_FOLLOWING]), len(following[_MOST_FOLLOWING:]))
        inside = inside if len(inside) <= most_indented else "…  " + inside[6:]
        for arrow in reversed(below):
            is_last = arrow is below[-1]
            bend, under = ("↓ ", "") if len(below) == 1 else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            stack.append((arrow.end, inside + bend, inside + under, arrow.label))


def _apart(drawn: Picture) -> Iterator[Step]:
    apart = [at for at, box in enumerate(drawn.boxes) if box.role is not Role.NODE]
    if apart:
        yield Step("", None)
    for at in apart:
        yield Step("└─ " if at == apart[-1] else "├─ ", at)


def _line(drawn: Picture, step: Step) -> str:
    if step.box is None:
        return "whole workflow"
    box = drawn.boxes[step.box]
    status = "" if box.status is None else f"{_SYMBOLS[box.status]} {box.status.name} "
    size = f" × {box.size:,}" if box.size > 1 else ""
    instances = f": {tally(box.instances)}" if box.instances else ""
    notes = f" ({', '.join(box.notes)}{instances})" if box.notes else ""
    return f"{step.indent}{status}{box.name}{size}{notes}{_condition(step.asked)}{_following(drawn, step)}"


def _condition(label: str) -> str:
    return f" [on {label}]" if label and label != EACH else ""


def _following(drawn: Picture, step: Step) -> str:
    if not step.following:
        return ""
    named = ", ".join(
        f"{shortened(drawn.boxes[arrow.end].name, _MOST_NAMED)}{_condition(arrow.label)}" for arrow in step.following
    )
    return f"  → {named} and {step.others:,} more" if step.others else f"  → {named}"


def _rest(drawn: Picture, steps: Sequence[Step]) -> str:
    boxes = [drawn.boxes[step.box] for step in steps if step.box is not None]
    found = Counter[Status]()
    for box in boxes:
        found.update(dict(box.counts))
    counts = tally(by_urgency(found))
    return f"… and {sum(box.size for box in boxes):,} more{f': {counts}' if counts else ''}"


def _in_charset(line: str, charset: Charset) -> str:
    if charset is Charset.UNICODE:
        return line
    return line.translate(_IN_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def _cut(text: str, most: int, charset: Charset) -> str:
    end = "…" if charset is Charset.UNICODE else "..."
    return text if len(text) <= most else text[: most - len(end)] + end
