"""Graphs that nobody here drew, run to the end under random outcomes, against the model.

They are other people's data, and lie beside the repository, not in it.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any, Final

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    Definition,
    Failed,
    Graph,
    Node,
    Outcome,
    Skipped,
    State,
    Succeeded,
    Trigger,
    advance,
)
from dyrygent_core.codec import decode_definition, encode_definition
from dyrygent_core.invariants import check_state
from dyrygent_testing import final_statuses

FOLDER: Final = Path(__file__).parents[3] / "shared" / "data" / "dags"
NAMES: Final = (
    "airflow-example-complex",
    "argo-dag-nested",
    "cargo-uv-lock",
    "dask-cholesky-37",
    "dbt-tuva-models",
    "gha-uv-ci",
    "git-celery-commits",
    "kfp-automl-tabular-v2",
    "wf-makeflow-bwa-small",
    "wf-nextflow-rnaseq",
    "wf-pegasus-epigenomics-ilmn-6seq-50k",
    "wf-pegasus-montage-dss-15d",
)
RULES: Final = (*Trigger, *[Trigger.ALL_SUCCESS] * len(Trigger), *[Trigger.ALL_DONE] * 2)


@pytest.fixture(params=NAMES)
def nodes(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Read the nodes of one graph."""
    for path in (FOLDER / f"{request.param}.json", FOLDER / f"{request.param}.json.gz"):
        if path.exists():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            read: list[dict[str, Any]] = json.loads(data)["nodes"]
            return read
    pytest.skip(f"{request.param} is not in ../{FOLDER.parent.parent.name}/data/dags beside the repository")


def test_real_graphs_end_as_the_model_says(nodes: list[dict[str, Any]]) -> None:
    """Whatever fails or stops itself, every node ends as a fixpoint over the whole graph says, and can be written."""
    chance = random.Random(len(nodes))  # reproducible on purpose
    graph = Graph(
        Node(
            node["id"],
            node["deps"],
            trigger=chance.choice(RULES) if node["deps"] else Trigger.ALL_SUCCESS,
            allow_failure=chance.random() < 0.1,
        )
        for node in nodes
    )
    outcomes = {node.id: _outcome(Attempt(node.id), chance) for node in graph.nodes}

    state, emitted = advance(graph, State.initial(graph), [Begin()])
    waiting = list(emitted)
    while waiting:
        at = chance.randrange(len(waiting))
        waiting[at], waiting[-1] = waiting[-1], waiting[at]
        state, more = advance(graph, state, [outcomes[waiting.pop().node]])
        waiting += more

    assert state.is_finished
    assert state.statuses == final_statuses(graph, {node: (outcome,) for node, outcome in outcomes.items()})
    check_state(state)
    assert decode_definition(encode_definition(Definition(graph))).graph == graph


def _outcome(attempt: Attempt, chance: random.Random) -> Outcome:
    what = chance.random()
    if what < 0.02:
        return Failed(attempt)
    return Skipped(attempt) if what < 0.04 else Succeeded(attempt)
