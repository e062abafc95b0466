"""Large graphs: what is drawn as one, and that pictures stay small and cheap, and the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from dyrygent_core import Attempt, Begin, Edge, Failed, Graph, Node, Succeeded
from dyrygent_core.diagrams import mermaid, tree
from property_tests.drawn import Drawn, read_mermaid
from tests.dyrygent_core.test_diagrams import FORMATS, after, run

OR_RULES: Final = ("one_success", "one_failed", "none_failed_min_one_success")

Draw = Callable[..., str]
Read = Callable[[str], Drawn]


def fan(width: int) -> Graph:
    """Make `load`, then `width` times `clean` and `check` side by side, then `join`."""
    stages = [
        node for at in range(width) for node in (Node(f"clean.{at}", ["load"]), Node(f"check.{at}", [f"clean.{at}"]))
    ]
    return Graph([Node("load"), *stages, Node("join", [f"check.{at}" for at in range(width)])])


def chain(length: int) -> Graph:
    return Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(length))


@FORMATS
def test_nodes_that_are_alike_are_drawn_as_one(draw: Draw, read: Read) -> None:
    """Same kind, same place, same status; with how many they are."""
    graph = fan(1_000)

    drawn = read(draw(graph))

    assert list(drawn.boxes.values()) == [
        ("load",),
        ("clean.0 … clean.999", "× 1,000"),
        ("check.0 … check.999", "× 1,000"),
        ("join",),
    ]
    assert set(drawn.arrows) == {(0, 1), (1, 2), (2, 3)}


@FORMATS
def test_a_failure_stands_out_of_a_thousand(draw: Draw, read: Read) -> None:
    """Nodes of different statuses are not drawn as one, while there is room."""
    graph = fan(1_000)
    outcomes = [Succeeded(Attempt(f"clean.{at}")) for at in range(1_000) if at != 7]
    state = after(graph, [Begin(), Succeeded(Attempt("load")), *outcomes, Failed(Attempt("clean.7"))])

    drawn = read(draw(graph, state))

    assert list(drawn.boxes.values()) == [
        ("load", "SUCCEEDED"),
        ("clean.0 … clean.999", "× 999", "SUCCEEDED"),
        ("clean.7", "FAILED"),
        ("check.0 … check.999", "× 999", "SCHEDULED"),
        ("check.7", "UPSTREAM_FAILED"),
        ("join", "UPSTREAM_FAILED"),
    ]


def test_a_long_chain_is_drawn_by_how_far_it_is() -> None:
    """What stands in a row, with one status, is one."""
    graph = chain(1_000)
    state = after(graph, [Begin(), *(Succeeded(Attempt(f"n{at}")) for at in range(400))])

    assert list(read_mermaid(mermaid(graph, state)).boxes.values()) == [
        ("n0 → … → n399", "× 400", "SUCCEEDED"),
        ("n400", "SCHEDULED"),
        ("n401 → … → n999", "× 599", "WAITING"),
    ]
    assert tree(graph, state).split("\n") == [
        "✓ SUCCEEDED n0 → … → n399 × 400",
        "↓ ▶ SCHEDULED n400",
        "↓ · WAITING n401 → … → n999 × 599",
    ]


@FORMATS
def test_what_cannot_be_told_apart_in_time_is_counted(draw: Draw, read: Read) -> None:
    """In bands of successive depths there may be several statuses: their numbers are told, the most urgent first."""
    nodes = [
        Node(f"{at}.{lane}", [f"{at - 1}.{lane}", f"{at - 1}.{(lane + 1) % 3}"] if at else [])
        for at in range(60)
        for lane in range(3)
    ]
    graph = Graph(nodes)
    state = after(graph, [Begin(), Succeeded(Attempt("0.0")), Failed(Attempt("0.2"))])

    drawn = read(draw(graph, state, max_nodes=4))

    assert drawn.boxes == {
        0: ("0.0 → … → 14.2", "× 45", "1 FAILED, 41 UPSTREAM_FAILED, 1 SCHEDULED, 1 WAITING, 1 SUCCEEDED"),
        1: ("15.0 → … → 29.2", "× 45", "UPSTREAM_FAILED"),
        2: ("30.0 → … → 44.2", "× 45", "UPSTREAM_FAILED"),
        3: ("45.0 → … → 59.2", "× 45", "UPSTREAM_FAILED"),
    }
    assert set(drawn.arrows) == {(0, 1), (1, 2), (2, 3)}


@FORMATS
def test_a_folded_picture_leaves_out_what_others_imply(draw: Draw, read: Read) -> None:
    """A shorter way beside a longer one is dropped if it asks for success only; one that asks for more stays."""
    lanes = [
        node
        for at in range(60)
        for node in (
            Node(f"a{at}"),
            Node(f"b{at}", [f"a{at}"]),
            Node(f"c{at}", [f"b{at}", f"a{at}"]),
            Node(f"d{at}", [f"c{at}", Edge(f"a{at}", "done")]),
        )
    ]

    drawn = read(draw(Graph(lanes)))

    assert [lines[0] for lines in drawn.boxes.values()] == ["a0 … a59", "b0 … b59", "c0 … c59", "d0 … d59"]
    assert drawn.arrows == {(0, 1): "", (1, 2): "", (2, 3): "", (0, 3): "done"}


@FORMATS
def test_rules_that_differ_are_told_by_the_arrow(draw: Draw, read: Read) -> None:
    """A box whose nodes look at all their edges in different ways says none of them, so the arrows to it say all."""
    joins = [Node(f"c{at}", ["a", "b"], trigger=OR_RULES[at % 3], allow_failure=at % 2 == 1) for at in range(6)]

    drawn = read(draw(Graph([Node("a"), Node("b"), *joins]), max_nodes=4))

    assert list(drawn.boxes.values()) == [("a … b", "× 2"), ("c0 … c5", "× 6")]
    assert drawn.arrows == {(0, 1): "one_success, one_failed, none_failed_min_one_success"}


@FORMATS
@pytest.mark.parametrize("rule", OR_RULES)
def test_a_rule_that_looks_at_all_edges_keeps_all_of_them(draw: Draw, read: Read, rule: str) -> None:
    """An arrow to such a node asks for more than success, so no longer way stands for it."""
    lanes = [
        node
        for at in range(60)
        for node in (Node(f"a{at}"), Node(f"b{at}", [f"a{at}"]), Node(f"c{at}", [f"b{at}", f"a{at}"], trigger=rule))
    ]

    drawn = read(draw(Graph(lanes)))

    assert [lines[:2] for lines in drawn.boxes.values()] == [
        ("a0 … a59", "× 60"),
        ("b0 … b59", "× 60"),
        ("c0 … c59", rule),
    ]
    assert drawn.arrows == {(0, 1): "", (1, 2): "", (0, 2): ""}


def test_edges_count_too() -> None:
    """A picture of few nodes and many edges is folded as well."""
    above = [f"a{at}" for at in range(30)]
    graph = Graph([*map(Node, above), *(Node(f"b{at}", above) for at in range(30))])

    assert read_mermaid(mermaid(graph)).sizes == [30, 30]
    assert len(read_mermaid(mermaid(graph, max_nodes=180)).boxes) == 60


def test_nodes_of_the_whole_workflow_stay_apart_when_folded() -> None:
    """Even in the smallest picture, each role has its box."""
    roles = ("finally", "on_error", "on_success")
    graph = Graph([*chain(50).nodes, *(Node(f"{role} {at:x}", role=role) for role in roles for at in range(50))])

    drawn = read_mermaid(mermaid(graph, max_nodes=4))

    assert drawn.sizes == [50, 50, 50, 50]
    assert drawn.apart == {1, 2, 3}
    assert [drawn.boxes[at][1] for at in (1, 2, 3)] == list(roles)


def test_a_tree_tells_what_it_has_no_line_for() -> None:
    """The last line counts the rest: nodes, not lines."""
    layers = [[f"{at}.{place}" for place in range(2 + at % 2)] for at in range(60)]
    graph = Graph(Node(name, layers[at - 1] if at else []) for at, layer in enumerate(layers) for name in layer)

    assert tree(graph, max_lines=4).split("\n") == [
        "0.0 … 0.1 × 2",
        "↓ 1.0 … 1.2 × 3",
        "↓ 2.0 … 2.1 × 2",
        "… and 143 more",
    ]


def test_a_tree_tells_the_statuses_of_the_rest() -> None:
    """A failure that has no line is told all the same."""
    graph = Graph([Node("a"), Node("b", allow_failure=True), Node("c", ["b"]), Node("d", ["a"]), Node("e", ["c", "d"])])
    state = after(graph, [Begin(), Succeeded(Attempt("a")), Failed(Attempt("b"))])

    assert tree(graph, state, max_lines=2).split("\n") == [
        "✓ SUCCEEDED a  → d … c",
        "… and 4 more: 1 FAILED, 2 SCHEDULED, 1 WAITING",
    ]


def test_a_tree_is_cut_at_its_width() -> None:
    """In either set of characters."""
    graph = Graph([Node("a" * 50), Node("b", ["a" * 50])])

    assert tree(graph, width=20) == f"{'a' * 19}…\n↓ b"
    assert tree(graph, width=20, charset="ascii") == f"{'a' * 17}...\nv b"


def test_deep_branches_do_not_run_out_of_the_tree() -> None:
    """Beyond half of the width, the outer guides give way."""
    spine = [Node("s0"), *(Node(f"s{at}", [f"s{at - 1}"]) for at in range(1, 80))]
    leaves = [Node(f"leaf{at}", [f"s{at}"]) for at in range(79)]

    lines = tree(Graph([*spine, *leaves]), width=60).split("\n")

    assert len(lines) == 159
    assert max(map(len, lines)) < 60
    assert sum("leaf" in line for line in lines) == 79


LARGE: Final = """
import sys
from dyrygent_core import *
from dyrygent_core.diagrams import dot, mermaid, tree
from random import Random
SIZE = 100_000
names = [f"n{at}" for at in range(SIZE)]
chance = Random(7)
def random_graph():
    return Graph(Node(name, {names[chance.randrange(at)] for _ in range(2)} if at else []) for at, name in
        enumerate(names[: SIZE // 5]))
def chain():
    return Graph(Node(name, names[at - 1 : at] if at else []) for at, name in enumerate(names))
def star():
    return Graph([*map(Node, names), Node("join", names), *(Node(f"leaf {name}", ["join"]) for name in names)])
def bipartite():
    above = names[:1000]
    return Graph([*map(Node, above), *(Node(f"b{at}", above) for at in range(1000))])
def diamonds():
    nodes = [Node("j0")]
    for at in range(SIZE // 6):
        nodes += [Node(f"a{at}", [f"j{at}"]), Node(f"b{at}", [f"j{at}"]), Node(f"j{at + 1}", [f"a{at}", f"b{at}"])]
    return Graph(nodes)

graph = MADE()
state, emitted = advance(graph, State.initial(graph), [Begin()])
state, emitted = advance(graph, state, [Succeeded(attempt) for attempt in emitted])
sys.setrecursionlimit(200)
for draw, arrow, shown in ((mermaid, "-->", state), (dot, "->", None)):
    text = draw(graph, shown)
    assert text.count(arrow) <= 500, text.count(arrow)
    assert sum(line.lstrip().startswith("n") and arrow not in line for line in text.split("\\n")) <= 101
    assert len(text) < 50_000, len(text)
text = tree(graph, state)
assert text.count("\\n") < 200
assert len(text) < 200 * 121
"""


@pytest.mark.parametrize("made", ["chain", "star", "bipartite", "diamonds", "random_graph"])
def test_size_is_no_obstacle(made: str) -> None:
    """Whatever the graph, pictures stay within their bounds, with no more stack than 200 calls."""
    run(LARGE.replace("MADE", made))


def test_a_picture_is_the_same_in_every_process() -> None:
    """The order of sets and of hashes has no part in it."""
    script = """
from random import Random
from dyrygent_core import *
from dyrygent_core.diagrams import dot, mermaid, tree
chance = Random(3)
graph = Graph(Node(f"x{at}", {f"x{chance.randrange(at)}" for _ in range(3)} if at else [],
    trigger=chance.choice(["all_success", "none_failed"]), allow_failure=chance.random() < 0.1) for at in range(400))
ids = [node.id for node in graph.nodes]
graph = Graph(Node(node.id, sorted(node.depends_on, key=lambda edge: edge.node), trigger=node.trigger) for node in
    sorted(graph.nodes, key=lambda node: node.id))
print(mermaid(graph, max_nodes=30), dot(graph), tree(graph))
"""

    assert len({run(script, PYTHONHASHSEED=seed) for seed in ("0", "1", "2")}) == 1
