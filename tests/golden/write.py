"""Write the golden files of the stories that have none: `python -m tests.golden.write`. None is ever written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from dyrygent_core import Definition, Graph, State, Workflow, advance
from dyrygent_core.codec import (
    JSON_VALUES,
    Snapshot,
    digest,
    encode_call,
    encode_definition,
    encode_observation,
    encode_snapshot,
)
from dyrygent_core.codec.snapshots import Emission
from tests.golden.stories import STORIES, Story

FOLDER: Final = Path(__file__).parent / "format-1"


def golden(story: Story) -> dict[str, Any]:
    """Tell a story: what is written down, and what is emitted at each position."""
    told_of, observations = story
    definition, calls = _written(told_of)
    graph = definition.graph
    state = State.initial(graph)
    told: list[dict[str, Any]] = []
    emitted: dict[Any, Emission] = {}
    for position, observation in enumerate(observations, start=1):
        state, attempts = advance(graph, state, [observation])
        emitted |= {attempt: Emission(position, observation.at_ms) for attempt in attempts}
        snapshot = Snapshot(state, position, f"nonce {position}", {it: emitted[it] for it in state.attempts_in_flight})
        told.append(
            {
                "entry": encode_observation(observation),
                "at_ms": observation.at_ms,
                "emitted": [[it.node, it.index, it.number] for it in attempts],
                "snapshot": encode_snapshot(snapshot).decode(),
            }
        )
    return {
        "definition": encode_definition(definition).decode(),
        **calls,
        "told": told,
        "statuses": {node: status.name for node, status in state.statuses.items()},
        "state": state.workflow_state.name,
    }


def _written(told_of: Graph | Workflow) -> tuple[Definition, dict[str, Any]]:
    """Give a definition and, of a workflow, its calls and the digest of both."""
    if isinstance(told_of, Graph):
        sinks = told_of.sinks
        return Definition(told_of, kept=frozenset(sinks), engine_named=frozenset(sinks[:1])), {}
    definition, calls = told_of.build()
    nodes = definition.graph.nodes
    return definition, {
        "calls": [encode_call(node.id, it, JSON_VALUES).decode() for node, it in zip(nodes, calls, strict=True)],
        "digest": digest(definition, calls, JSON_VALUES, told_of.generated),
        "generated": sorted(told_of.generated),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, story in STORIES.items():
        path = FOLDER / f"{name.replace(' ', '-')}.json"
        if not path.exists():
            path.write_text(json.dumps(golden(story), indent=1) + "\n")
