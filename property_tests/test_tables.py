"""The tables of `rules` mean what the documentation says, and all of them is in use.

Nothing here is left to luck: small cases are enumerated, all of them, against the slow model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, permutations, product
from typing import Final

import pytest
from attrs import field, frozen

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    Condition,
    Edge,
    Failed,
    Graph,
    Lost,
    Node,
    RerunRequested,
    Skipped,
    State,
    Status,
    Succeeded,
    Trigger,
    advance,
)
from dyrygent_core.rules import AND_RULES, AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, Effect, Row
from dyrygent_testing import Model, Outcomes, fate, final_statuses
from property_tests.running import first, last, run_to_the_end

OR_RULES: Final = tuple(trigger for trigger in Trigger if trigger not in AND_RULES)
NEVER_AT_ZERO: Final = {(Trigger.ONE_FAILED, True)}
"""No row of `one_failed` taints."""


# What the tables mean


@pytest.mark.parametrize("trigger", Trigger)
def test_the_tables_mean_what_the_model_says(trigger: Trigger) -> None:
    """For up to three dependencies, whatever became of them, decided or not: effects, folded, are the model's fate."""
    wants = tuple(Condition) if trigger in AND_RULES else (None,)
    for count in range(1, 4):
        for edges in combinations_with_replacement(wants, count):
            for columns in product([None, *OUTCOME_COLUMNS], repeat=count):
                graph = _join(trigger, edges, columns)
                final = {f"n{at}": _status(column) for at, column in enumerate(columns) if column is not None}

                assert _folded(graph, columns) is fate(graph, graph.node("join"), final)


@pytest.mark.parametrize("row", EDGE_EFFECTS)
def test_effects_commute(row: Row) -> None:
    """No row holds two different early decisions, so the order of edges cannot matter."""
    early = {effect for effect in EDGE_EFFECTS[row] if effect in (Effect.RUN, Effect.UPSTREAM_FAILED)}

    assert len(early) <= 1


@pytest.mark.parametrize("trigger", Trigger)
def test_an_early_decision_can_no_longer_change(trigger: Trigger) -> None:
    """Where one edge decides, no completion of the others gives another answer."""
    wants = tuple(Condition) if trigger in AND_RULES else (None,)
    for edges in product(wants, repeat=2):
        for column in OUTCOME_COLUMNS:
            decided = _folded(_join(trigger, edges, (column, None)), (column, None))
            if decided is None:
                continue
            for other in OUTCOME_COLUMNS:
                assert _folded(_join(trigger, edges, (column, other)), (column, other)) is decided


def _join(trigger: Trigger, wants: Sequence[Condition | None], columns: Sequence[str | None]) -> Graph:
    roots = [Node(f"n{at}", allow_failure=column == "allowed FAILED") for at, column in enumerate(columns)]
    return Graph([*roots, Node("join", [Edge(f"n{at}", want) for at, want in enumerate(wants)], trigger=trigger)])


def _status(column: str) -> Status:
    return Status.FAILED if column == "allowed FAILED" else Status[column]


def _folded(graph: Graph, columns: Sequence[str | None]) -> Status | None:
    """Fold the effects of decided edges, as the theory in `rules` says."""
    join = graph.node("join")
    effects = [
        EDGE_EFFECTS[join.row(edge)][OUTCOME_COLUMNS.index(column)]
        for edge, column in zip(join.depends_on, columns, strict=True)
        if column is not None
    ]
    if Effect.UPSTREAM_FAILED in effects:
        return Status.UPSTREAM_FAILED
    if Effect.RUN in effects:
        return Status.SCHEDULED
    return AT_ZERO[join.trigger][Effect.TAINT in effects] if len(effects) == len(columns) else None


# All of them is in use


@frozen
class Fired:
    """What was seen to decide something."""

    cells: set[tuple[Row, str]] = field(factory=set)
    at_zero: set[tuple[Trigger, bool]] = field(factory=set)


def test_every_cell_of_the_tables_decides_something() -> None:
    """Driven through `advance`, in every order, every cell fires that a graph can reach; the rest has a reason."""
    fired = Fired()
    for trigger in Trigger:
        wants = tuple(Condition) if trigger in AND_RULES else (None,)
        for edges in combinations_with_replacement(wants, 2):
            for becomes in product(GADGETS, repeat=2):
                for order in permutations(range(2)):
                    _drive(trigger, edges, becomes, order, fired)
        for want in wants:
            _drive_after_cancel(trigger, want, fired)

    assert fired.cells == {(row, column) for row in EDGE_EFFECTS for column in OUTCOME_COLUMNS}
    assert fired.at_zero == set(product(Trigger, (False, True))) - NEVER_AT_ZERO


