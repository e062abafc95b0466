"""What format 1 wrote is read for ever, and emits what it emitted then."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from dyrygent_core import Graph, State, advance
from dyrygent_core.codec import (
    JSON_VALUES,
    decode_call,
    decode_definition,
    decode_observation,
    decode_snapshot,
    digest,
    encode_call,
    encode_definition,
    encode_observation,
    encode_snapshot,
)
from dyrygent_core.invariants import check_state
from tests.golden.stories import STORIES
from tests.golden.write import FOLDER, golden

FILES: Final = sorted(FOLDER.glob("*.json"))


def test_every_story_has_its_file() -> None:
    """No story is without its file, and no file without its story: both are kept."""
    assert {path.stem for path in FILES} == {name.replace(" ", "-") for name in STORIES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_journal_of_format_1_replays(path: Path) -> None:
    """Position by position it emits what it emitted when it was written, and ends where it ended."""
    kept = json.loads(path.read_text())
    graph = decode_definition(kept["definition"].encode()).graph
    state = State.initial(graph)

    for told in kept["told"]:
        state, emitted = advance(graph, state, [decode_observation(told["entry"], told["at_ms"])])
        assert [[it.node, it.index, it.number] for it in emitted] == told["emitted"]
        check_state(state)

    assert {node: status.name for node, status in state.statuses.items()} == kept["statuses"]
    assert state.workflow_state.name == kept["state"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_written_is_written_again(path: Path) -> None:
    """Read and written once more, every value is the same text."""
    kept = json.loads(path.read_text())
    definition = decode_definition(kept["definition"].encode())

    assert encode_definition(definition).decode() == kept["definition"]
    for told in kept["told"]:
        assert encode_observation(decode_observation(told["entry"])) == told["entry"]
        snapshot = decode_snapshot(told["snapshot"].encode(), definition.graph)
        again = decode_snapshot(encode_snapshot(snapshot), definition.graph)
        assert again == snapshot  # and not the bytes: zlib may pack them in another way


def test_what_was_written_of_calls_is_written_again() -> None:
    """And what a digest stands for has that digest for ever."""
    kept = json.loads((FOLDER / "calls.json").read_text())
    definition = decode_definition(kept["definition"].encode())
    calls = [decode_call(text.encode(), JSON_VALUES) for text in kept["calls"]]

    nodes = definition.graph.nodes
    assert [encode_call(node.id, it, JSON_VALUES).decode() for node, it in zip(nodes, calls, strict=True)] == kept[
        "calls"
    ]
    assert digest(definition, calls, JSON_VALUES, frozenset(kept["generated"])) == kept["digest"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_snapshot_of_format_1_is_gone_on_from(path: Path) -> None:
    """From every position's snapshot, the rest emits the same, and ends the same."""
    kept = json.loads(path.read_text())
    graph = decode_definition(kept["definition"].encode()).graph

    for position, told in enumerate(kept["told"], start=1):
        snapshot = decode_snapshot(told["snapshot"].encode(), graph)
        assert snapshot.position == position
        assert set(snapshot.emitted) == set(snapshot.state.attempts_in_flight)
        assert _rest(graph, snapshot.state, kept["told"][position:]) == [
            it["emitted"] for it in kept["told"][position:]
        ]


def _rest(graph: Graph, state: State, told: list[dict[str, Any]]) -> list[list[list[Any]]]:
    emissions = []
    for each in told:
        state, emitted = advance(graph, state, [decode_observation(each["entry"], each["at_ms"])])
        emissions.append([[it.node, it.index, it.number] for it in emitted])
    return emissions


@pytest.mark.parametrize("name", STORIES)
def test_the_stories_are_those_of_the_files(name: str) -> None:
    """What a story gives today, but for how snapshots are packed, is what its file holds."""
    kept = json.loads((FOLDER / f"{name.replace(' ', '-')}.json").read_text())
    told = golden(STORIES[name])

    for each in (*kept["told"], *told["told"]):
        del each["snapshot"]
    assert told == kept


# The documentation

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reference" / "format.md"
PAYLOADS: Final = {"args", "kwargs", "options", "output"}
"""Fields whose inside is the user's."""


def test_every_field_that_is_documented_is_in_a_golden_file() -> None:
    """What a reader is told of, an example shows; and no example has a field of which nothing is told."""
    of_the_core = DOCUMENT.read_text().partition("\n### As journals keep them\n")[0]
    rows = [line for line in of_the_core.splitlines() if line.startswith("|")]
    documented = set(re.findall(r"`([a-z_]+)`", "".join(rows)))

    assert documented - _written() == set()
    assert _written() - documented == set()


def _written() -> set[str]:
    """Give the names of all fields, and of all kinds of observations, that are in golden files."""
    names = set[str]()
    for path in FILES:
        kept = json.loads(path.read_text())
        entries = [json.loads(told["entry"]) for told in kept["told"]]
        names |= {entry["t"] for entry in entries}
        texts = [
            kept["definition"],
            *kept.get("calls", ()),
            *(told["snapshot"].split("\n")[0] for told in kept["told"]),
        ]
        names |= set(_fields([*entries, *map(json.loads, texts)]))
    return names


def _fields(values: Iterable[Any]) -> Iterator[str]:
    """Give the names of fields in values, at any depth; not numbers, which are names of nodes."""
    for value in values:
        if isinstance(value, dict):
            yield from (name for name in value if not name.isdigit())
            yield from _fields(inside for name, inside in value.items() if name not in PAYLOADS)
