"""Requests that race with each other, and with outcomes: two processes end where one after the other would have.

Each race is run many times, with two threads that set off together, each the conductor of its own process. What comes
out must be what one of the two orders gives, and the journal must say the same as both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from dyrygent_core import (
    Attempt,
    CancelRequested,
    DyrygentError,
    Failed,
    RerunRequested,
    State,
    Status,
    Succeeded,
    UnknownWorkflowError,
    UsageError,
    WorkflowState,
    advance,
)
from dyrygent_runtime import Run
from dyrygent_testing.journal_basis import at_once
from tests.dyrygent_runtime.stores import STORES, Store, chained, of_calls, opened

_RACES: Final = {"memory": 200, "sqlite": 40, "redis": 200}
"""For each test. A file on a disk is slow: each race is a dozen transactions."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


def race(store: Store, run: Run, *asks: Callable[[Run], object]) -> list[type[Exception] | None]:
    """Let each of these be asked by a process of its own, all at once; give what each of them raised."""
    handles = [store.elsewhere(run) for _ in asks]
    for handle in handles[1:]:  # the first is a cold process, the others have seen what there is
        assert handle.workflow_state is not WorkflowState.INITIAL

    def ask(number: int) -> type[Exception] | None:
        try:
            asks[number](handles[number])
        except DyrygentError as problem:
            return type(problem)
        return None

    raised = at_once(len(asks), ask)
    _check(store, run, handles)
    return raised


def _check(store: Store, run: Run, handles: list[Run]) -> None:
    """Hold every process to what the journal says, and an end to its being published and closed."""
    try:
        entries = run.history()
    except UnknownWorkflowError:
        return
    folded, _ = advance(run.state.graph, State.initial(run.state.graph), [it.observation for it in entries])
    assert all(handle.state == folded for handle in handles)
    assert [entry.position for entry in entries] == [*range(1, len(entries) + 1)]
    if folded.is_finished:
        assert not store.journal.definition(run.id).is_open
        assert store.engine.published[-1].state is folded.workflow_state


def recorded(run: Run, kind: type) -> int:
    return sum(isinstance(it.observation, kind) for it in run.history())


def test_two_cancels_are_one(store: Store) -> None:
    """Whoever comes second finds it cancelled, or is ignored; both have what they wanted."""
    for _ in range(_RACES[store.kind]):
        run = store.start(chained("a", "b"))
        assert race(store, run, Run.cancel, Run.cancel) == [None, None]

        assert run.state.is_cancelled
        assert (run.status("a"), run.status("b")) == (Status.SCHEDULED, Status.CANCELLED)
        assert recorded(run, CancelRequested) in (1, 2)


def test_a_cancel_and_the_end_are_in_some_order(store: Store) -> None:
    """Whichever is recorded first decides; what has succeeded has, in either."""

    def end(run: Run) -> None:
        run._conductor.turn(run.key, [Succeeded(Attempt("a"))])

    asks = (Run.cancel, end)
    seen = Counter[WorkflowState]()
    for number in range(_RACES[store.kind]):
        run = store.start(of_calls("a"))
        assert race(store, run, asks[number % 2], asks[1 - number % 2]) == [None, None]

        first = type(run.history()[1].observation)
        expected = WorkflowState.CANCELLED if first is CancelRequested else WorkflowState.SUCCESS
        assert (run.workflow_state, run.status("a")) == (expected, Status.SUCCEEDED)
        seen[expected] += 1
    assert len(seen) == 2, "both orders should have come about"


def test_of_two_reruns_one_opens_the_round(store: Store) -> None:
    """One opens a round with the nodes that it names, and the other is told that it did not."""
    for _ in range(_RACES[store.kind]):
        run = store.start(of_calls("a", "b"))
        store.observe(run, Failed(Attempt("a")), Failed(Attempt("b")))
        store.engine.take()
        raised = race(store, run, lambda it: it.rerun(["a"]), lambda it: it.rerun(["b"]))

        assert sorted(map(str, raised)) == sorted(map(str, [None, UsageError]))
        repeated = "a" if raised[0] is None else "b"
        assert run.state.round == 2
        assert [node for node, status in run.statuses.items() if status is Status.SCHEDULED] == [repeated]
        assert store.engine.take() == [repeated]
        assert recorded(run, RerunRequested) in (1, 2)


def test_a_pause_and_a_resume_are_in_some_order(store: Store) -> None:
    """Afterwards it is paused or not; what was held back until then is sent, once."""
    for _ in range(_RACES[store.kind]):
        run = store.start(chained("a", "b"))
        run.pause()
        store.succeed(run, "a", value=1)
        store.engine.take()
        assert race(store, run, Run.pause, Run.resume) == [None, None]

        assert run.status("b") is Status.SCHEDULED
        assert store.engine.take() == ["b"]


def test_a_skip_and_a_failure_are_in_some_order(store: Store) -> None:
    """A node that somebody skips as it fails has failed, or is skipped."""

    def fail(run: Run) -> None:
        run._conductor.turn(run.key, [Failed(Attempt("a"))])

    for _ in range(_RACES[store.kind]):
        run = store.start(of_calls("a"))
        assert race(store, run, lambda it: it.skip("a"), fail) == [None, None]

        expected = {Status.FAILED: WorkflowState.FAILURE, Status.SKIPPED: WorkflowState.SUCCESS}
        assert run.workflow_state is expected[run.status("a")]


def test_a_delete_and_a_rerun_are_in_some_order(store: Store) -> None:
    """Either it is gone, and cannot be run again, or it runs again, and is not deleted."""
    for number in range(_RACES[store.kind] // 4):
        run = store.start(of_calls("a"), id=f"w{number}")
        store.fail(run, "a")
        handles = [store.elsewhere(run), store.elsewhere(run)]

        def ask(number: int, handles: Sequence[Run] = handles) -> type[Exception] | None:
            try:
                handles[number].rerun() if number else handles[number].delete()
            except DyrygentError as problem:
                return type(problem)
            return None

        raised = at_once(2, ask)
        assert raised in ([None, UnknownWorkflowError], [UsageError, None])
        if raised[1] is None:
            assert run.workflow_state is WorkflowState.RUNNING


def test_a_delete_and_a_cancel_are_in_some_order(store: Store) -> None:
    """It is gone in the end, and whoever came too late is told so."""
    for _ in range(_RACES[store.kind]):
        run = store.start(of_calls("a"))
        raised = race(store, run, lambda it: it.delete(on_unfinished="delete"), Run.cancel)

        assert raised[0] is None
        assert raised[1] in (None, UnknownWorkflowError)
        with pytest.raises(UnknownWorkflowError):
            run.history()


def test_two_starts_are_one(store: Store) -> None:
    """Of two that start the same workflow under one id, both have its run, and it is sent once."""
    for number in range(_RACES[store.kind]):
        both = [Store(store.open, store.kind), Store(store.open, store.kind)]
        runs = at_once(2, lambda it, both=both, number=number: both[it].start(of_calls("a"), id=f"w{number}"))  # type: ignore[misc]

        assert runs[0].key == runs[1].key
        assert [it.attempt.node for process in both for it in process.engine.sent] == ["a"]
        assert len(runs[0].history()) == 1
