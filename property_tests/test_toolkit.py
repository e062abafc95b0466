"""The toolkit itself: the model agrees with itself, strategies draw what they say, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from dyrygent_core import Begin, Failed, Graph, Mode, Node, Observation, RerunRequested, RetryDue, Role, UsageError
from dyrygent_testing import Model, final_statuses, graphs, histories, outcomes_for, workflows
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


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        ({"min_nodes": 3, "max_nodes": 2}, "raise max_nodes"),
        ({"triggers": ()}, "leave triggers out"),
        ({"roles": ()}, "leave roles out"),
        ({"modes": ()}, "leave modes out"),
        ({"limits": ()}, "leave limits out"),
        ({"limits": (None, 0)}, "name 1 or more, or None"),
    ],
)
def test_graphs_that_cannot_be_are_refused(arguments: dict[str, Any], repair: str) -> None:
    """When the strategy is made, not when it is drawn from; the message says what to write instead."""
    with pytest.raises(UsageError, match=repair):
        graphs(**arguments)


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
