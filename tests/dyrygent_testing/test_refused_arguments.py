"""What the toolkit is told wrongly is refused before anything runs, with the value and the repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isfunction, signature
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st

import dyrygent_testing
from dyrygent_core import Attempt, Failed, Graph, State, Status, Succeeded, UsageError, Workflow, call
from dyrygent_testing import (
    Model,
    canvas_app,
    canvases,
    check_agreement,
    check_invariants,
    check_workflow,
    fate,
    faults,
    final_statuses,
    graphs,
    histories,
    interleavings,
    joins,
    kinds_at,
    load_profile,
    observations,
    outcomes_for,
    outcomes_of,
    policies,
    replay,
    save_history,
    simulate,
    timed_requests,
    violations_in,
    workflows,
)


def pair() -> Workflow:
    workflow = Workflow("pair")
    workflow.add(call("run"), id="b", after=workflow.add(call("run"), id="a"))
    return workflow


WRONG: Final[Any] = 3
"""Of a type that nothing takes."""
PAIR: Final = pair()
GRAPH: Final[Graph] = PAIR.build()[0].graph
TRACE: Final = simulate(PAIR)
Refused = tuple[Callable[[], object], str]

REFUSED: Final[Mapping[str, tuple[Refused, ...]]] = {
    "canvas_app": ((lambda: canvas_app(WRONG), r"note .* such as noted.append, not 3"),),
    "canvases": (
        (lambda: canvases(max_tasks=0), "max_tasks must be at least 1, not 0"),
        (lambda: canvases(parts=WRONG), "parts must be a sequence"),
        (lambda: canvases(parts=["cord"]), "'cord' is none of 'chain'"),
    ),
    "check_agreement": (
        (lambda: check_agreement(WRONG, Model(GRAPH)), r"such as State.initial\(graph\), not int: 3"),
        (lambda: check_agreement(State.initial(GRAPH), WRONG), "must be a Model, not int: 3"),
        (lambda: check_agreement(State.initial(GRAPH), Model(GRAPH), nodes=["c"]), "node 'c' is not in the graph"),
        (lambda: check_agreement(State.initial(GRAPH), Model(GRAPH), nodes="a"), r"write \['a'\]"),
    ),
    "check_invariants": ((lambda: check_invariants(WRONG), r"what simulate\(\) returns, not int: 3"),),
    "check_workflow": (
        (lambda: check_workflow(WRONG), "must be a Workflow, not int: 3"),
        (lambda: check_workflow(PAIR, outcomes={}), r"a strategy, such as st.just\({}\), not {}"),  # type: ignore[arg-type]
        (lambda: check_workflow(PAIR, outcomes=st.just({"c": []})), "node 'c' is not in the graph"),
        (lambda: check_workflow(PAIR, outcomes=st.just(WRONG)), "outcomes must be {node id: .*, not int: 3"),
        (lambda: check_workflow(PAIR, examples=0), "examples must be at least 1, not 0"),
        (lambda: check_workflow(PAIR, settings={"max_examples": 1}), r"such as settings\(max_examples"),  # type: ignore[arg-type]
        (lambda: check_workflow(PAIR, invariants=WRONG), "invariants must be a sequence of functions, not int"),
        (lambda: check_workflow(PAIR, invariants=["x"]), "a function of the Trace, .* not 'x'"),  # type: ignore[list-item]
        (lambda: check_workflow(PAIR, faults="crash"), r"write \['crash'\]"),
        (lambda: check_workflow(PAIR, faults=["crsh"]), "'crsh' is none of 'crash'"),
        (lambda: check_workflow(PAIR, seed="1"), "seed must be a whole number, not str: '1'"),  # type: ignore[arg-type]
    ),
    "fate": (
        (lambda: fate(WRONG, GRAPH.node("a"), {}), r"such as workflow.build\(\)\[0\].graph, not int: 3"),
        (lambda: fate(GRAPH, "a", {}), r"such as graph.node\('a'\), not str: 'a'"),  # type: ignore[arg-type]
        (lambda: fate(GRAPH, GRAPH.node("b"), WRONG), "final must be {node id: Status}, not int: 3"),
        (lambda: fate(GRAPH, GRAPH.node("b"), {"a": Status.SUCCEEDED}, WRONG), "branches must be .* not int: 3"),
    ),
    "faults": (
        (lambda: faults(kinds=["crsh"]), "'crsh' is none of 'crash'"),
        (lambda: faults(heal_ms="soon"), "heal_ms must be a whole number, not str: 'soon'"),  # type: ignore[arg-type]
    ),
    "final_statuses": (
        (lambda: final_statuses(WRONG, {}), "final_statuses takes a Workflow or its graph, not 3"),
        (lambda: final_statuses(GRAPH, WRONG), "outcomes must be {node id: .*, not int: 3"),
        (lambda: final_statuses(GRAPH, {"c": ()}), "node 'c' is not in the graph"),
        (lambda: final_statuses(GRAPH, {"a": (Failed(Attempt("b")),)}), "has one of 'b'; write it under that node"),
        (lambda: final_statuses(GRAPH, {}), "node 'a' runs, .* add what its attempt 1 comes to"),
    ),
    "graphs": (
        (lambda: graphs(limits=WRONG), "limits must be a sequence"),
        (lambda: graphs(limits=["one"]), "must be a whole number, not str: 'one'"),  # type: ignore[list-item]
        (lambda: graphs(paths=WRONG), "paths must be a sequence of paths"),
        (lambda: graphs(policies=WRONG), "policies must be a strategy"),
        (lambda: graphs(modes="fail_fast"), r"write \['fail_fast'\]"),
    ),
    "histories": (
        (lambda: histories(WRONG), "histories takes a Workflow or its graph, not 3"),
        (lambda: histories(PAIR, max_size=-1), "max_size must be at least 0, not -1"),
        (lambda: histories(PAIR, requests=WRONG), "requests must be a sequence of observations"),
    ),
    "interleavings": ((lambda: interleavings(WRONG), "interleavings takes a Workflow or its graph, not 3"),),
    "joins": ((lambda: joins(max_degree="x"), "max_degree must be a whole number"),),  # type: ignore[arg-type]
    "kinds_at": (
        (lambda: kinds_at(WRONG), "a place must be a str, not int: 3"),
        (lambda: kinds_at("worker.rann"), "no place 'worker.rann'; did you mean 'worker.ran'"),
        (lambda: kinds_at("nowhere"), r"fault_places\(\) names all"),
    ),
    "load_profile": (
        (lambda: load_profile(WRONG), "a profile must be a str, not int: 3"),
        (lambda: load_profile("fast"), "no profile 'fast'; write 'dev', 'ci' or 'nightly'"),
        (lambda: load_profile(""), "no profile ''"),
    ),
    "observations": ((lambda: observations(ids=["a"]), "ids must be a strategy"),),  # type: ignore[arg-type]
    "outcomes_for": ((lambda: outcomes_for(WRONG), "outcomes_for takes a Workflow or its graph, not 3"),),
    "outcomes_of": (
        (lambda: outcomes_of(WRONG, Attempt("a")), "outcomes_of takes a Workflow or its graph, not 3"),
        (lambda: outcomes_of(PAIR, "a"), r"such as Attempt\('a'\), not str: 'a'"),  # type: ignore[arg-type]
        (lambda: outcomes_of(PAIR, Attempt("c")), "node 'c' is not in the graph"),
    ),
    "policies": (
        (lambda: policies(retries=WRONG), "retries must be a sequence"),
        (lambda: policies(priorities=WRONG), "priorities must be a sequence"),
        (lambda: policies(timeouts_ms=WRONG), "timeouts_ms must be a sequence"),
    ),
    "replay": (
        (lambda: replay(WRONG), "the path of a saved history, .* not 3"),
        (lambda: replay(TRACE.history, WRONG), "the Workflow as it is built today, not 3"),
    ),
    "save_history": (
        (lambda: save_history(WRONG, "history.json"), "trace.history gives, not 3"),
        (lambda: save_history(TRACE.history, WRONG), "the path of the file to write, not 3"),
    ),
    "simulate": (
        (lambda: simulate(PAIR, faults=WRONG), "faults must be a sequence of Fault"),
        (lambda: simulate(PAIR, faults=["crash"]), "not of str: 'crash'"),  # type: ignore[list-item]
        (lambda: simulate(PAIR, functions=WRONG), "functions must be {target name: function}, .* not int: 3"),
        (lambda: simulate(PAIR, outcomes=WRONG), "outcomes must be {node id: .*, not int: 3"),
        (lambda: simulate(PAIR, durations=lambda _: "long"), "what durations returns for .* not str: 'long'"),  # type: ignore[arg-type,return-value]
        (lambda: simulate(PAIR, journal=WRONG), "journal=lambda clock: MyJournal.*, not 3"),
        (lambda: simulate(PAIR, journal=lambda _: WRONG), "journal=lambda clock: MyJournal.* it made 3"),
    ),
    "timed_requests": ((lambda: timed_requests(WRONG), "timed_requests takes a Workflow or its graph, not 3"),),
    "violations_in": ((lambda: violations_in(WRONG), r"what simulate\(\) returns, not int: 3"),),
    "workflows": ((lambda: workflows(max_nodes="x"), "max_nodes must be a whole number"),),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(
    ("wrong", "repair"),
    [pytest.param(*it, id=f"{name}-{at}") for name, cases in REFUSED.items() for at, it in enumerate(cases)],
)
def test_a_wrong_argument_is_refused(
    wrong: Callable[[], object], repair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mistake of the caller's, which names the value and what to write instead; and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=repair):
        wrong()
    assert list(tmp_path.iterdir()) == []


def test_every_function_that_takes_arguments_refuses_wrong_ones() -> None:
    """One that is added has a case above."""
    every = {name: getattr(dyrygent_testing, name) for name in dyrygent_testing.__all__}
    taking = {name for name, it in every.items() if isfunction(it) and signature(it).parameters}

    assert taking == set(REFUSED)


def test_a_workflow_stands_for_its_graph() -> None:
    """Wherever a graph is wanted to be thought about."""
    outcomes = {name: (Succeeded(Attempt(name)),) for name in "ab"}

    assert Model(PAIR).graph == GRAPH
    assert final_statuses(PAIR, outcomes) == final_statuses(GRAPH, outcomes) == dict.fromkeys("ab", Status.SUCCEEDED)


def test_the_model_takes_observations_alone() -> None:
    """Something else changes nothing."""
    model = Model(GRAPH)

    with pytest.raises(UsageError, match=r"such as Begin\(\), not int: 3"):
        model.observe(WRONG)
    assert not model.has_begun


def test_a_profile_that_is_refused_changes_nothing() -> None:
    """The one before stays loaded."""
    before = settings.get_current_profile_name()

    with pytest.raises(UsageError):
        load_profile("fast")
    assert settings.get_current_profile_name() == before
