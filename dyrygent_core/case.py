"""One node to explain: where it stands, and what is known of how it came there."""

from __future__ import annotations

from attrs import frozen

from dyrygent_core.graph import Graph
from dyrygent_core.nodes import Node, Role
from dyrygent_core.past import Past
from dyrygent_core.phrases import either, in_brackets
from dyrygent_core.state import State

__all__ = ["Case"]


@frozen
class Case:
    """One node to explain: in which graph and state, and with what known of its past."""

    graph: Graph
    state: State
    number: int
    past: Past

    @property
    def node(self) -> Node:
        """The node as it was declared."""
        return self.graph.nodes[self.number]

    @property
    def is_mapped(self) -> bool:
        """Whether it has instances instead of attempts."""
        return self.number in self.graph.mapped

    @property
    def is_ordinary(self) -> bool:
        """Whether it is no node of the whole workflow."""
        return self.node.role is Role.NODE

    @property
    def cancel_reason(self) -> str:
        """The reason of the cancel, in brackets, where it is known."""
        return "" if self.past.cancel is None else in_brackets(self.past.cancel.reason)

    @property
    def pause_reason(self) -> str:
        """The reason of the pause, in brackets, where it is known; of several that it may be, each."""
        reasons = dict.fromkeys(pause.reason for pause in self.past.pauses)
        return f" ({either(list(reasons))})" if all(reasons) and reasons else ""
