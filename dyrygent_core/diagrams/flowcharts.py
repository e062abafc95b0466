"""A graph as a Mermaid flowchart, for Markdown pages, issues and documentation.

Mermaid has no complete rule for quoting; its parser, its Markdown and the browser's HTML each take a turn at a label.
So in what is foreign, only letters, digits and a few signs stand for themselves. Every other ASCII character is
written as the code that Mermaid turns back last of all (`#35;`), which leaves nothing for the three to act on: no
quote, no `%%{…}%%`, no tag, link, list, emphasis, formula or icon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from dyrygent_core.diagrams.palette import PAINTS
from dyrygent_core.diagrams.picture import MOST_DRAWN, Arrow, Box, picture
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Role
from dyrygent_core.state import State
from dyrygent_core.statuses import Status

__all__ = ["mermaid"]


def mermaid(graph: Graph, state: State | None = None, *, max_nodes: int = MOST_DRAWN) -> str:
    """Write a graph as a Mermaid flowchart; given a state, with what has become of each node.

    Edges that do not ask for success have a label, unless the node at their end says its rule, and so have those that
    are mapped over (`each`). Nodes of the whole workflow stand apart. A graph of more than `max_nodes` nodes, or of
    more than five times as many edges, is folded: nodes that are alike are drawn as one, with their number. No
    argument and no result is shown, and no id can be more than text. The text is the same in every process.

    Cost: O(nodes + edges), and no recursion. Raises `UsageError` for a `max_nodes` below 4, and for a state of
    another graph.

    >>> from dyrygent_core import Edge, Graph, Node
    >>> print(mermaid(Graph([Node("load"), Node("tell", [Edge("load", "failed")])])))
    flowchart LR
      n0["load"]
      n1["tell"]
      n0 -->|"failed"| n1
    """
    drawn = picture(graph, state, max_nodes)
    boxes = list(enumerate(drawn.boxes))
    apart = [f"  {_box(number, box)}" for number, box in boxes if box.role is not Role.NODE]
    return "\n".join(
        [
            "flowchart LR",
            *(_box(number, box) for number, box in boxes if box.role is Role.NODE),
            *(['  subgraph workflow["whole workflow"]', *apart, "  end"] if apart else []),
            *(_arrow(arrow) for arrow in drawn.arrows),
            *_classes(box.status for box in drawn.boxes),
        ]
    )


def _box(number: int, box: Box) -> str:
    start, end = ("[[", "]]") if box.is_mapped else ("([", "])") if box.size > 1 else ("[", "]")
    label = "<br/>".join(map(_coded, box.lines))
    status = "" if box.status is None else f":::{box.status.name.lower()}"
    return f'  n{number}{start}"{label}"{end}{status}'


def _arrow(arrow: Arrow) -> str:
    label = f'|"{_coded(arrow.label)}"|' if arrow.label else ""
    return f"  n{arrow.start} -->{label} n{arrow.end}"


def _classes(statuses: Iterable[Status | None]) -> Iterator[str]:
    used = set(statuses)
    for status, paint in PAINTS.items():
        if status in used:
            dashes = ",stroke-dasharray:4 3" if paint.is_dashed else ""
            style = f"fill:{paint.fill},stroke:{paint.line},color:{paint.text}{dashes}"
            yield f"  classDef {status.name.lower()} {style}"


_CODED: Final = re.compile(
    r"(?<![0-9A-Za-z])[-._]|[-._](?![0-9A-Za-z])"  # between letters they begin no list and no emphasis
    r"|(?<=[Ww]{3})\."  # which begins a link, for readers of GitHub's Markdown
    r"|[!-+/:-@\[-^`{-~]"
    r"|[ﬂ°¶ß]"  # Mermaid's own marks for a code that it has read
)


def _coded(text: str) -> str:
    return _CODED.sub(lambda found: f"#{ord(found[0])};", text)
