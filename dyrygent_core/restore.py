"""A state from what a snapshot holds: statuses and side maps. All else is recomputed, so nothing can contradict them.

Counters, taints, blocks, counts and the queue are functions of the statuses around them. So is what a node may have
become, and a record that says something else is refused: what `restore` gives holds every invariant of `invariants`.
There it is told edge by edge and in words; here it is read off whole rows of bytes, as often as a state is loaded.
Cost: O(nodes + edges out of what is final).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, NoReturn

from attrs import field, frozen

from dyrygent_core import cells, heap
from dyrygent_core.bands import Band
from dyrygent_core.errors import InvariantError, quoted
from dyrygent_core.graph import Graph
from dyrygent_core.nodes import OnLoss
from dyrygent_core.sparse import SparseMap
from dyrygent_core.state import Flags, Side, State, make_state
from dyrygent_core.statuses import Status
from dyrygent_core.tries import Tries

__all__ = ["BandRecord", "StateRecord", "record_of", "restore"]


@frozen
class BandRecord:
    """What is kept of a mapped node's instances."""

    statuses: bytes = field(repr=False)
    tries: Mapping[int, Tries]
    due_ms: Mapping[int, int]


@frozen
class StateRecord:
    """What is kept of a state: all that cannot be recomputed."""

    statuses: bytes = field(repr=False)
    flags: Flags
    tries: Mapping[int, Tries]
    due_ms: Mapping[int, int]
    sizes: Mapping[int, tuple[int, ...]]
    branches: Mapping[int, tuple[str, ...]]
    bands: Mapping[int, BandRecord]


def record_of(state: State) -> StateRecord:
    """Give what is to be kept of a state."""
    side = state.side
    return StateRecord(
        b"".join(state.pages).translate(_WRITTEN),
        side.flags,
        dict(side.tries.items()),
        dict(side.due_ms.items()),
        dict(side.sizes.items()),
        dict(side.branches.items()),
        {
            node: BandRecord(
                b"".join(band.pages).translate(_WRITTEN), dict(band.tries.items()), dict(band.due_ms.items())
            )
            for node, band in side.bands.items()
        },
    )


_WRITTEN: Final = bytes(cells.status_of(code) for code in range(256))
"""For every cell, the status that is written down."""


def restore(graph: Graph, record: StateRecord) -> State:
    """Give the state that a record was made of.

    Raises `InvariantError` for a record of another graph, or one that no state gives.
    """
    _check_record(graph, record)
    codes, blocks = _recount(graph, record)
    bands = {node: _band(graph, node, codes[node], band) for node, band in record.bands.items()}
    started = {node: band for node, band in bands.items() if codes[node] in _ON_ITS_WAY}
    side = Side(
        flags=record.flags,
        blocks=SparseMap[int].of(blocks),
        tries=SparseMap[Tries].of(record.tries),
        due_ms=SparseMap[int].of(record.due_ms),
        delayed=len(record.due_ms) + sum(len(band.due_ms) for band in started.values()),
        held=_held(graph, codes, started),
        bands=SparseMap[Band].of(bands),
        sizes=SparseMap[tuple[int, ...]].of(record.sizes),
        branches=SparseMap[tuple[str, ...]].of(record.branches),
    )
    in_flight = codes.count(Status.SCHEDULED) - sum(codes[node] == Status.SCHEDULED for node in started)
    in_flight += sum(band.in_flight for band in started.values())
    state = make_state(graph, cells.paged(codes), in_flight, side)
    _check_whole(state, codes)
    return state


# What a record holds, one by one


_STATUSES: Final = bytes(Status)
_OF_INSTANCES: Final = bytes(set(Status) - {Status.WAITING, Status.UPSTREAM_FAILED})
_ON_ITS_WAY: Final = (Status.READY, Status.SCHEDULED)


