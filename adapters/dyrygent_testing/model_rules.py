"""What a node's dependencies make of it: the rules as plain predicates, written from what they mean.

None of the tables of `dyrygent_core.rules` is read here; that both say the same is what the property tests show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import frozen

from dyrygent_core import Condition, Graph, Node, Status, Trigger
from dyrygent_testing.subjects import check_kind

__all__ = ["Branches", "fate"]

Branches = Mapping[str, tuple[str, ...] | None]
"""Of those nodes that chose among their dependents, the ids of those that they took."""


def fate(graph: Graph, node: Node, final: Mapping[str, Status], branches: Branches | None = None) -> Status | None:
    """Return what a node's dependencies make of it: SCHEDULED if it runs, None while that is open.

    `final` has the statuses of those dependencies that are final. To a dependent that it did not take, a node that
    chose is as good as skipped.
    Raises `UsageError` for what is none of that, and `UnknownNodeError` for a node that waits for one not in the graph.
    """
    check_kind("the graph", graph, Graph, "a Graph, such as workflow.build()[0].graph")
    check_kind("the node", node, Node, "a Node, such as graph.node('a')")
    check_kind("final", final, Mapping, "{node id: Status}")
    if branches is not None:
        check_kind("branches", branches, Mapping, "{node id: ids of those that it took}")
    dependencies: list[_Dependency] = []
    for edge in node.depends_on:
        taken = None if branches is None else branches.get(edge.node)
        dependencies.append(
            _Dependency(
                wants=edge.condition or _SHORTHANDS.get(node.trigger),
                status=Status.SKIPPED if taken is not None and node.id not in taken else final.get(edge.node),
                is_allowed=graph.node(edge.node).allow_failure,
            )
        )
    return _OR_RULES.get(node.trigger, _all_hold)(dependencies)


@frozen
class _Dependency:
    """One edge: what it wants, and what became of the node at its other end; None if that is not final."""

    wants: Condition | None
    status: Status | None
    is_allowed: bool

    @property
    def is_open(self) -> bool:
        return self.status is None

    @property
    def is_good(self) -> bool:
        """Whether it succeeded, or failed and that is allowed."""
        return self.status is Status.SUCCEEDED or (self.status is Status.FAILED and self.is_allowed)

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong there, or before it, that nobody allowed."""
        return (self.status is Status.FAILED and not self.is_allowed) or self.status in (
            Status.UPSTREAM_FAILED,
            Status.CANCELLED,
        )

    @property
    def is_failed(self) -> bool:
        """Whether something went wrong there or before it, allowed or not."""
        return self.status in (Status.FAILED, Status.UPSTREAM_FAILED, Status.CANCELLED)


def _all_hold(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run when every edge has what it wants; fail with the first that spoils it; else be skipped, at the end."""
    if any(_spoils(each) for each in dependencies):
        return Status.UPSTREAM_FAILED
    if any(each.is_open for each in dependencies):
        return None
    return Status.SCHEDULED if all(_holds(each) for each in dependencies) else Status.SKIPPED


def _spoils(each: _Dependency) -> bool:
    match each.wants:
        case Condition.SUCCEEDED | Condition.NOT_FAILED:
            return each.is_bad
        case Condition.FAILED | Condition.SKIPPED | Condition.IF_SUCCEEDED:
            return each.status is Status.CANCELLED
        case _:
            return False


def _holds(each: _Dependency) -> bool:
    match each.wants:
        case Condition.SUCCEEDED:
            return each.is_good
        case Condition.IF_SUCCEEDED:
            return each.status is Status.SUCCEEDED
        case Condition.NOT_FAILED:
            return each.is_good or each.status is Status.SKIPPED
        case Condition.FAILED:
            return each.status in (Status.FAILED, Status.UPSTREAM_FAILED)
        case Condition.SKIPPED:
            return each.status is Status.SKIPPED
        case _:
            return True


def _one_success(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run at the first success; without any, fail if something failed."""
    if any(each.is_good for each in dependencies):
        return Status.SCHEDULED
    if any(each.is_open for each in dependencies):
        return None
    return Status.UPSTREAM_FAILED if any(each.is_bad for each in dependencies) else Status.SKIPPED


def _one_failed(dependencies: Sequence[_Dependency]) -> Status | None:
    """Run at the first failure; without any, be skipped."""
    if any(each.is_failed for each in dependencies):
        return Status.SCHEDULED
    return None if any(each.is_open for each in dependencies) else Status.SKIPPED


def _none_failed_min_one_success(dependencies: Sequence[_Dependency]) -> Status | None:
    """Fail at the first failure; run at the end if something succeeded."""
    if any(each.is_bad for each in dependencies):
        return Status.UPSTREAM_FAILED
    if any(each.is_open for each in dependencies):
        return None
    return Status.SCHEDULED if any(each.is_good for each in dependencies) else Status.SKIPPED


_SHORTHANDS: Final = {
    Trigger.ALL_SUCCESS: Condition.SUCCEEDED,
    Trigger.NONE_FAILED: Condition.NOT_FAILED,
    Trigger.ALL_FAILED: Condition.FAILED,
    Trigger.ALL_DONE: Condition.DONE,
}
_OR_RULES: Final[Mapping[Trigger, Callable[[Sequence[_Dependency]], Status | None]]] = {
    Trigger.ONE_SUCCESS: _one_success,
    Trigger.ONE_FAILED: _one_failed,
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
}
