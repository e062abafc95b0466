"""How long it takes to come back: a journal folded again, and a snapshot written and read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import frozen

from benchmarks.contenders import KERNEL_BATCH, Given
from benchmarks.measuring import seconds
from dyrygent_core import Attempt, Begin, Graph, Observation, State, Succeeded, advance, codec
from dyrygent_core.codec.snapshots import Emission

__all__ = ["SnapshotCost", "replay_seconds", "replay_text_seconds", "snapshot_of"]


@frozen
class SnapshotCost:
    """A state half-way, written and read."""

    encode_seconds: float
    decode_seconds: float
    size: int
    """Bytes."""


def replay_seconds(given: Given) -> float:
    """Fold the journal of a whole walk in one call of `advance`."""
    return seconds(lambda: partial(_fold, given.graph, _journal(given)))


def replay_text_seconds(given: Given) -> float:
    """Read the same journal from lines of JSON, and fold it in one call."""
    return seconds(lambda: partial(_read_and_fold, given.graph, [*map(codec.encode_observation, _journal(given))]))


def snapshot_of(given: Given) -> SnapshotCost:
    """Write and read the state in the middle of a walk, with the times of what is in flight."""
    graph, journal = given.graph, _journal(given)
    state, _ = advance(graph, State.initial(graph), journal[: len(journal) // 2])
    snapshot = codec.Snapshot(state, len(journal) // 2, emitted=dict.fromkeys(state.attempts_in_flight, Emission(1, 1)))
    written = codec.encode_snapshot(snapshot)
    read = codec.decode_snapshot(
        written, graph
    )  # from here on the graph knows its fingerprint, as in a running process
    assert read.state == state
    return SnapshotCost(
        seconds(lambda: partial(codec.encode_snapshot, snapshot)),
        seconds(lambda: partial(codec.decode_snapshot, written, graph)),
        len(written),
    )


def _journal(given: Given) -> list[Observation]:
    ended = KERNEL_BATCH.prepare(given)()
    nodes = given.graph.nodes
    return [Begin(), *(Succeeded(Attempt(nodes[int(number)].id)) for number in ended if isinstance(number, int))]


def _fold(graph: Graph, journal: Sequence[Observation]) -> None:
    state, _ = advance(graph, State.initial(graph), journal)
    assert state.is_finished


def _read_and_fold(graph: Graph, lines: Sequence[str]) -> None:
    _fold(graph, [codec.decode_observation(line) for line in lines])