def _check_record(graph: Graph, record: StateRecord) -> None:
    """Refuse what is told of nodes that are not there, or of which it cannot be told."""
    if len(record.statuses) != len(graph):
        _fail(f"it has {len(record.statuses):,} statuses for {len(graph):,} nodes")
    if unknown := record.statuses.translate(None, _STATUSES):
        _fail(f"{unknown[0]} is no status")
    told = (record.tries, record.due_ms, record.sizes, record.branches, record.bands, record.flags.skips)
    if odd := [node for numbers in told for node in numbers if not 0 <= node < len(graph)]:
        _fail(f"it tells of node {odd[0]}, and there are {len(graph):,}")
    _check_statuses(graph, record)
    for node, branches in record.branches.items():
        if not {*branches} <= {graph.nodes[below].id for below in graph.successors[node]}:
            _fail(f"{_named(graph, node)} took what does not wait for it")
    for node, tries in record.tries.items():
        _check_tries(graph, node, tries)
        has_run = tries.failures or tries.losses or (tries.number > 1 and record.flags.round == 1)
        if has_run and record.statuses[node] in _NEVER_RAN:
            _fail(f"{_named(graph, node)} never ran, but is at attempt {tries.number}")


def _check_statuses(graph: Graph, record: StateRecord) -> None:
    """Refuse what goes with other statuses than those of its nodes."""
    succeeded = [node for node in (*record.sizes, *record.branches) if node not in graph.finalizers]  # they keep theirs
    banded = (node for node in graph.mapped if node not in record.bands)
    for nodes, fitting, what in (
        (record.due_ms, _WAITING_FOR_TIME, "has a retry that is due, but does not wait for one"),
        (succeeded, _HAVING_SUCCEEDED, "has told of a success that it had not"),
        (record.flags.skips, _BEING_SKIPPED, "is to be skipped when it ends, but is not in flight"),
        (banded, _WITHOUT_INSTANCES, "is mapped, but has no instances"),
    ):
        for node in nodes:
            if record.statuses[node] not in fitting:
                _fail(f"{_named(graph, node)} {what}")
    if mapped := graph.mapped.keys() & {*record.due_ms, *succeeded}:
        _fail(f"{_named(graph, min(mapped))} is mapped, but is told of as one that is not")


_WAITING_FOR_TIME: Final = (Status.READY,)
_HAVING_SUCCEEDED: Final = (Status.SUCCEEDED,)
_BEING_SKIPPED: Final = tuple(status for status in Status if status >= Status.SCHEDULED)
_WITHOUT_INSTANCES: Final = tuple(set(Status) - {Status.READY, Status.SCHEDULED, Status.SUCCEEDED})
_NEVER_RAN: Final = (Status.WAITING, Status.UPSTREAM_FAILED)


def _check_tries(graph: Graph, node: int, tries: Tries) -> None:
    policy = graph.nodes[node]
    most_losses = 0 if policy.on_loss is OnLoss.FAIL else policy.max_losses - 1
    if not 0 <= tries.losses <= most_losses or not 0 <= tries.failures < policy.max_attempts:
        _fail(f"{_named(graph, node)} goes on after {tries.failures} failures and {tries.losses} losses")
    if tries.number <= tries.failures + tries.losses:
        _fail(f"{_named(graph, node)} is at attempt {tries.number} after {tries.failures + tries.losses}")


def _band(graph: Graph, node: int, code: int, record: BandRecord) -> Band:
    """Give the instances of one node, whose cell is known."""
    codes = bytearray(record.statuses)
    if node not in graph.mapped:
        _fail(f"{_named(graph, node)} has instances, but is not mapped")
    if unknown := codes.translate(None, _OF_INSTANCES):
        _fail(f"{unknown[0]} is no status of an instance")
    for index in record.due_ms:
        if not 0 <= index < len(codes) or codes[index] != Status.READY:
            _fail(f"{_named(graph, node)} has a retry of instance {index} that is due, but does not wait for one")
        codes[index] = cells.DELAYED
    for index, tries in record.tries.items():
        _check_tries(graph, node, tries)
        if not 0 <= index < len(codes):
            _fail(f"{_named(graph, node)} has {len(codes):,} instances, and no instance {index}")
    band = Band(
        len(codes),
        cells.paged(bytes(codes)),
        len(codes.translate(None, _FINAL)),
        codes.count(Status.SCHEDULED),
        SparseMap[Tries].of(record.tries),
        SparseMap[int].of(record.due_ms),
    )
    if cells.status_of(code) not in _statuses_with(band):
        _fail(f"{_named(graph, node)} is {cells.status_of(code).name}, though its instances are not")
    return band


