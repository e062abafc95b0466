"""Pictures of any graph, whatever its ids, can be parsed, are true, and stay small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Begin, Condition, Failed, Graph, Skipped, State, Status, Succeeded, Trigger, advance
from dyrygent_core.diagrams import dot, mermaid, tree
from dyrygent_testing import graphs, node_ids
from property_tests.drawn import Drawn, edges_of, is_acyclic, read_back, read_dot, read_mermaid

Draw = Callable[..., str]
Read = Callable[[str], Drawn]

FORMATS: Final = pytest.mark.parametrize(
    ("draw", "read"), [(mermaid, read_mermaid), (dot, read_dot)], ids=["mermaid", "dot"]
)
AWKWARD: Final = node_ids() | st.text(
    st.sampled_from("\"'`#&<>[](){}|\\%;:$*_~-.=@\n\r\t /aNGn1\u202e\u200b\u3164\ufe0fﬂ°¶ß"), min_size=1
)
WORDS: Final = frozenset(status.name for status in Status)
NOT_SUCCESS: Final = tuple(trigger for trigger in Trigger if trigger is not Trigger.ALL_SUCCESS)
NO_SUCCESS: Final = tuple(condition for condition in Condition if condition is not Condition.SUCCEEDED)
OR_RULES: Final = frozenset({"one_success", "one_failed", "none_failed_min_one_success"})


@st.composite
def states(draw: st.DrawFn, graph: Graph) -> State:
    """Draw how far a workflow may be, with no eye to what is in flight: what is not does not count."""
    state, emitted = advance(graph, State.initial(graph), [Begin()])
    for _ in range(draw(st.integers(0, len(graph)))):
        if not emitted:
            break
        attempt = draw(st.sampled_from(emitted))
        outcome = draw(st.sampled_from([Succeeded(attempt), Failed(attempt), Skipped(attempt)]))
        state, more = advance(graph, state, [outcome])
        emitted = (*(each for each in emitted if each != attempt), *more)
    return state


@FORMATS
@given(graph=graphs(ids=AWKWARD), data=st.data())
def test_each_node_is_a_box_and_each_edge_an_arrow(draw: Draw, read: Read, graph: Graph, data: st.DataObject) -> None:
    """A picture that is not folded is the graph, and every id that fits can be read back from it."""
    state = data.draw(st.none() | states(graph))

    drawn = read(draw(graph, state))

    assert len(drawn.boxes) == len(graph)
    assert set(drawn.arrows) == edges_of(graph)
    assert drawn.apart == set(graph.finalizers)
    for number, node in enumerate(graph.nodes):
        name, *said = drawn.boxes[number]
        assert "…" in name or read_back(name) == node.id
        assert WORDS.intersection(said) == (set() if state is None else {state.status(node.id).name})


@FORMATS
@given(graph=graphs(max_nodes=20), most=st.integers(4, 8), data=st.data())
def test_a_folded_picture_is_small_and_loses_no_node(
    draw: Draw, read: Read, graph: Graph, most: int, data: st.DataObject
) -> None:
    """Within its bounds, acyclic, and the numbers in its boxes are those of the nodes."""
    state = data.draw(st.none() | states(graph))

    drawn = read(draw(graph, state, max_nodes=most))

    assert len(drawn.boxes) <= most
    assert len(drawn.arrows) <= 5 * most
    assert is_acyclic(drawn)
    assert sum(drawn.sizes) == len(graph)
    assert all(start != end for start, end in drawn.arrows)
    if state is not None:
        assert _told(drawn) == Counter(state.statuses.values())


@FORMATS
@given(graph=graphs(max_nodes=20), most=st.integers(4, 8))
def test_a_folded_picture_keeps_what_waits_for_what(draw: Draw, read: Read, graph: Graph, most: int) -> None:
    """The longest way through a picture is no longer than the longest through the graph."""
    drawn = read(draw(graph, max_nodes=most))

    assert _height(list(drawn.boxes), set(drawn.arrows)) <= _height(range(len(graph)), edges_of(graph))


@FORMATS
@given(graph=graphs(max_nodes=20, triggers=NOT_SUCCESS, conditions=NO_SUCCESS, paths=()), most=st.integers(4, 8))
def test_a_folded_picture_hides_no_rule(draw: Draw, read: Read, graph: Graph, most: int) -> None:
    """Where no edge asks for success only, each arrow says what is asked, or the box at its end says its rule."""
    drawn = read(draw(graph, max_nodes=most))

    for (_, end), label in drawn.arrows.items():
        assert label or OR_RULES.intersection(drawn.boxes[end])


@given(graph=graphs(ids=AWKWARD), data=st.data())
def test_each_node_is_a_line_of_the_tree(graph: Graph, data: st.DataObject) -> None:
    """Whatever the ids, a tree has a printable line for each node, and the frame's title."""
    state = data.draw(st.none() | states(graph))

    for charset in ("unicode", "ascii"):
        lines = tree(graph, state, charset=charset, width=1_000).split("\n")

        assert all(line.isprintable() for line in lines)
        assert charset == "unicode" or all(line.isascii() for line in lines)
        assert len(lines) == max(1, len(graph) + (1 if graph.finalizers else 0))


@given(graph=graphs(max_nodes=20))
def test_a_tree_is_topological(graph: Graph) -> None:
    """Each node stands once, below all that it waits for."""
    lines = tree(graph, width=1_000).split("\n")
    found = [_named(line) for line in lines if line != "whole workflow" and len(graph)]

    assert sorted(found) == sorted(node.id for node in graph.nodes)
    place = {name: at for at, name in enumerate(found)}
    assert all(place[edge.node] < place[node.id] for node in graph.nodes for edge in node.depends_on)


@given(graph=graphs(max_nodes=20), most=st.integers(2, 8), width=st.integers(20, 40), data=st.data())
def test_a_tree_keeps_to_its_bounds(graph: Graph, most: int, width: int, data: st.DataObject) -> None:
    """No more lines, and no longer ones."""
    state = data.draw(st.none() | states(graph))

    lines = tree(graph, state, max_lines=most, width=width).split("\n")

    assert len(lines) <= most
    assert max(map(len, lines)) <= width


def _told(drawn: Drawn) -> Counter[Status]:
    """Add up what the boxes say of their nodes; what they say of instances comes last and is left out."""
    told = Counter[Status]()
    for lines in drawn.boxes.values():
        sizes = [int(line[2:].replace(",", "")) for line in lines[1:] if line.startswith("× ")]
        (size,) = sizes or [1]
        said = next(line for line in lines[1:] if line.split(" ")[-1] in WORDS)
        if said in WORDS:
            told[Status[said]] += size
        else:
            for part in said.split(", "):
                number, name = part.split(" ")
                told[Status[name]] += int(number.replace(",", ""))
    return told


def _height(boxes: object, arrows: set[tuple[int, int]]) -> int:
    """Measure the longest way along arrows, the slow way."""
    longest = dict.fromkeys(boxes, 0)  # type: ignore[call-overload]
    for _ in longest:
        for start, end in arrows:
            longest[end] = max(longest[end], longest[start] + 1)
    return max(longest.values(), default=0)


def _named(line: str) -> str:
    return line.lstrip("├└│─↓ …").split(" ")[0]
