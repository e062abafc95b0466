"""Hypothesis strategies: graphs, workflows, what their nodes come to, and what may be observed of them.

What they draw shrinks to few nodes with short names, no policies, and everything succeeding.
Attempts that are in flight are found with the slow `Model`, so that no strategy leans on what it is to test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any, Final

from attrs import evolve
from hypothesis import strategies as st

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    CancelRequested,
    Condition,
    DeadlinePassed,
    Edge,
    Failed,
    Failure,
    Graph,
    Lost,
    Node,
    NodeHandle,
    Observation,
    OnLoss,
    Outcome,
    Ran,
    ResultRef,
    RetryDue,
    RetryPolicy,
    Skipped,
    Succeeded,
    Trigger,
    Workflow,
    call,
)
from dyrygent_testing.model import Model, Outcomes, result_of

__all__ = [
    "failures",
    "graphs",
    "histories",
    "joins",
    "node_ids",
    "observations",
    "outcomes_for",
    "payloads",
    "policies",
    "workflows",
]

PLAIN_POLICIES: Final = st.just(dict[str, Any]())
"""For `graphs(policies=…)`: no retries, no allowed failures."""

_OR_RULES: Final = frozenset({Trigger.ONE_SUCCESS, Trigger.ONE_FAILED, Trigger.NONE_FAILED_MIN_ONE_SUCCESS})
_RETRIES: Final = (RetryPolicy(1_000), RetryPolicy(), RetryPolicy(10_000, 1.5, 12_000), RetryPolicy(1_000, 1, 500))
_HOSTILE: Final = (
    "'; DROP TABLE nodes; --",
    "a -> b",
    "line\nbreak\ttab",
    "\u202egnp.exe",
    "__proto__",
    "x" * 255,
    "\U0001f3bb" * 255,
    "a#2",
    "{node}",
    " ",
)


def node_ids() -> st.SearchStrategy[str]:
    """Draw any text that may be an id: 1 to 255 characters, the awkward ones too."""
    character = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.sampled_from(_HOSTILE) | st.text(character, min_size=1, max_size=255)


def payloads() -> st.SearchStrategy[Any]:
    """Draw values that strict JSON brings back as they were."""
    plain = (
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    )


@st.composite
def policies(draw: st.DrawFn) -> Mapping[str, Any]:
    """Draw what `Node` takes beside its edges: retries, losses, an allowed failure."""
    policy: dict[str, Any] = {}
    if draw(st.booleans()):
        policy["allow_failure"] = draw(st.booleans())
    if draw(st.booleans()):
        policy["max_attempts"] = draw(st.sampled_from([2, 3, 1]))
        policy["retry"] = draw(st.sampled_from(_RETRIES))
    if draw(st.booleans()):
        policy["on_loss"] = draw(st.sampled_from(OnLoss))
        policy["max_losses"] = draw(st.integers(1, 3))
    return policy


@st.composite
def graphs(
    draw: st.DrawFn,
    *,
    min_nodes: int = 0,
    max_nodes: int = 8,
    ids: st.SearchStrategy[str] | None = None,
    triggers: Sequence[Trigger] = tuple(Trigger),
    conditions: Sequence[Condition] = tuple(Condition),
    policies: st.SearchStrategy[Mapping[str, Any]] = policies(),  # noqa: B008  # strategies are values
) -> Graph:
    """Draw any DAG, declared in any order.

    `ids`: short plain names by default. `triggers`, `conditions`: those that may occur; no conditions at all leave
    every edge to its node's rule. `policies`: the rest of what `Node` takes, see `policies()` and `PLAIN_POLICIES`.
    """
    count = draw(st.integers(min_nodes, max_nodes))
    names = _plain_ids(count) if ids is None else draw(st.lists(ids, min_size=count, max_size=count, unique=True))
    nodes = [
        draw(_nodes(name, earlier=names[:at], triggers=triggers, conditions=conditions, policies=policies))
        for at, name in enumerate(names)
    ]
    return Graph(draw(st.permutations(nodes)), deadline_ms=draw(st.none() | st.integers(1, 2**53 - 1)))


def _plain_ids(count: int) -> list[str]:
    return list(ascii_lowercase[:count]) if count <= len(ascii_lowercase) else [f"n{at}" for at in range(count)]


@st.composite
def _nodes(
    draw: st.DrawFn,
    name: str,
    *,
    earlier: Sequence[str],
    triggers: Sequence[Trigger],
    conditions: Sequence[Condition],
    policies: st.SearchStrategy[Mapping[str, Any]],
) -> Node:
    above = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=4)) if earlier else []
    possible = [trigger for trigger in triggers if above or trigger not in _OR_RULES] or [Trigger.ALL_SUCCESS]
    trigger = draw(st.sampled_from(possible))
    own = st.none() if trigger in _OR_RULES or not conditions else st.none() | st.sampled_from(conditions)
    edges = [Edge(node, draw(own)) for node in above]
    return Node(name, edges, trigger=trigger, **draw(policies))


@st.composite
def joins(draw: st.DrawFn, *, max_degree: int = 310) -> Graph:
    """Draw a graph of roots and one node that waits for all of them: more than 100, where counting needs a carry."""
    degree = draw(st.sampled_from([99, 100, 101, 199, 200, 201, 300, 301]) | st.integers(1, max_degree))
    allowed = draw(st.sets(st.integers(0, degree - 1), max_size=3))  # drawn one by one, roots would be too much to draw
    roots = [Node(f"n{at}", allow_failure=at in allowed) for at in range(min(degree, max_degree))]
    trigger = draw(st.sampled_from(Trigger))
    return Graph([*roots, Node("join", [root.id for root in roots], trigger=trigger), Node("end", ["join"])])


def failures() -> st.SearchStrategy[Failure]:
    """Draw why something failed."""
    args = st.none() | st.lists(payloads(), max_size=2).map(tuple)
    text = st.text(max_size=10)
    return st.builds(Failure, st.sampled_from(["ValueError", "KeyError"]), text, text, args)


@st.composite
def outcomes_for(draw: st.DrawFn, graph: Graph) -> Outcomes:
    """Draw, for each node, what its attempts come to if they are run, until its policy makes the node final."""
    return {node.id: draw(_until_final(node)) for node in graph.nodes}


@st.composite
def _until_final(draw: st.DrawFn, node: Node) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    while not outcomes or result_of(node, outcomes) is None:
        outcomes.append(draw(_plain_outcomes(Attempt(node.id, 0, len(outcomes) + 1))))
    return tuple(outcomes)


def _plain_outcomes(attempt: Attempt) -> st.SearchStrategy[Outcome]:
    every: list[Outcome] = [
        Succeeded(attempt),
        Failed(attempt),
        Lost(attempt),
        Skipped(attempt),
        Failed(attempt, is_final=True),
        Failed(attempt, is_revoked=True),
    ]
    return st.sampled_from(every)


@st.composite
def observations(draw: st.DrawFn, *, ids: st.SearchStrategy[str] | None = None) -> Observation:
    """Draw any observation of any attempt, with all that it may carry."""
    attempt = Attempt(draw(node_ids() if ids is None else ids), draw(st.integers(0, 3)), draw(st.integers(1, 4)))
    text = st.text(max_size=10)
    ran = st.none() | st.builds(Ran, st.integers(0, 2**53), st.integers(0, 2**53), text)
    every: list[st.SearchStrategy[Observation]] = [
        st.just(Begin()),
        st.builds(Succeeded, st.just(attempt), ran),
        st.builds(Failed, st.just(attempt), failures(), ran=ran, is_final=st.booleans(), is_revoked=st.booleans()),
        st.builds(Lost, st.just(attempt), text),
        st.builds(Skipped, st.just(attempt), text, ran),
        st.just(RetryDue(attempt)),
        st.builds(CancelRequested, text),
        st.just(DeadlinePassed()),
    ]
    drawn: Observation = draw(st.one_of(every))
    return evolve(drawn, at_ms=draw(st.integers(0, 2**53)))


@st.composite
def histories(
    draw: st.DrawFn,
    graph: Graph,
    *,
    max_size: int = 30,
    requests: Sequence[Observation] = (CancelRequested(), DeadlinePassed()),
) -> tuple[Observation, ...]:
    """Draw what a journal may hold: causes before effects, and among them the late, the repeated and the impossible.

    `requests`: what may come from outside at any time; `()` leaves every node to its own outcome.
    Times never go back. A history may stop anywhere.
    """
    model = Model(graph)
    history: list[Observation] = []
    at_ms = 0
    for _ in range(draw(st.integers(0, max_size))):
        at_ms += draw(st.sampled_from([0, 1, 1_000, 20_000]))
        observation = evolve(_next(draw, model, history, requests), at_ms=at_ms)
        model.observe(observation)
        history.append(observation)
    return tuple(history)


def _next(
    draw: st.DrawFn, model: Model, history: Sequence[Observation], requests: Sequence[Observation]
) -> Observation:
    expected: list[Observation | Attempt] = [] if model.has_begun else [Begin()]
    expected += model.in_flight
    expected += [RetryDue(attempt) for attempt, _ in model.delayed]
    if expected and draw(st.integers(0, 9)) < _EXPECTED_OF_TEN:
        chosen = draw(st.sampled_from(expected))
        return draw(_plain_outcomes(chosen)) if isinstance(chosen, Attempt) else chosen
    kinds = [kind for kind in (history, requests) if kind]
    if draw(st.booleans()) and kinds:
        return draw(st.sampled_from(draw(st.sampled_from(kinds))))
    return _stray(draw, model)


_EXPECTED_OF_TEN: Final = 8


def _stray(draw: st.DrawFn, model: Model) -> Observation:
    """Draw what nobody is waiting for, as a rule: of any node, or of one that is not there."""
    name = draw(st.sampled_from([*model.statuses, "nobody"]))
    attempt = Attempt(name, draw(st.sampled_from([0, 0, 1])), draw(st.integers(1, 4)))
    others: list[Observation] = [RetryDue(attempt), Begin()]
    return draw(st.sampled_from(others) | _plain_outcomes(attempt))


@st.composite
def workflows(draw: st.DrawFn, *, max_nodes: int = 6) -> Workflow:
    """Draw a workflow as a user builds it: generated and given ids, references anywhere, edges of every kind."""
    workflow = Workflow(draw(st.text(max_size=5)), deadline=draw(st.none() | st.integers(1, 10**9)))
    handles: list[NodeHandle] = []
    without_result: set[str] = set()  # who may fail and let others run all the same
    for at in range(draw(st.integers(0, max_nodes))):
        trigger = draw(st.sampled_from(Trigger)) if handles else Trigger.ALL_SUCCESS
        after = draw(_some(handles))
        if trigger in _OR_RULES:
            after = after or handles[:1]
        referred: list[ResultRef] = []
        if trigger not in (Trigger.ONE_SUCCESS, Trigger.ONE_FAILED):  # these run too early to read results
            for handle in draw(_some(handles)):
                is_sure = handle not in after and handle.id not in without_result and trigger not in _OR_RULES
                reference = draw(_references(handle))
                referred.append(reference if is_sure and draw(st.booleans()) else reference.default(draw(payloads())))
        policy = draw(policies())
        handles.append(
            workflow.add(
                draw(_calls(referred)),
                id=draw(st.none() | st.just(f"given {at}")),
                after=after if trigger in _OR_RULES else [draw(_edges(handle)) for handle in after],
                trigger=trigger,
                **policy,
            )
        )
        if policy.get("allow_failure"):
            without_result.add(handles[-1].id)
    if draw(st.booleans()) and handles:
        workflow.returns([handle.result for handle in handles])
    return workflow


def _some(handles: Sequence[NodeHandle]) -> st.SearchStrategy[list[NodeHandle]]:
    return st.lists(st.sampled_from(handles), unique=True, max_size=3) if handles else st.just(list[NodeHandle]())


def _edges(handle: NodeHandle) -> st.SearchStrategy[NodeHandle | Edge]:
    return st.sampled_from([handle, handle.done, handle.failed, handle.skipped, handle.not_failed])


@st.composite
def _references(draw: st.DrawFn, handle: NodeHandle) -> ResultRef:
    reference = handle.result
    for key in draw(st.lists(st.text(max_size=3) | st.integers(-2, 2), max_size=2)):
        reference = reference[key]
    return reference


@st.composite
def _calls(draw: st.DrawFn, referred: Sequence[ResultRef]) -> Call:
    leaves = [draw(st.sampled_from([reference, [1, reference], {"in": reference}])) for reference in referred]
    options = draw(st.dictionaries(st.sampled_from(["queue", "priority"]), st.text(max_size=3), max_size=1))
    target = draw(st.sampled_from(["users.create", "mail.send"]))
    return call(target, *leaves, draw(payloads()), key=draw(payloads())).with_options(**options)
