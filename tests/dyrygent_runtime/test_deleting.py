"""Deleting a workflow, and what becomes of everybody who still asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dyrygent_core import Attempt, Observation, Succeeded, UnknownWorkflowError, UsageError, WorkflowState
from dyrygent_core.ports import Seen, WorkflowKey
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal
from tests.dyrygent_runtime.questions import EVERYTHING
from tests.dyrygent_runtime.stores import STORES, Store, of_calls, opened


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


@pytest.fixture
def memory() -> Store:
    journal = MemoryJournal("tests")
    return Store(lambda: journal)


@pytest.mark.parametrize("is_used_again", [False, True])
@pytest.mark.parametrize("question", sorted(EVERYTHING))
def test_a_deleted_workflow_is_unknown(store: Store, question: str, *, is_used_again: bool) -> None:
    """Whatever is asked of a deleted workflow, the answer is that it is unknown, also if its id was used again."""
    handles = [store.start(of_calls("a"), id="w", tags=["t"])]
    handles.append(store.elsewhere(handles[0]))
    assert handles[0].workflow_state is WorkflowState.RUNNING  # so this process knows it
    handles[0].delete(on_unfinished="delete")
    if is_used_again:
        store.start(of_calls("b"), id="w")

    for handle in handles:
        with pytest.raises(UnknownWorkflowError, match="'w' is not in this journal"):
            EVERYTHING[question](handle)
    if is_used_again:
        assert len(Run.from_id("w", store.open()).history()) == 1


def test_what_has_not_ended_is_not_deleted(store: Store) -> None:
    """Without being told so, `delete` refuses a workflow that runs, and leaves it as it is."""
    run = store.start(of_calls("a"), id="w")

    with pytest.raises(UsageError, match="'w' is in RUNNING; cancel it and wait for its end, or say on_unfinished"):
        run.delete()

    store.succeed(run, "a")
    assert run.workflow_state is WorkflowState.SUCCESS


def test_what_has_ended_is_deleted(store: Store) -> None:
    """Nothing of it is left, and its id is free."""
    run = store.start(of_calls("a"), id="w")
    store.succeed(run, "a")

    store.elsewhere(run).delete()

    with pytest.raises(UnknownWorkflowError):
        Run.from_id("w", store.open())
    assert store.start(of_calls("other"), id="w").key != run.key


class _Between(MemoryJournal):
    """A journal in which others do something just before each delete."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.others: list[Callable[[], object]] = []

    def delete(self, key: WorkflowKey, *, at: int | None = None) -> bool:
        while self.others:
            self.others.pop(0)()
        return super().delete(key, at=at)


def test_a_rerun_between_the_look_and_the_delete_is_not_lost() -> None:
    """What runs again when it comes to that is refused, as it would have been had it run before."""
    journal = _Between()
    store = Store(lambda: journal)
    run = store.start(of_calls("a"), id="w")
    store.fail(run, "a")
    journal.others = [store.elsewhere(run).rerun]

    with pytest.raises(UsageError, match="'w' is in RUNNING; cancel it and wait for its end"):
        run.delete()

    store.succeed(run, "a")
    assert run.wait(0) is WorkflowState.SUCCESS


def test_what_only_grew_between_the_look_and_the_delete_is_deleted() -> None:
    """A late outcome, or another round that has ended too, is looked at again, and keeps nobody from deleting."""
    journal = _Between()
    store = Store(lambda: journal)
    run = store.start(of_calls("a"), id="w")
    store.fail(run, "a")

    def run_again_to_the_end() -> None:
        store.elsewhere(run).rerun()
        store.fail(run, "a")

    late = Succeeded(Attempt("a"))
    journal.others = [lambda: store.observe(run, late), run_again_to_the_end]
    run.delete()

    with pytest.raises(UnknownWorkflowError):
        journal.definition("w")


class _Repeating(MemoryJournal):
    """A journal to which a repeated outcome comes, from another process, just before the workflow is closed."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.late: list[Observation] = []

    def close(self, key: WorkflowKey, *, at: int, state: WorkflowState) -> bool:
        if self.late:
            super().append(key, [self.late.pop()], seen=Seen(), nonce="late")
        return super().close(key, at=at, state=state)


def test_a_repeated_outcome_during_the_delete_is_no_obstacle() -> None:
    """The engine has been told the end; that there is one entry more is looked at again."""
    journal = _Repeating()
    store = Store(lambda: journal)
    run = store.start(of_calls("a"))
    store.succeed(run, "a")
    journal.late = [Succeeded(Attempt("a"))]

    run.delete()

    with pytest.raises(UnknownWorkflowError):
        journal.definition(run.id)


def test_an_end_is_published_before_it_is_deleted(memory: Store) -> None:
    """If the process that ended it has died before it told the engine, whoever deletes it does."""
    run = memory.start(of_calls("a"))
    memory.journal.append(run.key, [Succeeded(Attempt("a"))], seen=run._now().seen, nonce="n")  # and then it died
    watcher = Run.from_id(run.id, memory.open())

    with pytest.raises(UsageError, match="has ended in SUCCESS, but its engine cannot be told"):
        watcher.delete()
    assert memory.engine.published == []
    run.delete()

    assert [it.state for it in memory.engine.published] == [WorkflowState.SUCCESS]
    with pytest.raises(UnknownWorkflowError):
        watcher.history()


def test_the_outcome_of_a_deleted_workflow_is_dropped(store: Store) -> None:
    """What still runs in the engine brings nothing back."""
    run = store.start(of_calls("a"))
    run.delete(on_unfinished="delete")

    with pytest.raises(UnknownWorkflowError):
        store.observe(run, Succeeded(Attempt("a")))
    with pytest.raises(UnknownWorkflowError):
        store.journal.definition(run.id)
