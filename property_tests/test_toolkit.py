"""The toolkit itself: the model agrees with itself, strategies draw what they say, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    Failed,
    Graph,
    Mode,
    Node,
    Observation,
    RerunRequested,
    RetryDue,
    Role,
    Succeeded,
    Trigger,
    UsageError,
    Workflow,
    call,
)
from dyrygent_testing import (
    CanvasPart,
    Model,
    canvases,
    faults,
    final_statuses,
    graphs,
    histories,
    interleavings,
    joins,
    load_profile,
    observations,
    outcomes_for,
    policies,
    simulate,
    timed_requests,
    workflows,
)
from property_tests.running import FEWER, outcome_of

ANY: Final = settings(max_examples=2_000, derandomize=True, database=None, phases=[Phase.generate])
LEAST: Final = settings(ANY, phases=[Phase.generate, Phase.shrink])
CONFLUENT: Final = graphs(modes=[Mode.RUN_INDEPENDENT])


@given(CONFLUENT.flatmap(lambda graph: st.tuples(st.just(graph), outcomes_for(graph))), st.randoms())
def test_the_model_ends_where_no_order_matters(drawn: tuple[Graph, Any], random: Any) -> None:
    """Observed one by one, in any order, outcomes lead the model to the statuses that need no order at all."""
    graph, outcomes = drawn
    model = Model(graph)
    model.observe(Begin())
    while not model.is_finished:
        due: list[Observation] = [RetryDue(attempt) for attempt, _ in model.delayed]
        model.observe(random.choice([*due, *(outcome_of(attempt, outcomes) for attempt in model.in_flight)]))

    assert model.statuses == final_statuses(graph, outcomes)


@FEWER
@given(graphs().flatmap(lambda graph: st.tuples(st.just(graph), histories(graph))))
def test_the_model_keeps_the_laws(drawn: tuple[Graph, tuple[Observation, ...]]) -> None:
    """Limits hold, no attempt is emitted twice, a final status lasts for its round, and something is always awaited."""
    graph, history = drawn
    model = Model(graph)
    emitted: list[Any] = []
    for observation in history:
        before, its_round = model.statuses, model.round
        emitted += model.observe(observation)
        assert graph.max_in_flight is None or len(model.in_flight) <= graph.max_in_flight
        assert model.is_finished or model.in_flight or model.delayed or model.is_paused or not model.has_begun
        if model.round == its_round:
            assert {name: it for name, it in before.items() if it.is_final}.items() <= model.statuses.items()
    assert len(set(emitted)) == len(emitted)


@pytest.mark.parametrize(
    "has_it",
    [
        lambda graph: any(node.each and graph.node(node.each.node).each for node in graph.nodes),
        lambda graph: any(node.each and node.each.path for node in graph.nodes),
        lambda graph: len(graph.finalizers) == 2,
        lambda graph: len({node.priority for node in graph.nodes}) == 2,
        lambda graph: any(node.timeout_ms for node in graph.nodes),
        lambda graph: any(node.retry.jitter for node in graph.nodes),
        lambda graph: graph.max_in_flight == 2 and graph.mode is Mode.FAIL_FAST,
    ],
    ids=["map of a map", "path", "roles", "priority", "time-out", "jitter", "limit and mode"],
)
def test_graphs_have_everything(has_it: Callable[[Graph], bool]) -> None:
    """What a graph may have occurs in those that are drawn."""
    assert has_it(find(graphs(), has_it, settings=ANY))


def test_graphs_shrink_to_plain_ones() -> None:
    """The least graph of two nodes is two nodes."""
    assert find(graphs(min_nodes=2), lambda _: True, settings=LEAST) == Graph([Node("a"), Node("b")])


WORKFLOW: Final = Workflow()
WORKFLOW.add(call("one"), id="a", after=WORKFLOW.add(call("one"), id="b"))
REFUSED: Final[dict[str, Callable[[], Any]]] = {
    "raise max_nodes": lambda: graphs(min_nodes=3, max_nodes=2),
    "min_nodes must be at least 0": lambda: graphs(min_nodes=-1),
    "max_nodes must be a whole number": lambda: graphs(max_nodes=2.0),  # type: ignore[arg-type]
    "leave triggers out": lambda: graphs(triggers=()),
    "one of triggers, 'all' is none of 'all_success'": lambda: graphs(triggers=["all"]),
    "one of conditions, 3 is none of": lambda: graphs(conditions=[3]),  # type: ignore[list-item]
    "leave roles out": lambda: graphs(roles=()),
    "leave modes out": lambda: graphs(modes=()),
    "leave limits out": lambda: graphs(limits=()),
    "name 1 or more, or None": lambda: graphs(limits=(None, 0)),
    "a path has keys": lambda: graphs(paths=[(1.5,)]),  # type: ignore[list-item]
    "ids must be a strategy, such as node_ids": lambda: graphs(ids=["a"]),  # type: ignore[arg-type]
    "policies must be a strategy": lambda: graphs(policies={}),  # type: ignore[arg-type]
    "timeout_ms must be at least 1": lambda: policies(timeouts_ms=[0]),
    "retry must be a RetryPolicy": lambda: policies(retries=[1_000]),  # type: ignore[list-item]
    "priority must be a whole number": lambda: policies(priorities=[0.5]),  # type: ignore[list-item]
    "max_degree must be at least 1": lambda: joins(max_degree=0),
    "no workflow has at least 7": lambda: workflows(min_nodes=7),
    "outcomes_for takes a Workflow or its graph": lambda: outcomes_for("w"),  # type: ignore[arg-type]
    "histories takes a Workflow": lambda: histories(None),  # type: ignore[arg-type]
    "max_size must be at least 0": lambda: histories(WORKFLOW, max_size=-1),
    r"such as CancelRequested\(\), not 'cancel'": lambda: histories(WORKFLOW, requests=["cancel"]),  # type: ignore[list-item]
    "ids must be a strategy": lambda: observations(ids="a"),  # type: ignore[arg-type]
    "interleavings takes a Workflow": lambda: interleavings({}),  # type: ignore[arg-type]
    "timed_requests takes a Workflow": lambda: timed_requests("w"),  # type: ignore[arg-type]
    "one of kinds, 'fire' is none of 'crash'": lambda: faults(kinds=["fire"]),
    "leave kinds out": lambda: faults(kinds=()),
    "heal_ms must be at least 0": lambda: faults(heal_ms=-1),
    "max_tasks must be at least 1": lambda: canvases(max_tasks=0),
    "one of parts, 'loop' is none of 'chain'": lambda: canvases(parts=["loop"]),
    "there is no profile 'weekly'": lambda: load_profile("weekly"),
}


@pytest.mark.parametrize("repair", REFUSED)
def test_what_cannot_be_is_refused(repair: str) -> None:
    """When the strategy is made, not when it is drawn from; the message says what to write instead."""
    with pytest.raises(UsageError, match=repair):
        REFUSED[repair]()


def test_names_stand_for_members() -> None:
    """Enumerations are given by their names too, as everywhere."""
    graph = find(
        graphs(triggers=["one_failed"], modes=["fail_fast"], roles=["node"], conditions=["done"]),
        lambda graph: any(node.depends_on for node in graph.nodes),
        settings=ANY,
    )

    assert graph.mode is Mode.FAIL_FAST
    assert {node.trigger for node in graph.nodes if node.depends_on} == {Trigger.ONE_FAILED}


def least(strategy: st.SearchStrategy[Any], has_it: Callable[[Any], bool] = lambda _: True) -> Any:
    return find(strategy, has_it, settings=LEAST)


def test_what_is_drawn_shrinks_to_little() -> None:
    """The least example is what a user would have written down."""
    assert least(policies()) == {"priority": 0, "timeout_ms": None}
    assert len(least(workflows())) == 0
    assert least(outcomes_for(WORKFLOW)) == {name: (Succeeded(Attempt(name)),) for name in ("b", "a")}
    assert least(histories(WORKFLOW)) == ()
    assert least(histories(WORKFLOW), lambda history: any(isinstance(it, Failed) for it in history)) == (
        Begin(),
        Failed(Attempt("b")),
    )
    assert least(observations()) == Begin()
    assert least(timed_requests(WORKFLOW)) == ()
    assert str(least(faults())) == "no faults"
    assert str(least(faults(), lambda drawn: drawn.crash > 0 and drawn.lose > 0)) == "crash=0.01, lose=0.01"
    assert least(interleavings(WORKFLOW)) == ("b", "a")
    assert len(least(joins(max_degree=5)).nodes) == 7


def test_canvases_shrink_to_little() -> None:
    """A task; or the smallest canvas that has what is looked for, written as the code that makes it."""
    failing = least(
        canvases(parts=["chain", "failure", "link"]),
        lambda canvas: canvas.expected.has_failed and len(canvas.expected.runs) > 1,
    )
    chord = least(canvases(parts=[CanvasPart.CHORD, CanvasPart.CHUNKS]), lambda canvas: "chord" in repr(canvas))

    assert repr(least(canvases())) == "Canvas(plan=told.s(1), args=())"
    assert repr(failing.plan) == "chain(told.s(1), fail.s(2))"
    assert repr(chord.plan) == "chord([told.s(1)], told.s(2))"


@FEWER
@given(graphs(policies=None, paths=()).flatmap(lambda drawn: st.tuples(st.just(drawn), interleavings(drawn))))
def test_an_interleaving_keeps_the_edges(drawn: tuple[Graph, tuple[str, ...]]) -> None:
    """Every node once, after all that it waits for; those of the whole workflow last."""
    graph, order = drawn
    place = {node: at for at, node in enumerate(order)}

    assert sorted(order) == sorted(graph.numbers)
    assert all(place[edge.node] < place[node.id] for node in graph.nodes for edge in node.depends_on)
    assert set(order[graph.finalizers.start :]) == {graph.nodes[at].id for at in graph.finalizers}


def test_interleavings_are_all_orders() -> None:
    """Of three nodes of which two wait for the first, either may be next; a simulation runs them so."""
    workflow = Workflow()
    first = workflow.add(call("one"), id="first")
    for name in ("left", "right"):
        workflow.add(call("one"), id=name, after=first)

    right_first = least(interleavings(workflow), lambda order: order[1] == "right")
    trace = simulate(workflow, order=right_first, workers=1)

    assert [it.attempt.node for it in trace.executed] == ["first", "right", "left"] == list(right_first)


@given(graphs(roles=[Role.NODE], paths=(), limits=[None]))
def test_what_is_left_out_does_not_occur(graph: Graph) -> None:
    """Without roles, paths and limits no node is for the whole workflow, none is mapped, and nothing is held back."""
    assert not graph.finalizers
    assert not any(node.each for node in graph.nodes)
    assert graph.max_in_flight is None


@pytest.mark.parametrize("kind", [RerunRequested, RetryDue, Failed])
def test_histories_have_everything(kind: type[Observation]) -> None:
    """They go on in another round, too, and whatever is not needed can be left out."""
    graph = Graph([Node("a", max_attempts=2), Node("b", ["a"])])

    found = find(histories(graph), lambda history: any(isinstance(it, kind) for it in history), settings=LEAST)

    assert len(found) <= 4


def test_workflows_have_everything() -> None:
    """Some are drawn with a mapped node and one for the whole workflow."""

    def has_both(workflow: Any) -> bool:
        graph = workflow.build()[0].graph
        return bool(graph.finalizers) and any(node.each for node in graph.nodes)

    assert has_both(find(workflows(), has_both, settings=ANY))


def test_final_statuses_need_a_mode_without_order() -> None:
    """Under `fail_fast` it matters who is first, so the question is refused."""
    with pytest.raises(UsageError, match="give them to a Model"):
        final_statuses(Graph([Node("a")], mode=Mode.FAIL_FAST), {})
