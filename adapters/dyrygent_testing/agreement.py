"""Whether a state says what the slow model says, of all that can be asked of a state."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dyrygent_core import Progress, State, Status
from dyrygent_testing.model_board import Board
from dyrygent_testing.subjects import check_kind, check_nodes, list_of

__all__ = ["check_agreement"]


def check_agreement(state: State, board: Board, *, nodes: Collection[str] | None = None) -> None:
    """Raise `AssertionError`, naming what was asked and both answers, unless state and model agree in everything.

    `nodes`: those that may differ from an earlier agreement. Of the others no more is compared than their statuses
    and what is in flight, held or delayed of them, and nothing that is counted from that: it takes a fraction of the
    time.
    Raises `UsageError` for what is no state or no model, and `UnknownNodeError`.
    """
    check_kind("the state", state, State, "a State, such as State.initial(graph)")
    check_kind("the model", board, Board, "a Model")
    if nodes is not None:
        nodes = list_of("nodes", nodes, "node ids")
        check_nodes(nodes, board.graph)
    _compare(_of_the_whole(state, board))
    if nodes is None:
        _compare(_counted(state, board))
    for name in board.places if nodes is None else nodes:
        _compare(_of_node(state, board, name), name)


def _compare(answers: Iterator[tuple[str, object, object]], name: str | None = None) -> None:
    for what, told, expected in answers:
        if told != expected:
            asked = what if name is None else f"{what}({name!r})"
            message = f"{asked}: the state says {told!r}, the model {expected!r}"
            raise AssertionError(message)


def _of_the_whole(state: State, board: Board) -> Iterator[tuple[str, object, object]]:
    in_flight = board.in_flight
    yield "statuses", state.statuses, board.statuses
    yield "workflow_state", state.workflow_state, board.workflow_state
    yield "attempts_in_flight", state.attempts_in_flight, in_flight
    yield "in_flight", state.in_flight, len(in_flight)
    yield "delayed", state.delayed, board.delayed
    yield "held", state.held, board.held
    yield "to_revoke", state.to_revoke, board.to_revoke
    yield "is_finished", state.is_finished, board.is_finished
    yield "is_paused", state.is_paused, board.is_paused
    yield "is_cancelled", state.is_cancelled, board.is_cancelled
    yield "is_ending", state.is_ending, board.is_ending
    yield "round", state.round, board.round
    yield "begun_ms", state.begun_ms, board.begun_ms


def _counted(state: State, board: Board) -> Iterator[tuple[str, object, object]]:
    yield "first_failed", state.first_failed, board.first_failed
    yield "first_failed_attempt", state.first_failed_attempt, board.first_failed_attempt
    by_status = {
        status: [at for at, it in enumerate(board.places.values()) if it.status is status] for status in Status
    }
    yield "counts", state.counts, {status: len(its) for status, its in by_status.items()}
    yield "progress", state.progress, _progress(board)
    for status, numbers in by_status.items():
        if status is not Status.WAITING:
            yield f"find({status.name})", list(state.find(status)), numbers


def _progress(board: Board) -> Progress:
    statuses = list(board.statuses.values())
    done = sum(status.is_final for status in statuses)
    return Progress(done, len(statuses), statuses.count(Status.SCHEDULED), statuses.count(Status.FAILED))


def _of_node(state: State, board: Board, name: str) -> Iterator[tuple[str, object, object]]:
    place = board.places[name]
    yield "status", state.status(name), place.status
    yield "width", state.width(name), board.width(name)
    yield "instance_statuses", state.instance_statuses(name), board.instance_statuses(name)
    yield "sizes", state.sizes(name), place.sizes
    yield "branches", state.branches(name), place.branches
    for at in range(max(1, len(place.instances or ()))):
        yield "attempt", state.attempt(name, at), place.attempt(at)