def _statuses_with(band: Band) -> Container[Status]:
    """Give what a node may be that has these instances."""
    if band.in_flight:
        return (Status.SCHEDULED,)
    if band.left:
        return (Status.READY,)
    if band.count(Status.FAILED):
        return _WITH_FAILED
    return _WITH_CANCELLED if band.count(Status.CANCELLED) else _WITHOUT_FAILED


_FINAL: Final = bytes(code for code in range(256) if cells.is_final(code))
_DECIDED_OTHERWISE: Final = {Status.WAITING, Status.UPSTREAM_FAILED, Status.CANCELLED, Status.SKIPPED}
"""What a node may be whatever its instances were: in a round before, or until it was skipped or cancelled."""
_WITH_FAILED: Final = _DECIDED_OTHERWISE | {Status.FAILED}
_WITH_CANCELLED: Final = _DECIDED_OTHERWISE
_WITHOUT_FAILED: Final = _DECIDED_OTHERWISE | {Status.SUCCEEDED}


# What follows from it


_HOLD: Final = 0
_TAINT: Final = 1
_CLEAN_LAST: Final = 1
_SCHEDULED: Final = int(Status.SCHEDULED)
_SUCCEEDED: Final = int(Status.SUCCEEDED)


def _recount(graph: Graph, record: StateRecord) -> tuple[bytes, dict[int, int]]:
    """Give the cells and the blocks: as it is written what is final or on its way, and the counters of the rest."""
    written = bytearray(record.statuses)
    for node in cells.find_code((record.statuses,), 40, Status.FAILED):
        if graph.nodes[node].allow_failure:
            written[node] = cells.ALLOWED
    for node in record.due_ms:
        written[node] = cells.DELAYED
    counted = bytearray(b"".join(graph.initial_pages))
    for node in graph.roots if record.flags.has_begun else ():
        counted[node] = Status.SCHEDULED
    blocks = dict(graph.initial_blocks.items())
    _count(graph, written, record.branches, counted, blocks)
    _check_decided(graph, record, counted)
    waiting = int.from_bytes(record.statuses.translate(_IS_WAITING)) & int.from_bytes(counted)
    return (waiting | int.from_bytes(written)).to_bytes(len(graph)), blocks


_IS_WAITING: Final = bytes([255, *[0] * 255])


def _count(  # a hot loop, as those of `kernel`: one call for each edge that does more than count down
    graph: Graph, codes: bytearray, branches: Mapping[int, tuple[str, ...]], counted: bytearray, blocks: dict[int, int]
) -> None:
    """Count down, for every node, the edges from what is final; give each its code where that decides it."""
    is_plain, successors, rows, wide = graph.is_plain, graph.successors, graph.rows, graph.wide
    not_taken = graph.rules.effects[Status.SKIPPED]
    for node, code in enumerate(codes):
        if code == _SUCCEEDED and is_plain[node] and node not in branches:
            for below in successors[node]:
                cell = counted[below]
                if _CLEAN_LAST < cell <= cells.BLOCK:
                    counted[below] = cell - 1
                elif cell == _CLEAN_LAST and below not in wide:
                    counted[below] = _SCHEDULED
                elif cell < cells.FIRST_CODE:
                    _decide(graph, counted, blocks, below, _HOLD)
        elif code >= _SUCCEEDED and code != cells.DELAYED:
            effects = graph.rules.effects[code]
            taken = None if node not in branches else {graph.number(name) for name in branches[node]}
            for below, row in zip(successors[node], rows[node], strict=True):
                if counted[below] < cells.FIRST_CODE:
                    is_taken = taken is None or below in taken
                    _decide(graph, counted, blocks, below, effects[row] if is_taken else not_taken[row])


def _decide(graph: Graph, counted: bytearray, blocks: dict[int, int], node: int, effect: int) -> None:
    cell = counted[node]
    if effect > _TAINT:
        counted[node] = effect
        return
    if effect == _TAINT and cell <= cells.BLOCK:
        cell += cells.BLOCK
    if cell not in (_CLEAN_LAST, _CLEAN_LAST + cells.BLOCK):
        counted[node] = cell - 1
    elif blocks.get(node):
        blocks[node] -= 1
        counted[node] = cell + cells.BLOCK - 1
    else:
        counted[node] = graph.rules.last_codes[cell > cells.BLOCK][graph.triggers[node]]


