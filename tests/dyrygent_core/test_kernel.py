"""The short ways through `advance` do what the long one does, over the borders of pages too, and know their limits."""

from __future__ import annotations

from typing import Final

import pytest

from dyrygent_core import Attempt, Begin, Graph, Lost, Node, PauseRequested, State, Status, Succeeded, advance
from dyrygent_core.kernel import succeed, succeed_all

SIZE: Final = 20_000
"""More than one page holds."""
FAR: Final = SIZE - 1

PAIRS: Final = Graph(
    [
        Node("root"),
        *(Node(f"n{at}", ["root"]) for at in range(SIZE - 3)),
        Node("join", ["root", *(f"n{at}" for at in range(150))]),
        Node("odd", ["n0"], trigger="none_failed_min_one_success"),
    ]
)


def begun(graph: Graph, *more: Succeeded | Lost | PauseRequested) -> State:
    return advance(graph, State.initial(graph), [Begin(), *more])[0]


def long_way(state: State, node: str) -> tuple[State, list[str]]:
    """Let a node succeed in company, which no short way takes: a pause that changes nothing in the end."""
    graph, held = state.graph, PauseRequested()
    after, emitted = advance(graph, state, [Succeeded(Attempt(node)), held])
    assert after.is_paused
    return after, [it.node for it in emitted]


def test_a_success_reaches_other_pages() -> None:
    """One step writes to each page that it touches, once, and leaves the others as they are."""
    state = begun(PAIRS)
    done = succeed(state, PAIRS.numbers["root"])
    assert done is not None
    after, runnable = done

    expected, emitted = long_way(state, "root")
    assert [PAIRS.nodes[number].id for number in runnable] == emitted
    assert after.pages == expected.pages
    assert after.in_flight == expected.in_flight == SIZE - 3

    later = succeed(after, PAIRS.numbers["n19000"])
    assert later is not None
    assert [new is old for new, old in zip(later[0].pages, after.pages, strict=True)].count(False) == 1


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ("join", "it is not in flight"),
        ("n0", "one of its dependents follows another rule"),
    ],
)
def test_what_is_more_than_counting_down_is_left_to_others(node: str, why: str) -> None:
    """None is given, and nothing is done."""
    state = begun(PAIRS, Succeeded(Attempt("root")))
    before = (state.pages, state.in_flight)

    assert succeed(state, PAIRS.numbers[node]) is None, why
    assert (state.pages, state.in_flight) == before


def test_the_last_of_a_block_is_left_to_others() -> None:
    """A join of 151 counts one block down in the side map; the short way never touches that."""
    state = begun(PAIRS, Succeeded(Attempt("root")), *(Succeeded(Attempt(f"n{at}")) for at in range(48)))
    assert succeed(state, PAIRS.numbers["n48"]) is not None
    state = advance(PAIRS, state, [Succeeded(Attempt("n48"))])[0]

    assert succeed(state, PAIRS.numbers["n49"]) is None
    state = advance(PAIRS, state, [Succeeded(Attempt(f"n{at}")) for at in range(49, 149)])[0]
    after, runnable = succeed(state, PAIRS.numbers["n149"]) or (state, [])
    assert [PAIRS.nodes[number].id for number in runnable] == ["join"]
    assert after.status("join") is Status.SCHEDULED


def test_the_end_is_left_to_others() -> None:
    """Who ends all that is in flight ends the workflow, or lets the nodes of the whole workflow begin."""
    chain = Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(SIZE))
    state = begun(chain, *(Succeeded(Attempt(f"n{at}")) for at in range(FAR)))

    assert succeed(state, FAR) is None
    assert advance(chain, state, [Succeeded(Attempt(f"n{FAR}"))])[0].is_finished


def test_few_successes_do_not_copy_all_pages() -> None:
    """Where thawing pages one by one is cheaper, or where others may hold nodes back, runs are taken one by one."""
    many = Graph(Node(f"n{at}") for at in range(44_000))
    limited = Graph([Node("a"), Node("b")], max_in_flight=1)
    mapped = Graph([Node("a"), Node("b", ["a"], each="a")])

    assert succeed_all(begun(many), [1, 2]) is None
    assert succeed_all(begun(limited), [0]) is None
    assert succeed_all(begun(mapped), [0]) is None
    assert succeed_all(begun(PAIRS, PauseRequested()), [0]) is None


def test_what_is_not_in_flight_is_passed_over() -> None:
    """Repeated, early and late successes change nothing; the state is the same object if all are."""
    pair = Graph([Node("a"), Node("b", ["a"]), Node("c")])
    state = begun(pair)

    assert succeed_all(state, [pair.numbers["b"]]) == (state, [])
    after, runnable = succeed_all(state, [pair.numbers["b"], pair.numbers["a"], pair.numbers["a"]]) or (state, [])
    assert runnable == [pair.numbers["b"]]
    assert after == advance(pair, state, [Succeeded(Attempt("a"))])[0]
