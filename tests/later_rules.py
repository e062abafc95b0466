"""Rules of a release to come, to be followed beside today's: what they decide otherwise, a test can see.

A skipped dependency holds nothing up: who needs its success runs. And `done` is for what went wrong: a node that only
waits for successes under `all_done` is skipped. The first is decided by the slow loops, the second by the fast ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from dyrygent_core import Call, Condition, Definition, Graph, Workflow
from dyrygent_core.rules import AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, RULES_VERSION, Effect
from dyrygent_core.versions import KNOWN_RULES, Rules

__all__ = ["BOTH", "LATER", "LaterWorkflow", "under"]


def _changed(condition: Condition, column: str, effect: Effect) -> tuple[Effect, ...]:
    at = OUTCOME_COLUMNS.index(column)
    effects = EDGE_EFFECTS[condition]
    return (*effects[:at], effect, *effects[at + 1 :])


LATER: Final = Rules(
    RULES_VERSION + 1,
    {
        **EDGE_EFFECTS,
        Condition.SUCCEEDED: _changed(Condition.SUCCEEDED, "SKIPPED", Effect.HOLD),
        Condition.DONE: _changed(Condition.DONE, "SUCCEEDED", Effect.TAINT),
    },
    AT_ZERO,
)
BOTH: Final[Mapping[int, Rules]] = {**KNOWN_RULES, LATER.version: LATER}
"""What the release to come knows."""


def under(graph: Graph, rules: Rules) -> Graph:
    """Give the same graph, following these rules."""
    return Graph(
        graph.nodes,
        max_in_flight=graph.max_in_flight,
        mode=graph.mode,
        deadline_ms=graph.deadline_ms,
        rules=rules,
    )


class LaterWorkflow(Workflow):
    """Builds what the release to come would."""

    def build(self) -> tuple[Definition, tuple[Call, ...]]:
        definition, calls = super().build()
        return evolve(definition, graph=under(definition.graph, LATER)), calls
