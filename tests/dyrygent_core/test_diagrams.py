"""What pictures show, and that nothing in an id can be more than text."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from dyrygent_core import Attempt, Begin, Edge, Failed, Failure, Graph, Node, State, Succeeded, UsageError, advance
from dyrygent_core.diagrams import Charset, dot, mermaid, tree
from dyrygent_core.diagrams.palette import BY_URGENCY, PAINTS
from dyrygent_core.diagrams.texts import shortened, visible
from dyrygent_core.observations import Observation
from dyrygent_core.statuses import Status
from property_tests.drawn import Drawn, read_back, read_dot, read_mermaid

GRAPH: Final = Graph(
    [
        Node("load"),
        Node("rows", ["load"], each="load"),
        Node("audit", [Edge("rows", "done")], allow_failure=True),
        Node("join", ["audit", "rows"], trigger="one_success"),
        Node("unlock", role="finally"),
    ]
)
HISTORY: Final = (Begin(), Succeeded(Attempt("load"), sizes=(3,)), Succeeded(Attempt("rows", 1)))

MERMAID: Final = """\
flowchart LR
  n0["load<br/>SUCCEEDED"]:::succeeded
  n1[["rows<br/>mapped × 3<br/>SCHEDULED<br/>2 SCHEDULED, 1 SUCCEEDED"]]:::scheduled
  n2["audit<br/>failure allowed<br/>WAITING"]:::waiting
  n3["join<br/>one_success<br/>WAITING"]:::waiting
  subgraph workflow["whole workflow"]
    n4["unlock<br/>finally<br/>WAITING"]:::waiting
  end
  n0 -->|"each"| n1
  n1 -->|"done"| n2
  n2 --> n3
  n1 --> n3
  classDef waiting fill:#ffffff,stroke:#767676,color:#1a1a1a,stroke-dasharray:4 3
  classDef scheduled fill:#cde7ff,stroke:#0b5cad,color:#1a1a1a
  classDef succeeded fill:#cdeccf,stroke:#2b7a3d,color:#1a1a1a"""
DOT: Final = r"""digraph workflow {
  rankdir=LR
  node [shape="box", style="filled", fillcolor="#ffffff"]
  n0 [label="load"]
  n1 [label="rows\nmapped", peripheries="2"]
  n2 [label="audit\nfailure allowed"]
  n3 [label="join\none_success"]
  subgraph cluster_workflow {
    label="whole workflow"
    n4 [label="unlock\nfinally"]
  }
  n0 -> n1 [label="each"]
  n1 -> n2 [label="done"]
  n2 -> n3
  n1 -> n3
}"""
TREE: Final = """\
✓ SUCCEEDED load
↓ ▶ SCHEDULED rows (mapped × 3: 2 SCHEDULED, 1 SUCCEEDED)  → join
↓ · WAITING audit (failure allowed) [on done]
↓ · WAITING join (one_success)
whole workflow
└─ · WAITING unlock (finally)"""

HOSTILE: Final = (
    '"]; click n0 "javascript:alert(1)"',
    "a --> b",
    "end",
    "__proto__",
    '%%{init: {"securityLevel": "loose"}}%%',
    "<img src=x onerror=alert(1)>",
    "`md` **bold** _em_ [link](javascript:alert(1))",
    "$$x^2$$",
    "fa:fa-car",
    "style a:x#quot;",
    "ﬂ°°60¶ß",
    "#lt;b#gt; &lt;b&gt; &#60;b&#62;",
    "1. item",
    "- item",
    "www.example.com",
    "\\N \\G \\L",
    "a\\",
    '\\"',
    "line\nbreak\r\ttab",
    "\u202egnp.exe",
    "\x1b[31mred",
    "  spaces  ",
    "\\x20",
    "\U0001f3bb\u200d\U0001f469",
    "a\u3164b\u2800c\u034fd\ufe0fe\u115ff",
    "}",
    "n0",
)
FORMATS: Final = pytest.mark.parametrize(
    ("draw", "read"), [(mermaid, read_mermaid), (dot, read_dot)], ids=["mermaid", "dot"]
)

Draw = Callable[..., str]
Read = Callable[[str], Drawn]


def after(graph: Graph, observations: Iterable[Observation]) -> State:
    state, _ = advance(graph, State.initial(graph), observations)
    return state


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# What is shown


def test_mermaid_shows_statuses_conditions_rules_and_instances() -> None:
    """Boxes with their notes, arrows with what they ask, and those of the whole workflow apart."""
    assert mermaid(GRAPH, after(GRAPH, HISTORY)) == MERMAID


def test_dot_shows_the_same() -> None:
    """Without a state there is no colour, and no status."""
    assert dot(GRAPH) == DOT
    assert read_dot(dot(GRAPH, after(GRAPH, HISTORY))) == read_mermaid(MERMAID)


def test_a_tree_shows_the_same() -> None:
    """What follows alone is not indented; what follows further down is named."""
    assert tree(GRAPH, after(GRAPH, HISTORY)) == TREE


