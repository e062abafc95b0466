"""Two versions of the rules side by side (P7): each workflow follows its own, and an older release refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from dyrygent_core import (
    Attempt,
    Begin,
    Definition,
    Graph,
    Node,
    Observation,
    Skipped,
    State,
    Succeeded,
    advance,
    explain,
)
from dyrygent_core.codec import (
    JSON_VALUES,
    Snapshot,
    decode_definition,
    decode_observation,
    decode_snapshot,
    digest,
    encode_definition,
    encode_observation,
    encode_snapshot,
)
from dyrygent_core.errors import UnsupportedVersionError, UsageError
from dyrygent_core.invariants import check_state
from dyrygent_core.rules import AT_ZERO, EDGE_EFFECTS, RULES_VERSION
from dyrygent_core.versions import KNOWN_RULES, NEWEST_RULES, Rules
from tests.later_rules import BOTH, LATER, under

GRAPH: Final = Graph(
    [
        Node("check"),
        Node("load"),
        Node("publish", ["check", "load"]),
        Node("repair", ["load"], trigger="all_done"),
    ]
)
FACTS: Final = (Begin(), Skipped(Attempt("check")), Succeeded(Attempt("load")))
TODAY: Final = {"check": "SKIPPED", "load": "SUCCEEDED", "publish": "SKIPPED", "repair": "SCHEDULED"}
AFTERWARDS: Final = {"check": "SKIPPED", "load": "SUCCEEDED", "publish": "SCHEDULED", "repair": "SKIPPED"}


def ended(graph: Graph, facts: Sequence[Observation] = FACTS) -> dict[str, str]:
    """Fold one by one and all at once; give what both came to."""
    state, whole = State.initial(graph), State.initial(graph)
    for fact in facts:
        state, _ = advance(graph, state, [fact])
        check_state(state)
    whole, _ = advance(graph, whole, facts)
    assert state == whole
    return {node: status.name for node, status in state.statuses.items()}


def test_each_workflow_follows_its_own_rules() -> None:
    """In one process, in turns, from equal observations; what one decides does not reach the other."""
    later = under(GRAPH, LATER)
    today, afterwards = State.initial(GRAPH), State.initial(later)
    for fact in FACTS:
        today, _ = advance(GRAPH, today, [fact])
        afterwards, _ = advance(later, afterwards, [fact])

    assert {node: status.name for node, status in today.statuses.items()} == TODAY == ended(GRAPH)
    assert {node: status.name for node, status in afterwards.statuses.items()} == AFTERWARDS == ended(later)


@pytest.mark.parametrize("size", [3, 20_000])
def test_the_short_ways_follow_them_too(size: int) -> None:
    """Those that take successes only, in one page or in many, with one observation or all at once."""
    nodes = [Node("a"), *(Node(f"b{at}", ["a"], trigger="all_done") for at in range(size))]
    facts = [Begin(), Succeeded(Attempt("a"))]

    assert set(ended_large(Graph(nodes), facts)) == {"SUCCEEDED", "SCHEDULED"}
    assert set(ended_large(Graph(nodes, rules=LATER), facts)) == {"SUCCEEDED", "SKIPPED"}


def ended_large(graph: Graph, facts: Sequence[Observation]) -> list[str]:
    state = State.initial(graph)
    for fact in facts:
        state, _ = advance(graph, state, [fact])
    assert state == advance(graph, State.initial(graph), facts)[0]
    return [status.name for status in state.statuses.values()]


def test_why_is_told_by_the_rules_that_decided() -> None:
    """An explanation reads the tables that the workflow follows."""
    later = under(GRAPH, LATER)
    state, _ = advance(later, State.initial(later), FACTS)

    assert explain(later, state, "repair") == ("'repair' is SKIPPED: it waits for 'load' to end, which SUCCEEDED")
    assert "SCHEDULED" in explain(later, state, "publish")


# As it is written down


def test_a_definition_pins_its_rules() -> None:
    """Whoever knows them reads back what was written, and follows them."""
    for rules in BOTH.values():
        definition = Definition(under(GRAPH, rules))
        data = encode_definition(definition)

        read = decode_definition(data, BOTH)

        assert json.loads(data)["rules"] == rules.version
        assert (read, read.rules_version) == (definition, rules.version)
        assert read.graph.rules is rules
    assert definition != Definition(GRAPH)


def test_a_release_that_does_not_know_them_refuses() -> None:
    """Rather than decide by rules that it was not started under; what it knows it reads."""
    data = encode_definition(Definition(under(GRAPH, LATER)))

    with pytest.raises(UnsupportedVersionError) as caught:
        decode_definition(data)

    assert str(caught.value) == "this workflow follows rules 2; this release knows rules 1 to 1"
    assert decode_definition(encode_definition(Definition(GRAPH))).graph == GRAPH


@pytest.mark.parametrize("rules", BOTH.values(), ids=repr)
def test_a_snapshot_is_of_the_rules_of_its_graph(rules: Rules) -> None:
    """From one in the middle the rest goes on by the same rules; one of other rules is refused."""
    graph = under(GRAPH, rules)
    other = under(GRAPH, NEWEST_RULES if rules is LATER else LATER)
    state, _ = advance(graph, State.initial(graph), FACTS[:2])
    data = encode_snapshot(Snapshot(state, 2, "nonce"))

    read = decode_snapshot(data, graph).state

    assert read == state
    rest, emitted = advance(graph, read, FACTS[2:])
    assert (rest, emitted) == advance(graph, state, FACTS[2:])
    check_state(rest)
    with pytest.raises(UnsupportedVersionError, match=r"this snapshot follows rules \d, and its graph rules \d"):
        decode_snapshot(data, other)


REPLAY: Final = """
import json, sys
from dyrygent_core import State, advance
from dyrygent_core.codec import decode_definition, decode_observation
from tests.later_rules import BOTH
ends = []
for definition, entries in json.load(sys.stdin):
    graph = decode_definition(definition.encode(), BOTH).graph
    state, _ = advance(graph, State.initial(graph), [decode_observation(it) for it in entries])
    ends.append({node: status.name for node, status in state.statuses.items()})
