"""How long it takes to come back: a journal folded again, and a snapshot written and read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from attrs import frozen

from benchmarks.contenders import KERNEL_BATCH, Given
from benchmarks.measuring import seconds
from dyrygent_core import Attempt, Begin, Graph, Observation, State, Succeeded, advance, codec

__all__ = ["Snapshot", "replay_seconds", "replay_text_seconds", "snapshot_of"]

_SNAPSHOT_NAMES: Final = (("encode_state", "decode_state"), ("encode_snapshot", "decode_snapshot"))
"""The codec's functions for snapshots; the first pair that is there is measured."""


@frozen
class Snapshot:
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


def snapshot_of(given: Given) -> Snapshot | None:
    """Write and read the state in the middle of a walk; None while the codec cannot."""
    found = next((pair for pair in _SNAPSHOT_NAMES if hasattr(codec, pair[0])), None)
    if found is None:
        return None
    encode, decode = (getattr(codec, name) for name in found)
    journal = _journal(given)
    state, _ = advance(given.graph, State.initial(given.graph), journal[: len(journal) // 2])
    written: list[Any] = []
    encode_seconds = seconds(lambda: lambda: written.append(encode(state)))
    decode_seconds = seconds(lambda: lambda: _decoded(decode, given.graph, written[0]))
    return Snapshot(encode_seconds, decode_seconds, len(written[0]))


def _decoded(decode: Callable[..., Any], graph: Graph, data: Any) -> Any:
    return decode(graph, data)


def _journal(given: Given) -> list[Observation]:
    ended = KERNEL_BATCH.prepare(given)()
    nodes = given.graph.nodes
    return [Begin(), *(Succeeded(Attempt(nodes[int(number)].id)) for number in ended if isinstance(number, int))]


def _fold(graph: Graph, journal: Sequence[Observation]) -> None:
    state, _ = advance(graph, State.initial(graph), journal)
    assert state.is_finished


def _read_and_fold(graph: Graph, lines: Sequence[str]) -> None:
    _fold(graph, [codec.decode_observation(line) for line in lines])