def _check_decided(graph: Graph, record: StateRecord, counted: bytearray) -> None:
    """Refuse a status that is not what the edges make of an ordinary node; all nodes at once, by their bits."""
    table = _NOT_IN_ROUND_1 if record.flags.round == 1 else _NOT_LATER
    ordinary = slice(graph.finalizers.start)
    odd = int.from_bytes(record.statuses[ordinary].translate(table), "little")
    odd &= int.from_bytes(counted[ordinary].translate(_BIT_OF), "little")
    if odd:
        node = ((odd & -odd).bit_length() - 1) // 8
        status, due = Status(record.statuses[node]), cells.status_of(counted[node])
        _fail(f"{_named(graph, node)} is {status.name}, though its dependencies make it {due.name}")


def _other_than(fitting: Mapping[int, int], of_others: int) -> bytes:
    return bytes(_ANYTHING - fitting.get(status, of_others) for status in range(256))


_WAITS, _RUNS, _NEVER_RUNS, _IS_SKIPPED = 1, 2, 4, 8
"""What edges make of a node, as bits."""
_ANYTHING: Final = _WAITS | _RUNS | _NEVER_RUNS | _IS_SKIPPED
_BITS: Final[Mapping[int, int]] = {
    Status.WAITING: _WAITS,
    Status.SCHEDULED: _RUNS,
    Status.UPSTREAM_FAILED: _NEVER_RUNS,
    Status.SKIPPED: _IS_SKIPPED,
}
_BIT_OF: Final = bytes(_BITS.get(cells.status_of(code), 0) for code in range(256))
_NOT_IN_ROUND_1: Final = _other_than(
    {
        Status.WAITING: _WAITS,
        Status.UPSTREAM_FAILED: _NEVER_RUNS,
        Status.CANCELLED: _ANYTHING,
        Status.SKIPPED: _ANYTHING,  # by hand, perhaps
    },
    _RUNS,
)
"""By status, what its edges cannot have made of a node."""
_NOT_LATER: Final = _other_than({Status.WAITING: _WAITS}, _ANYTHING)
"""After a rerun they may have been something else when the node was decided."""


def _held(graph: Graph, codes: bytes, started: Mapping[int, Band]) -> heap.Heap:
    held: Iterable[int] = cells.find_code((codes,), 40, Status.READY)
    held = [node for node in held if node not in started]
    held += [node for node, band in started.items() if band.count(Status.READY) > len(band.due_ms)]
    return heap.of_sorted(sorted(held if graph.ranks is None else map(graph.ranks.__getitem__, held)))


# The whole


def _check_whole(state: State, codes: bytes) -> None:
    flags, graph = state.side.flags, state.graph
    left = codes[: graph.finalizers.start].translate(None, _FINAL)
    if flags.is_work_over and left:
        _fail("its ordinary nodes are said to be final, but are not")
    if flags.has_begun and not flags.is_work_over and not left:
        _fail("every ordinary node is final, but that is not noted")
    if flags.is_ending and left.strip(bytes([Status.SCHEDULED])):
        _fail("it is ending, but a node still waits, or waits for its retry")
    if Status.CANCELLED in codes and not flags.is_ending and flags.round == 1:
        _fail("a node is CANCELLED, but nothing has ended the workflow")
    if not flags.has_begun and (state.in_flight or flags.is_past_deadline or flags.round > 1):
        _fail("it has not begun, but goes on")
    if state.is_finished and (flags.is_paused or codes.translate(None, _FINAL)):
        _fail("it is finished, but paused, or not every node is final")
    limit = graph.max_in_flight
    if state.side.held and flags.has_begun and not flags.is_paused and (limit is None or state.in_flight < limit):
        _fail("a node is held, but nothing holds it")
    for node in graph.finalizers:
        if (not codes[node]) if flags.is_work_over else (codes[node] not in _BEFORE_ITS_TIME):
            _fail(f"{_named(graph, node)} is {cells.status_of(codes[node]).name} before or after its time")


_BEFORE_ITS_TIME: Final = (Status.WAITING, Status.SKIPPED)


def _named(graph: Graph, node: int) -> str:
    return f"node {quoted(graph.nodes[node].id)}"


def _fail(what: str) -> NoReturn:
    message = f"this record is of no state: {what}"
    raise InvariantError(message)