def test_a_tree_can_be_written_in_ascii() -> None:
    """Guides, symbols and ids: a terminal that has nothing else can show it."""
    graph = Graph([Node("café"), Node("a", ["café"]), Node("b", ["café"]), Node("c", ["a"]), Node("d", ["a", "b"])])

    assert tree(graph, after(graph, [Begin()]), charset=Charset.ASCII).split("\n") == [
        "> SCHEDULED caf\\xe9",
        "|- . WAITING a  -> d",
        "|  v . WAITING c",
        "`- . WAITING b",
        "   v . WAITING d",
    ]


def test_nothing_has_a_picture_too() -> None:
    """A graph without nodes is drawn as such."""
    assert mermaid(Graph([])) == "flowchart LR"
    assert read_dot(dot(Graph([]))).boxes == {}
    assert tree(Graph([])) == ""


@pytest.mark.parametrize("draw", [mermaid, dot, tree])
def test_no_failure_is_told(draw: Draw) -> None:
    """What a task said when it failed may hold its arguments."""
    graph = Graph([Node("a")])
    state = after(graph, [Begin(), Failed(Attempt("a"), Failure("ValueError", "password 1234"))])

    assert "1234" not in draw(graph, state)
    assert "FAILED" in draw(graph, state)


def test_every_status_can_be_read() -> None:
    """Text on its fill has a contrast of 7 to 1, and each status has its place in the order of urgency."""
    assert set(PAINTS) == set(BY_URGENCY) == set(Status)
    for paint in PAINTS.values():
        lighter, darker = sorted((_luminance(paint.fill), _luminance(paint.text)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 7


# Ids


@FORMATS
@pytest.mark.parametrize("name", HOSTILE)
def test_an_id_is_never_more_than_text(draw: Draw, read: Read, name: str) -> None:
    """Alone, and among others, it is one label, from which it can be read back."""
    graph = Graph([Node("first"), Node(name, ["first"]), Node("last", [name])])

    drawn = read(draw(graph))

    assert read_back(drawn.boxes[1][0]) == name
    assert len(drawn.boxes) == 3
    assert drawn.arrows == {(0, 1): "", (1, 2): ""}


@pytest.mark.parametrize("blank", "\u3164\u2800\u034f\ufe0f\u115f\u1160\uffa0\u17b4\u180b\U000e0101", ids=ascii)
def test_what_no_font_shows_is_written_out(blank: str) -> None:
    """Python calls it printable, and it would be invisible all the same."""
    assert visible(f"a{blank}b") == ascii(f"a{blank}b")[1:-1]
    assert visible(blank) != ""


@pytest.mark.parametrize("name", HOSTILE)
def test_an_id_never_breaks_a_line_of_a_tree(name: str) -> None:
    """Nothing in it reaches the terminal as more than a printable character."""
    (line,) = tree(Graph([Node(name)])).split("\n")

    assert line.isprintable()
    assert read_back(line) == name


def test_a_long_id_keeps_both_ends() -> None:
    """The middle gives way, and no escape is cut in two."""
    assert visible("x" * 100 + "end") == "x" * 40 + "…" + "x" * 16 + "end"
    assert visible("\n" * 255, 10) == "\\n\\n\\n…\\n"
    assert shortened("abcdefghij", 7) == "abcd…ij"
    assert visible("x" * 60) == "x" * 60


# Refusals


@pytest.mark.parametrize("draw", [mermaid, dot, tree])
def test_a_state_of_another_graph_is_refused(draw: Draw) -> None:
    """It would show statuses of nodes that happen to have the same number; an equal graph is as good."""
    with pytest.raises(UsageError, match="of another graph"):
        draw(Graph([Node("a")]), State.initial(Graph([Node("b")])))

    assert "a" in draw(Graph([Node("a")]), State.initial(Graph([Node("a")])))


@pytest.mark.parametrize(
    ("draw", "options", "said"),
    [
        (mermaid, {"max_nodes": 3}, "max_nodes must be at least 4"),
        (dot, {"max_nodes": 0}, "max_nodes must be at least 4"),
        (dot, {"max_nodes": "many"}, "max_nodes must be a whole number"),
        (tree, {"width": 19}, "width must be at least 20"),
        (tree, {"max_lines": 1}, "max_lines must be at least 2"),
        (tree, {"charset": "latin"}, "charset 'latin' is none of 'unicode', 'ascii'"),
    ],
)
def test_bounds_that_nothing_fits_are_refused(draw: Draw, options: dict[str, Any], said: str) -> None:
    """With what would be right."""
    with pytest.raises(UsageError, match=said):
        draw(GRAPH, **options)


@pytest.mark.parametrize("module", ["digraphs", "flowcharts", "texts", "trees"])
def test_the_examples_of_the_docstrings_are_true(module: str) -> None:
    """They are run."""
    done = doctest.testmod(importlib.import_module(f"dyrygent_core.diagrams.{module}"))

    assert (done.failed, done.attempted > 0) == (0, True)


def test_the_pictures_of_the_how_to_are_true() -> None:
    """Its code gives what it shows."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "draw-a-workflow.md").read_text(encoding="utf-8")
    code, flowchart, text = (
        re.findall(rf"^```{kind}\n(.+?)```$", page, re.MULTILINE | re.DOTALL)[0] for kind in _KINDS
    )

    assert run(code) == flowchart + text


_KINDS: Final = ("python", "mermaid", "text")


def _luminance(colour: str) -> float:
    """Measure how light a colour is, as WCAG 2.2 defines it."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
