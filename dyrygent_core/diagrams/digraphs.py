r"""A graph in DOT, the language of Graphviz, for large pictures and for other programs.

Foreign text stands in double quotes only. There a backslash is doubled, since it begins an escape (`\"`, and in
labels `\n`, `\l`, `\N` for the node's name, `\G` for the graph's), and `&` is written as `&amp;`, since Graphviz
reads HTML's entities in any label (https://graphviz.org/doc/info/lang.html, …/doc/info/attrs.html#k:escString).
Labels in angle brackets, which are HTML, and shapes whose labels have a syntax (`record`) are not used.
"""

from __future__ import annotations

from collections.abc import Iterable

from dyrygent_core.diagrams.palette import PAINTS
from dyrygent_core.diagrams.picture import MOST_DRAWN, Arrow, Box, picture
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Role
from dyrygent_core.state import State

__all__ = ["dot"]


def dot(graph: Graph, state: State | None = None, *, max_nodes: int = MOST_DRAWN) -> str:
    """Write a graph in DOT; given a state, with what has become of each node.

    It shows what `mermaid` shows, folds what that folds, and promises the same; with a larger `max_nodes` it is the
    one to use, since Graphviz has no limits of its own.

    Cost: O(nodes + edges), and no recursion. Raises `UsageError` for a `max_nodes` below 4, and for a state of
    another graph.

    >>> from dyrygent_core import Edge, Graph, Node
    >>> print(dot(Graph([Node("load"), Node("tell", [Edge("load", "failed")])])))
    digraph workflow {
      rankdir=LR
      node [shape="box", style="filled", fillcolor="#ffffff"]
      n0 [label="load"]
      n1 [label="tell"]
      n0 -> n1 [label="failed"]
    }
    """
    drawn = picture(graph, state, max_nodes)
    boxes = list(enumerate(drawn.boxes))
    apart = [f"  {_box(number, box)}" for number, box in boxes if box.role is not Role.NODE]
    return "\n".join(
        [
            "digraph workflow {",
            "  rankdir=LR",
            '  node [shape="box", style="filled", fillcolor="#ffffff"]',
            *(_box(number, box) for number, box in boxes if box.role is Role.NODE),
            *(["  subgraph cluster_workflow {", '    label="whole workflow"', *apart, "  }"] if apart else []),
            *(_arrow(arrow) for arrow in drawn.arrows),
            "}",
        ]
    )


def _box(number: int, box: Box) -> str:
    looks = {"label": _label(box.lines)}
    if box.is_mapped:
        looks["peripheries"] = "2"
    if box.size > 1:
        looks["shape"] = "box3d"
    if box.status is not None:
        paint = PAINTS[box.status]
        looks |= {"fillcolor": paint.fill, "color": paint.line, "fontcolor": paint.text}
        if paint.is_dashed:
            looks["style"] = "filled,dashed"
    return f"  n{number} {_attributes(looks)}"


def _arrow(arrow: Arrow) -> str:
    label = f" {_attributes({'label': _label([arrow.label])})}" if arrow.label else ""
    return f"  n{arrow.start} -> n{arrow.end}{label}"


def _attributes(looks: dict[str, str]) -> str:
    return "[" + ", ".join(f'{name}="{value}"' for name, value in looks.items()) + "]"


def _label(lines: Iterable[str]) -> str:
    return r"\n".join(line.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;") for line in lines)