print(json.dumps(ends))
"""


def test_a_fresh_process_comes_to_the_same() -> None:
    """It has nothing but what was written, of both workflows."""
    entries = [encode_observation(it) for it in FACTS]
    written = [[encode_definition(Definition(under(GRAPH, it))).decode(), entries] for it in BOTH.values()]
    root = Path(__file__).parents[2]

    told = subprocess.run(
        [sys.executable, "-c", REPLAY], input=json.dumps(written), capture_output=True, text=True, check=True, cwd=root
    )

    assert json.loads(told.stdout) == [TODAY, AFTERWARDS]
    assert [
        ended(decode_definition(it.encode(), BOTH).graph, [*map(decode_observation, entries)]) for it, _ in written
    ] == [
        TODAY,
        AFTERWARDS,
    ]


def test_a_digest_does_not_tell_rules() -> None:
    """So a start that is repeated by another release finds the workflow that it started (P7)."""
    digests = {digest(Definition(under(GRAPH, it)), [], JSON_VALUES) for it in BOTH.values()}

    assert len(digests) == 1


# In memory


def test_graphs_of_two_versions_are_two() -> None:
    """Equal nodes under other rules are another workflow, and neither's state is the other's."""
    later = under(GRAPH, LATER)
    assert later != GRAPH
    assert later == under(GRAPH, Rules(LATER.version, EDGE_EFFECTS, AT_ZERO))

    with pytest.raises(
        UsageError, match=r"belongs to <Graph of 4 nodes, 3 edges, rules 2: .*, not to <Graph of 4 nodes, 3 "
    ):
        advance(GRAPH, State.initial(later), FACTS)


def test_what_is_new_follows_the_newest_rules() -> None:
    """Every version from 1 on is known, under its own number."""
    assert list(KNOWN_RULES) == list(range(1, RULES_VERSION + 1))
    assert all(rules.version == number for number, rules in KNOWN_RULES.items())
    assert GRAPH.rules is NEWEST_RULES is KNOWN_RULES[RULES_VERSION]
