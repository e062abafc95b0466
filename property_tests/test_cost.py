"""What a step touches: counted, never timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from dyrygent_core import Attempt, Begin, Graph, Mode, Node, Observation, Role, State, Succeeded, advance
from dyrygent_testing import graphs, histories
from property_tests.running import states

WIDE: Final = Graph(Node(f"n{number}") for number in range(20_000))
BEGUN: Final = advance(WIDE, State.initial(WIDE), [Begin()])[0]

MAPPED: Final = Graph([Node("list"), Node("map", ["list"], each="list")])
STARTED: Final = advance(MAPPED, State.initial(MAPPED), [Begin(), Succeeded(Attempt("list"), sizes=(20_000,))])[0]


class Counted(tuple[int, ...]):  # noqa: SLOT001  # it has a field of its own
    """The nodes below one node, noting who is looked at."""

    seen: list[int]

    def __iter__(self) -> Iterator[int]:
        for node in super().__iter__():
            self.seen.append(node)
            yield node


def counted(graph: Graph) -> tuple[Graph, list[int]]:
    """Give an equal graph that notes every edge that is looked at."""
    copy = Graph(graph.nodes, max_in_flight=graph.max_in_flight, mode=graph.mode, deadline_ms=graph.deadline_ms)
    seen: list[int] = []
    below = []
    for nodes in copy.successors:
        noting = Counted(nodes)
        noting.seen = seen
        below.append(noting)
    object.__setattr__(copy, "successors", tuple(below))
    return copy, seen


UNTROUBLED: Final = graphs(modes=[Mode.RUN_INDEPENDENT], roles=[Role.NODE], max_nodes=10)


@given(UNTROUBLED.flatmap(lambda graph: st.tuples(st.just(graph), histories(graph, requests=()))))
def test_a_step_visits_the_edges_of_what_became_final(observed: tuple[Graph, Sequence[Observation]]) -> None:
    """Each edge out of a node that became final is looked at once, and no other is, at whatever size of batch."""
    graph, history = observed
    noting, seen = counted(graph)
    steps = states(graph, history)

    state = State.initial(noting)
    for at, observation in enumerate(history):
        seen.clear()
        state, _ = advance(noting, state, [observation])
        assert sorted(seen) == _out_edges(graph, steps[at], steps[at + 1])

    seen.clear()
    advance(noting, State.initial(noting), history)
    assert sorted(seen) == _out_edges(graph, steps[0], steps[-1])


def _out_edges(graph: Graph, before: State, after: State) -> list[int]:
    ended = [
        number
        for number, (old, new) in enumerate(zip(before.statuses.values(), after.statuses.values(), strict=True))
        if new.is_final and not old.is_final
    ]
    return sorted(below for number in ended for below in graph.successors[number])


@given(st.sets(st.integers(0, len(WIDE) - 1), min_size=1, max_size=3))
def test_pages_without_a_change_are_shared(numbers: set[int]) -> None:
    """A step copies the pages that it writes to, and no other."""
    after, _ = advance(WIDE, BEGUN, [Succeeded(Attempt(WIDE.nodes[number].id)) for number in sorted(numbers)])

    copied = {at for at, (old, new) in enumerate(zip(BEGUN.pages, after.pages, strict=True)) if old is not new}
    assert copied == {number >> WIDE.page_bits for number in numbers}


@given(st.sets(st.integers(0, 19_999), min_size=1, max_size=3))
def test_pages_of_instances_are_shared_too(indexes: set[int]) -> None:
    """An instance costs no more than a node: its page is copied, and no other."""
    before = STARTED.side.bands.get(1)
    after = advance(MAPPED, STARTED, [Succeeded(Attempt("map", index)) for index in sorted(indexes)])[0].side.bands.get(
        1
    )

    assert before is not None
    assert after is not None
    copied = {at for at, (old, new) in enumerate(zip(before.pages, after.pages, strict=True)) if old is not new}
    assert copied == {index >> before.bits for index in indexes}


@given(st.integers(1, 20_000))
def test_a_large_batch_shares_the_pages_that_it_did_not_change(count: int) -> None:
    """Where all cells are copied at once, equal pages are the old objects all the same."""
    after, _ = advance(WIDE, BEGUN, [Succeeded(Attempt(f"n{number}")) for number in range(count)])

    shared = [old is new for old, new in zip(BEGUN.pages, after.pages, strict=True)]
    assert shared == [number << WIDE.page_bits >= count for number in range(len(shared))]
