"""Hypothesis strategies: what the nodes of a graph come to, and what may be observed of them.

What they draw shrinks to everything succeeding.
Attempts that are in flight are found with the slow `Model`, so that no strategy leans on what it is to test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

from attrs import evolve
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    PauseRequested,
    Ran,
    RerunRequested,
    ResumeRequested,
    RetryDue,
    Skipped,
    SkipRequested,
    Succeeded,
    TimedOut,
    UsageError,
    Workflow,
    WorkflowState,
)
from dyrygent_core.checks import shown
from dyrygent_core.nodes import MAX_WIDTH
from dyrygent_core.observations import NOT_A_LIST
from dyrygent_testing.model import Model, Outcomes, result_of
from dyrygent_testing.model_ends import width_of
from dyrygent_testing.strategies import node_ids, payloads
from dyrygent_testing.subjects import check_kind, check_nodes, check_size, check_strategy, graph_of, list_of

__all__ = [
    "endings_of",
    "failures",
    "histories",
    "observations",
    "outcomes_for",
    "outcomes_of",
    "requests_for",
    "strays_for",
    "successes_of",
]

_SIZES: Final = (1, 2, 3, 0, 2, 1, NOT_A_LIST, MAX_WIDTH + 1)
_ODD_SIZES: Final = ((-7,), (2, 2, 2, 2, 2, 2, 2), (1,))
_EXPECTED_OF_TEN: Final = 8


def failures() -> st.SearchStrategy[Failure]:
    """Draw why something failed."""
    args = st.none() | st.lists(payloads(), max_size=2).map(tuple)
    text = st.text(max_size=10)
    return st.builds(Failure, st.sampled_from(["ValueError", "KeyError"]), text, text, args)


def outcomes_for(workflow: Workflow | Graph) -> st.SearchStrategy[Outcomes]:
    """Draw, for each node of a workflow, what its attempts come to if they are run, until it is final.

    Of a mapped node, it is drawn for each instance that it has if what it maps over succeeds as drawn.
    They shrink to one success for each node.

    Raises `UsageError` for what is no workflow, and as `Workflow.build` does.
    """
    return _outcomes_for(graph_of(workflow, "outcomes_for"))


@st.composite
def _outcomes_for(draw: st.DrawFn, graph: Graph) -> Outcomes:
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    widths: dict[str, int | None] = {}
    for node in graph.nodes:
        if node.each is None:
            outcomes[node.id] = _until_final(draw, graph, node, 0)
            continue
        last = outcomes[node.each.node][-1:]
        sizes = last[0].sizes if last and isinstance(last[0], Succeeded) else ()
        widths[node.id] = width = width_of(graph, node, sizes, widths.get(node.each.node))
        instances = (_until_final(draw, graph, node, at) for at in range(width or 0))
        outcomes[node.id] = tuple(outcome for its in instances for outcome in its)
    return outcomes


def _until_final(draw: st.DrawFn, graph: Graph, node: Node, index: int) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    while not outcomes or result_of(graph, node, outcomes) is None:
        outcomes.append(draw(endings_of(graph, Attempt(node.id, index, len(outcomes) + 1))))
    return tuple(outcomes)


def outcomes_of(workflow: Workflow | Graph, attempt: Attempt) -> st.SearchStrategy[Outcome]:
    """Draw what one attempt may come to: success for half of them, and what they shrink to.

    Raises `UsageError` for what is no workflow or no attempt, and as `Workflow.build` does; `UnknownNodeError`.
    """
    graph = graph_of(workflow, "outcomes_of")
    check_kind("the attempt", attempt, Attempt, "an Attempt, such as Attempt('a')")
    check_nodes([attempt.node], graph)
    return endings_of(graph, attempt)


@st.composite
def endings_of(draw: st.DrawFn, graph: Graph, attempt: Attempt) -> Outcome:
    """Draw the same of any attempt, even of a node that is not there."""
    others: list[Outcome] = [
        Failed(attempt),
        TimedOut(attempt),
        Lost(attempt),
        Skipped(attempt),
        Failed(attempt, is_final=True),
        Failed(attempt, is_revoked=True),
    ]
    outcome = draw(st.sampled_from([*[None] * len(others), *others]))  # half of them succeed
    return draw(successes_of(graph, attempt)) if outcome is None else outcome


@st.composite
def successes_of(draw: st.DrawFn, graph: Graph, attempt: Attempt) -> Succeeded:
    """Draw how one attempt succeeds: with the sizes that others map over, perhaps with branches; rarely nonsense."""
    if attempt.node not in graph.numbers:
        return Succeeded(attempt)
    sizes = tuple(draw(st.sampled_from(_SIZES)) for _ in graph.measured_paths(attempt.node))
    told = draw(st.sampled_from(_TOLD))
    if told == "odd sizes":
        sizes = draw(st.sampled_from([(), *_ODD_SIZES]))
    return Succeeded(attempt, sizes=sizes, branches=_branches(draw, graph, attempt, told))


_TOLD: Final = ("nothing",) * 20 + ("branches",) * 10 + ("odd branches", "odd sizes")
"""What a success tells beside the sizes that are asked for."""


def _branches(draw: st.DrawFn, graph: Graph, attempt: Attempt, told: str) -> tuple[str, ...] | None:
    if told in ("odd branches", "odd sizes"):
        return (*draw(st.lists(st.sampled_from([*graph.numbers, "nobody"]), max_size=2)),)
    below = graph.dependents(attempt.node)
    if told == "nothing" or not below or graph.node(attempt.node).each is not None:
        return None
    return (*draw(st.lists(st.sampled_from(below), unique=True)),)


def observations(*, ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Observation]:
    """Draw any observation of any attempt, with all that it may carry; they shrink to `Begin()`.

    Raises `UsageError` if `ids` is no strategy.
    """
    if ids is not None:
        check_strategy("ids", ids, "node_ids()")
    return _observations(node_ids() if ids is None else ids)


@st.composite
def _observations(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> Observation:
    attempt = Attempt(draw(ids), draw(st.integers(0, 3)), draw(st.integers(1, 4)))
    text = st.text(max_size=10)
    ran = st.none() | st.builds(Ran, st.integers(0, 2**53), st.integers(0, 2**53), text)
    sizes = st.lists(st.integers(-1, MAX_WIDTH), max_size=3).map(tuple)
    several_ids = st.lists(ids, max_size=2).map(tuple)
    every: list[st.SearchStrategy[Observation]] = [
        st.just(Begin()),
        st.builds(Succeeded, st.just(attempt), ran, sizes=sizes, branches=st.none() | several_ids),
        st.builds(Failed, st.just(attempt), failures(), ran=ran, is_final=st.booleans(), is_revoked=st.booleans()),
        st.builds(TimedOut, st.just(attempt), ran),
        st.builds(Lost, st.just(attempt), text),
        st.builds(Skipped, st.just(attempt), text, ran),
        st.just(RetryDue(attempt)),
        st.builds(CancelRequested, text),
        st.builds(DeadlinePassed, st.integers(1, 3)),
        st.builds(PauseRequested, text),
        st.just(ResumeRequested()),
        st.builds(RerunRequested, several_ids),
        st.builds(SkipRequested, ids, text),
    ]
    drawn: Observation = draw(st.one_of(every))
    return evolve(drawn, at_ms=draw(st.integers(0, 2**53)))


# Histories


def histories(
    workflow: Workflow | Graph, *, max_size: int = 30, requests: Sequence[Observation] | None = None
) -> st.SearchStrategy[tuple[Observation, ...]]:
    """Draw what a journal may hold: causes before effects, and among them the late, the repeated and the impossible.

    `max_size`: of observations. `requests`: what may come from outside at any time, by default pauses, cancels, skips,
    reruns and deadlines; `()` leaves every node to its own outcome. Times never go back. A history may stop anywhere.
    Histories shrink to short ones, in which everything succeeds.

    Raises `UsageError` for what is no workflow, and for a request that is no observation.
    """
    graph = graph_of(workflow, "histories")
    check_size("max_size", max_size)
    if requests is not None:
        requests = list_of("requests", requests, "observations")
    for request in requests or ():
        if not isinstance(cast("object", request), Observation):
            message = f"requests are observations, such as CancelRequested(), not {shown(request)}"
            raise UsageError(message)
    return _histories(graph, max_size, requests)


@st.composite
def _histories(
    draw: st.DrawFn, graph: Graph, max_size: int, requests: Sequence[Observation] | None
) -> tuple[Observation, ...]:
    model = Model(graph)
    asked = st.sampled_from(requests) if requests else requests_for(graph) if requests is None else st.nothing()
    strays = strays_for(graph)
    history: list[Observation] = []
    at_ms = 0
    # Asked before each, so that each can be left out: few choices for each, and always of the same kinds, or shrinking
    # cannot take all of them away.
    steps_ms = (0, 1, 1_000, 20_000)
    after_ms = st.sampled_from([None, *steps_ms * max(1, max_size // 2)])
    after_success_ms = st.sampled_from([None, *steps_ms, None, None, None])  # what comes now is ignored
    while len(history) < max_size:
        has_succeeded = model.workflow_state is WorkflowState.SUCCESS
        passed_ms = draw(after_success_ms if has_succeeded else after_ms)
        if passed_ms is None:
            break
        at_ms += passed_ms
        observation = evolve(_next(draw, model, history, asked, strays), at_ms=at_ms)
        model.observe(observation)
        history.append(observation)
    return tuple(history)


def _next(
    draw: st.DrawFn,
    model: Model,
    history: Sequence[Observation],
    asked: st.SearchStrategy[Observation],
    strays: st.SearchStrategy[Observation],
) -> Observation:
    expected: list[Observation | Attempt] = [] if model.has_begun else [Begin()]
    expected += model.in_flight
    expected += [RetryDue(attempt) for attempt, _ in model.delayed]
    if not asked.is_empty:
        expected += _undone(model)
    is_expected = draw(st.integers(0, 9)) < _EXPECTED_OF_TEN
    if expected and is_expected:
        chosen = draw(st.sampled_from(expected))
        return draw(endings_of(model.graph, chosen)) if isinstance(chosen, Attempt) else chosen
    others = [strays, strays, asked, asked, *([st.sampled_from(history)] if history else [])]
    return draw(draw(st.sampled_from([other for other in others if not other.is_empty])))


def _undone(model: Model) -> Iterable[Observation]:
    """Give the requests that let go on what would stand still without them."""
    if model.is_paused:
        yield ResumeRequested()
    elif model.is_finished and model.workflow_state is not WorkflowState.SUCCESS:
        yield RerunRequested()


def requests_for(graph: Graph) -> st.SearchStrategy[Observation]:
    """Draw what somebody may ask for at any time, of any node or of one that is not there."""
    names = st.sampled_from([*graph.numbers, "nobody"])
    every: list[st.SearchStrategy[Observation]] = [
        st.just(PauseRequested()),
        st.just(ResumeRequested()),
        st.just(CancelRequested()),
        st.builds(DeadlinePassed, st.sampled_from([1, 1, 2, 3])),
        st.builds(SkipRequested, names),
        st.builds(SkipRequested, names),
        st.just(RerunRequested()),
        st.builds(RerunRequested, st.lists(names, max_size=2).map(tuple)),
    ]
    return st.sampled_from(every).flatmap(lambda drawn: drawn)


@st.composite
def strays_for(draw: st.DrawFn, graph: Graph) -> Observation:
    """Draw what nobody is waiting for, as a rule: of any attempt, of any node or of one that is not there."""
    name = draw(st.sampled_from([*graph.numbers, "nobody"]))
    attempt = Attempt(name, draw(st.sampled_from([0, 0, 1, 99])), draw(st.integers(1, 4)))
    others: list[Observation] = [RetryDue(attempt), Begin()]
    return draw(st.sampled_from(others) | endings_of(graph, attempt))