def test_three_dependencies_in_every_order() -> None:
    """The join of three ends the same in all six orders, under every rule, whatever became of them."""
    rows: list[tuple[Trigger, Condition | None]] = [(Trigger.ALL_SUCCESS, condition) for condition in Condition]
    rows += [(trigger, None) for trigger in OR_RULES]
    for trigger, want in rows:
        for becomes in combinations_with_replacement(GADGETS, 3):
            ends = {_drive(trigger, (want,) * 3, becomes, order, Fired()) for order in permutations(range(3))}
            assert len(ends) == 1


GADGETS: Final = ("SUCCEEDED", "FAILED", "allowed FAILED", "UPSTREAM_FAILED", "SKIPPED")
"""What a dependency can become before the workflow is ending."""


def _drive(
    trigger: Trigger,
    wants: Sequence[Condition | None],
    becomes: Sequence[str],
    order: Sequence[int],
    fired: Fired,
) -> Status:
    """Let each dependency become what it is to become, one at a time, and note which cells decided the join."""
    join = Node("join", [Edge(f"n{at}", want) for at, want in enumerate(wants)], trigger=trigger)
    graph = Graph([*_dependencies(becomes), join])
    state, model = advance(graph, State.initial(graph), [Begin()])[0], Model(graph)
    model.observe(Begin())
    tainted = False
    for place, at in enumerate(order):
        was_waiting = state.status("join") is Status.WAITING
        outcome = _outcome(at, becomes[at])
        state, emitted = advance(graph, state, [outcome])
        assert emitted == model.observe(outcome)
        if not was_waiting:
            continue
        row = join.row(join.depends_on[at])
        effect = EDGE_EFFECTS[row][OUTCOME_COLUMNS.index(becomes[at])]
        tainted = tainted or effect is Effect.TAINT
        fired.cells.add((row, becomes[at]))
        if effect in (Effect.HOLD, Effect.TAINT) and place == len(order) - 1:
            fired.at_zero.add((trigger, tainted))
    assert state.statuses == model.statuses
    return state.status("join")


def _drive_after_cancel(trigger: Trigger, want: Condition | None, fired: Fired) -> None:
    """Let a node be repeated whose dependency was CANCELLED: only another round has nodes that wait for one."""
    join = Node("join", [Edge("n0", want)], trigger=trigger)
    graph = Graph([Node("n0"), join])
    story = [Begin(), CancelRequested(), Lost(Attempt("n0")), RerunRequested(("join",))]
    model = Model(graph)
    for observation in story:
        model.observe(observation)
    state, _ = advance(graph, State.initial(graph), story)

    assert state.status("n0") is Status.CANCELLED
    assert dict(state.statuses) == model.statuses
    row = join.row(join.depends_on[0])
    effect = EDGE_EFFECTS[row][OUTCOME_COLUMNS.index("CANCELLED")]
    fired.cells.add((row, "CANCELLED"))
    if effect in (Effect.HOLD, Effect.TAINT):
        fired.at_zero.add((trigger, effect is Effect.TAINT))


def _dependencies(becomes: Sequence[str]) -> Iterator[Node]:
    for at, column in enumerate(becomes):
        above = [f"above {at}"] if column == "UPSTREAM_FAILED" else []
        yield from map(Node, above)
        yield Node(f"n{at}", above, allow_failure=column == "allowed FAILED")


def _outcome(at: int, column: str) -> Succeeded | Failed | Skipped:
    match column:
        case "SUCCEEDED":
            return Succeeded(Attempt(f"n{at}"))
        case "SKIPPED":
            return Skipped(Attempt(f"n{at}"))
        case "UPSTREAM_FAILED":
            return Failed(Attempt(f"above {at}"))
        case _:
            return Failed(Attempt(f"n{at}"))


# Every small graph


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_graph_of_up_to_four_nodes(size: int) -> None:
    """Under `all_success`, every DAG with every combination of outcomes ends as the model says, in two orders."""
    pairs = [(above, below) for below in range(size) for above in range(below)]
    for chosen in product([False, True], repeat=len(pairs)):
        edges = [pair for pair, is_there in zip(pairs, chosen, strict=True) if is_there]
        graph = Graph(Node(f"n{at}", [f"n{above}" for above, below in edges if below == at]) for at in range(size))
        for kinds in product([Succeeded, Failed, Skipped], repeat=size):
            outcomes: Outcomes = {f"n{at}": (kind(Attempt(f"n{at}")),) for at, kind in enumerate(kinds)}
            expected = final_statuses(graph, outcomes)
            for choose in (first, last):
                assert run_to_the_end(graph, outcomes, choose).state.statuses == expected
