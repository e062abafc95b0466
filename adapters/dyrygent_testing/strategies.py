"""Hypothesis strategies: graphs, and what they are made of.

What they draw shrinks to few nodes with short names, plain, without policies.
What may happen to a graph is drawn in `history_strategies`, workflows as a user builds them in `workflow_strategies`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any, Final

from hypothesis import strategies as st

from dyrygent_core import (
    Condition,
    Each,
    Edge,
    Graph,
    Mode,
    Node,
    OnLoss,
    RetryPolicy,
    Role,
    Trigger,
    UsageError,
)
from dyrygent_core.nodes import Path
from dyrygent_testing.subjects import check_kind, check_size, check_strategy, list_of, members_of, some_of

__all__ = ["OR_RULES", "graphs", "joins", "node_ids", "payloads", "policies"]

OR_RULES: Final = frozenset({Trigger.ONE_SUCCESS, Trigger.ONE_FAILED, Trigger.NONE_FAILED_MIN_ONE_SUCCESS})

_RETRIES: Final = (
    RetryPolicy(1_000),
    RetryPolicy(),
    RetryPolicy(10_000, 1.5, 12_000),
    RetryPolicy(1_000, 1, 500),
    RetryPolicy(1_000, jitter=0.5),
)
_PATHS: Final[tuple[Path, ...]] = ((), ("items",), ("pages", 0))
_ORDINARY_SHARE: Final = 6
"""Of those that wait for nothing, so many nodes are drawn as ordinary ones for each of another role."""
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


def policies(
    *,
    retries: Sequence[RetryPolicy] = _RETRIES,
    priorities: Sequence[int] = (1, -1),
    timeouts_ms: Sequence[int] = (1_000, 60_000),
) -> st.SearchStrategy[Mapping[str, Any]]:
    """Draw what `Node` takes beside its edges: retries, losses, an allowed failure, a priority, a time-out.

    `retries`, `priorities`, `timeouts_ms`: those that may occur; where there are none, no node has any.
    They shrink to nothing at all, or to what changes nothing.

    Raises `UsageError` for what no node can have.
    """
    retries = list_of("retries", retries, "RetryPolicy(…)")
    for retry in retries:
        Node("a", retry=retry)
    priorities = list_of("priorities", priorities, "whole numbers")
    for priority in priorities:
        Node("a", priority=priority)
    timeouts_ms = list_of("timeouts_ms", timeouts_ms, "milliseconds")
    for timeout_ms in timeouts_ms:
        Node("a", timeout_ms=timeout_ms)
    return _policies(retries, priorities, timeouts_ms)


@st.composite
def _policies(
    draw: st.DrawFn, retries: Sequence[RetryPolicy], priorities: Sequence[int], timeouts_ms: Sequence[int]
) -> Mapping[str, Any]:
    policy: dict[str, Any] = {}
    if draw(st.booleans()):
        policy["allow_failure"] = draw(st.booleans())
    if draw(st.booleans()) and retries:
        policy["max_attempts"] = draw(st.sampled_from([2, 3, 1]))
        policy["retry"] = draw(st.sampled_from(retries))
    if draw(st.booleans()):
        policy["on_loss"] = draw(st.sampled_from(OnLoss))
        policy["max_losses"] = draw(st.integers(1, 3))
    if priorities:
        policy["priority"] = draw(st.sampled_from([0, 0, *priorities]))
    if timeouts_ms:
        policy["timeout_ms"] = draw(st.sampled_from([None, None, *timeouts_ms]))
    return policy


def graphs(
    *,
    min_nodes: int = 0,
    max_nodes: int = 8,
    ids: st.SearchStrategy[str] | None = None,
    triggers: Sequence[Trigger | str] = tuple(Trigger),
    conditions: Sequence[Condition | str] = tuple(Condition),
    policies: st.SearchStrategy[Mapping[str, Any]] | None = policies(),  # noqa: B008  # strategies are values
    paths: Sequence[Path] = _PATHS,
    roles: Sequence[Role | str] = tuple(Role),
    modes: Sequence[Mode | str] = tuple(Mode),
    limits: Sequence[int | None] = (None, 1, 2, 3),
) -> st.SearchStrategy[Graph]:
    """Draw any DAG, declared in any order.

    `ids`: short plain names by default. `triggers`, `conditions`, `roles`, `modes`: those that may occur; a node
    that waits for nothing has the rule `all_success`, and no conditions at all leave every edge to its node's rule.
    `policies`: the rest of what `Node` takes, see `policies()`; None draws no retries, allowed failures or priorities.
    `paths`: where in a result a mapped node may find its list; with none, no node is mapped.
    `limits`: what `max_in_flight` may be.

    Graphs shrink to few nodes without edges, named `a`, `b`, … in order.

    Raises `UsageError` for what no graph can be.
    """
    check_size("min_nodes", min_nodes)
    check_size("max_nodes", max_nodes)
    if min_nodes > max_nodes:
        message = f"no graph has at least {min_nodes} and at most {max_nodes} nodes; swap them, or raise max_nodes"
        raise UsageError(message)
    if ids is not None:
        check_strategy("ids", ids, "node_ids()")
    if policies is not None:
        check_strategy("policies", policies, "policies(retries=())")
    paths = list_of("paths", paths, "paths, such as ('items',)")
    for path in paths:
        Each("a", path)
    parts = _Parts(
        some_of(Trigger, "triggers", triggers),
        members_of(Condition, "conditions", conditions),
        _NO_POLICIES if policies is None else policies,
        paths,
        some_of(Role, "roles", roles),
    )
    return _graphs(_names(min_nodes, max_nodes, ids), parts, some_of(Mode, "modes", modes), _limits(limits))


_NO_POLICIES: Final = st.just(dict[str, Any]())


def _limits(limits: Sequence[int | None]) -> tuple[int | None, ...]:
    found = list_of("limits", limits, "whole numbers, or None")
    if not found:
        message = "limits=() leaves nothing to draw; name one, or leave limits out to draw any"
        raise UsageError(message)
    for limit in found:
        if limit == 0:
            message = "limits: with 0 attempts in flight at most, nothing would run; name 1 or more, or None"
            raise UsageError(message)
        Graph((), max_in_flight=limit)
    return found


def _names(least: int, most: int, ids: st.SearchStrategy[str] | None) -> st.SearchStrategy[list[str]]:
    if ids is not None:
        return st.lists(ids, min_size=least, max_size=most, unique=True)
    return st.integers(least, most).map(_plain_ids)


def _plain_ids(count: int) -> list[str]:
    return list(ascii_lowercase[:count]) if count <= len(ascii_lowercase) else [f"n{at}" for at in range(count)]


class _Parts:
    """What the nodes of a graph may be made of."""

    def __init__(
        self,
        triggers: Sequence[Trigger],
        conditions: Sequence[Condition],
        policies: st.SearchStrategy[Mapping[str, Any]],
        paths: Sequence[Path],
        roles: Sequence[Role],
    ) -> None:
        and_rules = [trigger for trigger in triggers if trigger not in OR_RULES]
        self.triggers = st.sampled_from([*triggers, *and_rules])  # these twice: they can do more
        self.triggers_of_roots = st.sampled_from(and_rules or [Trigger.ALL_SUCCESS])
        self.conditions = st.none() | st.sampled_from(conditions) if conditions else st.none()
        self.policies = policies
        self.is_mapped = st.sampled_from([False, True, True]) if paths else st.just(value=False)
        self.paths = st.sampled_from(paths) if paths else st.nothing()
        self.may_ask_for_success = Condition.SUCCEEDED in conditions
        others = [role for role in roles if role is not Role.NODE]
        self.roles = st.sampled_from([Role.NODE] * _ORDINARY_SHARE * (Role.NODE in roles) + others)


@st.composite
def _graphs(
    draw: st.DrawFn,
    names: st.SearchStrategy[list[str]],
    parts: _Parts,
    modes: Sequence[Mode],
    limits: Sequence[int | None],
) -> Graph:
    nodes: list[Node] = []
    for name in draw(names):
        nodes.append(draw(_nodes(name, [node for node in nodes if node.role is Role.NODE], parts)))
    return Graph(
        draw(st.permutations(nodes)),
        max_in_flight=draw(st.sampled_from(limits)),
        mode=draw(st.sampled_from(modes)),
        deadline_ms=draw(st.none() | st.integers(1, 2**53 - 1)),
    )


@st.composite
def _nodes(draw: st.DrawFn, name: str, earlier: Sequence[Node], parts: _Parts) -> Node:
    above = draw(st.lists(st.sampled_from(earlier), unique_by=id, max_size=4)) if earlier else []
    trigger = draw(parts.triggers if above else parts.triggers_of_roots)
    policy = draw(parts.policies)
    check_kind("what policies draws", policy, Mapping, "what Node takes, by name")
    if not above:  # a role is drawn after all else, so that it never makes the smaller example
        return Node(name, trigger=trigger, role=draw(parts.roles), **policy)
    is_or_rule = trigger in OR_RULES
    edges = {node.id: Edge(node.id, None if is_or_rule else draw(parts.conditions)) for node in above}
    each: Each | None = None
    mappable = [] if is_or_rule else [node for node in above if not node.allow_failure]
    if mappable and (parts.may_ask_for_success or trigger is Trigger.ALL_SUCCESS) and draw(parts.is_mapped):
        source = draw(st.sampled_from(mappable))
        edges[source.id] = Edge(source.id, None if trigger is Trigger.ALL_SUCCESS else Condition.SUCCEEDED)
        path: Path = () if source.each is not None else draw(parts.paths)
        each = Each(source.id, path)
    return Node(name, edges.values(), trigger=trigger, each=each, **policy)


def joins(*, max_degree: int = 310) -> st.SearchStrategy[Graph]:
    """Draw a graph of roots and one node that waits for all of them: more than 100, where counting needs a carry.

    They shrink to 99 roots that are not allowed to fail, or to `max_degree` if that is less.

    Raises `UsageError` for a degree below 1.
    """
    check_size("max_degree", max_degree, 1)
    return _joins(max_degree)


@st.composite
def _joins(draw: st.DrawFn, max_degree: int) -> Graph:
    degree = draw(st.sampled_from([99, 100, 101, 199, 200, 201, 300, 301]) | st.integers(1, max_degree))
    allowed = draw(st.sets(st.integers(0, degree - 1), max_size=3))  # drawn one by one, roots would be too much to draw
    roots = [Node(f"n{at}", allow_failure=at in allowed) for at in range(min(degree, max_degree))]
    trigger = draw(st.sampled_from(Trigger))
    return Graph([*roots, Node("join", [root.id for root in roots], trigger=trigger), Node("end", ["join"])])
