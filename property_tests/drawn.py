"""Read pictures back, strictly: a line that is not of the few forms that a picture has is an error.

Each reader gives what the format's own parser would see, with all quoting undone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from dyrygent_core import Graph

_CODED: Final = re.compile(r"#([0-9]+);")
_LABEL: Final = r"(?:[0-9A-Za-z ,._-]|#[0-9]+;|<br/>|[^\x00-\x7fﬂ°¶ß])+"
_MERMAID: Final = {
    "box": re.compile(rf' +n([0-9]+)(?:\["({_LABEL})"\]|\[\["({_LABEL})"\]\]|\(\["({_LABEL})"\]\))(?::::([a-z_]+))?'),
    "arrow": re.compile(rf'  n([0-9]+) -->(?:\|"({_LABEL})"\|)? n([0-9]+)'),
    "start": re.compile(r'  subgraph workflow\["whole workflow"\]'),
    "end": re.compile(r"  end"),
    "class": re.compile(
        r"  classDef ([a-z_]+) fill:#[0-9a-f]{6},stroke:#[0-9a-f]{6},color:#[0-9a-f]{6}(?:,stroke-dasharray:4 3)?"
    ),
}
_HAZARDS: Final = re.compile(r"^[-+*>=|~ ]|^#+ |^[0-9]+[.)] |(?:^|[^0-9A-Za-z])[-_.]|[-_.](?:[^0-9A-Za-z]|$)|[Ww]{3}\.")
"""What Markdown makes of a line of a label: a list, a quotation, a heading, emphasis, a link."""

_TEXT: Final = r'"((?:[^"\\&]|\\[\\"n]|&amp;)*)"'
_ATTRIBUTE: Final = re.compile(rf"([a-z]+)={_TEXT}")
_ATTRIBUTES: Final = rf"\[([a-z]+={_TEXT}(?:, [a-z]+={_TEXT})*)\]"
_DOT: Final = {
    "looks": re.compile(r'  rankdir=LR|  node \[shape="box", style="filled", fillcolor="#ffffff"\]'),
    "box": re.compile(rf" +n([0-9]+) {_ATTRIBUTES}"),
    "arrow": re.compile(rf"  n([0-9]+) -> n([0-9]+)(?: {_ATTRIBUTES})?"),
    "start": re.compile(r"  subgraph cluster_workflow \{"),
    "title": re.compile(r'    label="whole workflow"'),
    "end": re.compile(r"  \}"),
}
_UNDONE: Final = {"\\\\": "\\", '\\"': '"', "&amp;": "&"}


@frozen
class Drawn:
    """What is in a picture."""

    boxes: dict[int, tuple[str, ...]]
    """The lines of each box by its number."""
    arrows: dict[tuple[int, int], str]
    """The label of each arrow, or nothing."""
    apart: frozenset[int]
    """The boxes that are in the frame."""

    @property
    def sizes(self) -> list[int]:
        """How many nodes are in each box."""
        found = (re.fullmatch(r"× ([0-9,]+)", line) for lines in self.boxes.values() for line in lines[1:])
        folded = [int(size[1].replace(",", "")) for size in found if size]
        return folded + [1] * (len(self.boxes) - len(folded))


def read_mermaid(text: str) -> Drawn:
    """Read a flowchart of ours."""
    head, *lines = text.split("\n")
    assert head == "flowchart LR"
    boxes: dict[int, tuple[str, ...]] = {}
    arrows: dict[tuple[int, int], str] = {}
    apart: set[int] = set()
    used: set[str] = set()
    defined: set[str] = set()
    is_apart = False
    for kind, found in _matched(lines, _MERMAID):
        if kind == "box":
            label = next(filter(None, found.groups()[1:4]))
            written = label.split("<br/>")
            assert [line for line in written if _HAZARDS.search(line)] == []
            _put(boxes, int(found[1]), tuple(_CODED.sub(lambda code: chr(int(code[1])), line) for line in written))
            used.update(filter(None, [found[5]]))
            apart.update([int(found[1])] if is_apart else [])
        elif kind == "arrow":
            _put(arrows, (int(found[1]), int(found[3])), _CODED.sub(lambda code: chr(int(code[1])), found[2] or ""))
        elif kind == "class":
            defined.add(found[1])
        else:
            is_apart = kind == "start"
    assert used == defined
    return _checked(Drawn(boxes, arrows, frozenset(apart)))


def read_dot(text: str) -> Drawn:
    """Read a digraph of ours."""
    head, *lines, tail = text.split("\n")
    assert (head, tail) == ("digraph workflow {", "}")
    boxes: dict[int, tuple[str, ...]] = {}
    arrows: dict[tuple[int, int], str] = {}
    apart: set[int] = set()
    is_apart = False
    for kind, found in _matched(lines, _DOT):
        if kind == "box":
            _put(boxes, int(found[1]), _dot_lines(dict(_ATTRIBUTE.findall(found[2]))["label"]))
            apart.update([int(found[1])] if is_apart else [])
        elif kind == "arrow":
            label = dict(_ATTRIBUTE.findall(found[3]))["label"] if found[3] else ""
            _put(arrows, (int(found[1]), int(found[2])), label)
        elif kind in {"start", "end"}:
            is_apart = kind == "start"
    return _checked(Drawn(boxes, arrows, frozenset(apart)))


def read_back(shown: str) -> str:
    """Undo what makes the invisible visible."""
    return shown.encode("ascii", "backslashreplace").decode("unicode_escape")


def is_acyclic(drawn: Drawn) -> bool:
    """Tell whether no way along the arrows leads back."""
    after: dict[int, list[int]] = {box: [] for box in drawn.boxes}
    left = dict.fromkeys(drawn.boxes, 0)
    for start, end in drawn.arrows:
        after[start].append(end)
        left[end] += 1
    free = [box for box, count in left.items() if not count]
    for box in free:
        for end in after[box]:
            left[end] -= 1
            if not left[end]:
                free.append(end)
    return len(free) == len(drawn.boxes)


def edges_of(graph: Graph) -> set[tuple[int, int]]:
    """Give the edges of a graph by number."""
    return {(start, end) for start, ends in enumerate(graph.successors) for end in ends}


def _matched(lines: Iterable[str], forms: dict[str, re.Pattern[str]]) -> Iterator[tuple[str, re.Match[str]]]:
    for line in lines:
        assert line.isprintable(), ascii(line)
        found = [(kind, match) for kind, form in forms.items() if (match := form.fullmatch(line))]
        assert len(found) == 1, line
        yield found[0]


def _put(known: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    assert key not in known
    known[key] = value


def _dot_lines(label: str) -> tuple[str, ...]:
    pieces = re.findall(r"\\.|&amp;|[^\\&]", label)
    return tuple("".join("\n" if piece == "\\n" else _UNDONE.get(piece, piece) for piece in pieces).split("\n"))


def _checked(drawn: Drawn) -> Drawn:
    assert sorted(drawn.boxes) == list(range(len(drawn.boxes)))
    assert {box for arrow in drawn.arrows for box in arrow} <= set(drawn.boxes)
    return drawn
