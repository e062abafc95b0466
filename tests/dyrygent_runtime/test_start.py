"""Starting: what is checked before anything is written, and what a second start gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from dyrygent_core import (
    DeadlinePassed,
    LimitError,
    UnknownWorkflowError,
    UsageError,
    Workflow,
    WorkflowExistsError,
    WorkflowState,
    call,
)
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Created, NewWorkflow, Query
from dyrygent_runtime import OnConflict, Settings, start
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing.journal_basis import HOSTILE
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.stores import STORES, Store, of_calls, opened


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request, tmp_path) as store:
        yield store


def ids(store: Store) -> list[str]:
    return [it.key.id for it in store.journal.list(Query(), limit=99).items]


def test_name_and_tags_are_written_with_the_workflow(store: Store) -> None:
    """A workflow is found by its name and tags from its first entry on; a tag given twice is one."""
    run = store.start(of_calls("a", name="report"), id="w", tags=["eu", "daily", "eu"])

    (listed,) = store.open().list(Query(), limit=9).items
    assert (listed.key, listed.name, listed.tags) == (run.key, "report", ("eu", "daily"))
    assert (run.name, run.tags) == ("report", ("eu", "daily"))


def test_nothing_given_is_no_name_and_no_tag(store: Store) -> None:
    """A workflow need not have either."""
    run = store.start(of_calls("a"))

    assert (run.name, run.tags) == ("", ())


@pytest.mark.parametrize(
    ("tags", "error", "text"),
    [
        ("eu", UsageError, r"tags must be a sequence of tags, not str; write \['eu'\]"),
        ({"eu": 1}, UsageError, "a sequence of tags, not dict"),
        (None, UsageError, "a sequence of tags, not NoneType"),
        ([5], UsageError, "a tag must be a str, not int: 5"),
        ([""], UsageError, "a tag must have 1 to 255 characters"),
        (["x" * 256], UsageError, "1 to 255 characters; 'xxx.* has 256"),
        (["eu\0"], UsageError, "a tag must not contain NUL"),
        (["\ud800"], UsageError, "lone surrogate"),
        ([str(number) for number in range(33)], LimitError, "at most 32 tags, this one 33"),
    ],
)
def test_wrong_tags_start_nothing(store: Store, tags: Sequence[str], error: type[Exception], text: str) -> None:
    """Tags are checked before anything is written or sent."""
    with pytest.raises(error, match=text):
        store.start(of_calls("a"), tags=tags)

    assert ids(store) == []
    assert store.engine.sent == []


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "\udfff"])
def test_a_name_that_no_store_can_hold_starts_nothing(store: Store, name: str) -> None:
    """A name is what an id may be, or empty."""
    with pytest.raises(UsageError, match="a workflow's name must"):
        store.start(of_calls("a", name=name))

    assert ids(store) == []


@pytest.mark.parametrize("wanted", ["", "a\0", "\ud800", "x" * 156, 7])
def test_a_wrong_id_starts_nothing(store: Store, wanted: str) -> None:
    """A workflow's id is text of 1 to 155 characters."""
    with pytest.raises(UsageError):
        store.start(of_calls("a"), id=wanted)

    assert ids(store) == []


def test_a_workflow_keeps_its_first_tags(store: Store) -> None:
    """Starting again gives the run that exists, and changes nothing of it; tags are not what it is."""
    first = store.start(of_calls("a"), id="w", tags=["x"])
    again = store.start(of_calls("a"), id="w", tags=["y"])

    assert again.key == first.key
    assert again.tags == ("x",)
    assert [it.attempt.node for it in store.engine.sent] == ["a"]


def test_another_workflow_under_the_same_id_is_refused(store: Store) -> None:
    """An id stands for one workflow: other nodes, arguments or names are refused, and so is any with `error`."""
    run = store.start(of_calls("a"), id="w")
    before = run.history()

    for other in (of_calls("a", "b"), of_calls("a", name="b")):
        with pytest.raises(WorkflowExistsError, match="'w' exists already with other nodes or arguments, or another"):
            store.start(other, id="w")
    for policy in ("error", OnConflict.ERROR):
        with pytest.raises(WorkflowExistsError, match="'w' exists already; choose another id"):
            store.start(of_calls("a"), id="w", on_conflict=policy)
    with pytest.raises(UsageError, match="on_conflict 'replace' is none of 'existing', 'error'"):
        store.start(of_calls("a"), id="w", on_conflict="replace")

    assert run.history() == before


def test_any_text_is_an_id_a_name_and_a_tag(store: Store) -> None:
    """Texts that look alike, or like syntax, are ids, names and tags apart from each other."""
    texts = [text for text in HOSTILE if len(text) <= 155]
    runs = [store.start(of_calls(text, name=text), id=text, tags=[text, "all"]) for text in texts]

    assert len({run.key for run in runs}) == len(texts)
    for text, run in zip(texts, runs, strict=True):
        assert store.start(of_calls(text, name=text), id=text).key == run.key
        found = store.elsewhere(run)
        assert (found.id, found.name, found.tags) == (text, text, (text, "all"))


def test_an_empty_workflow_ends_at_once(store: Store) -> None:
    """Without nodes there is nothing to wait for."""
    run = store.start(Workflow())

    assert run.wait(5) is WorkflowState.SUCCESS
    assert run.result() == {}


# Another journal than the adapter's


def test_another_journal_is_used_as_the_adapters_own() -> None:
    """With `journal` the workflow is there and nowhere else, and the adapter's settings hold."""
    store = Store(lambda: MemoryJournal("own"), settings=Settings(sweep_interval_ms=7))
    other = MemoryJournal("other")

    run = start(store.engine, of_calls("a"), id="w", journal=other)

    assert other.definition("w").key == run.key
    assert ids(store) == []
    assert [it.namespace for it in store.engine.sent] == ["other"]
    assert run._conductor.settings is store.settings


# Something to do before


def test_a_start_is_prepared_before_anything_is_sent() -> None:
    """`prepare` sees the workflow in the journal, whether this start wrote it or an earlier one."""
    store = Store(lambda: MemoryJournal("tests"))
    seen: list[tuple[bool, int]] = []

    def prepare(created: Created) -> None:
        assert store.engine.conductor.journal.definition("w").key == created.key
        seen.append((created.is_new, len(store.engine.sent)))

    for _ in range(2):
        start(store.engine, of_calls("a"), id="w", prepare=prepare)

    assert seen == [(True, 0), (False, 1)]


def test_what_cannot_be_prepared_is_left_to_the_sweep(world: World) -> None:
    """The error comes out, nothing is sent, and after the grace time the workflow goes on all the same."""

    def prepare(created: Created) -> None:
        raise OSError(created.key.id)

    with pytest.raises(OSError, match=r"^w$"):
        start(world.engine, of_calls("a"), id="w", prepare=prepare)

    assert world.engine.sent == []
    world.clock.advance(world.settings.grace_ms + world.settings.sweep_interval_ms)
    world.sweep()
    assert [it.attempt.node for it in world.engine.sent] == ["a"]


# A store that is away


class LosingJournal(MemoryJournal):
    """A journal whose answers to `create` get lost: so many times before it has written, and after."""

    def __init__(self, *, before: int = 0, after: int = 0) -> None:
        super().__init__("tests")
        self.before, self.after = before, after

    def create(self, workflow: NewWorkflow, *, nonce: str, due_in_ms: int) -> Created:
        message = "the connection is gone"
        if self.before:
            self.before -= 1
            raise JournalUnavailableError(message)
        created = super().create(workflow, nonce=nonce, due_in_ms=due_in_ms)
        if self.after:
            self.after -= 1
            raise JournalUnavailableError(message)
        return created


@pytest.mark.parametrize("lost", [{"before": 1}, {"after": 1}])
def test_a_lost_answer_starts_it_once(lost: dict[str, int]) -> None:
    """If the store's answer is lost, whether or not it wrote, the workflow is started, and sent once."""
    journal = LosingJournal(**lost)
    store = Store(lambda: journal)

    run = store.start(of_calls("a"), id="w", on_conflict="error")

    assert [it.attempt.node for it in store.engine.sent] == ["a"]
    assert len(run.history()) == 1


def test_a_start_that_may_have_been_is_tried_again() -> None:
    """After `JournalUnavailableError` the same start gives the run, whether or not it was written."""
    journal = LosingJournal(after=2)
    store = Store(lambda: journal)
    with pytest.raises(JournalUnavailableError):
        store.start(of_calls("a"), id="w")
    assert store.engine.sent == []  # the sweep does that

    assert store.start(of_calls("a"), id="w").workflow_state is WorkflowState.RUNNING


def test_a_workflow_that_cannot_be_built_starts_nothing(store: Store) -> None:
    """What is wrong with the workflow is found before the store is asked anything."""
    workflow = Workflow()
    workflow.add(call("work"), id="a", after="b")

    with pytest.raises(UsageError):
        store.start(workflow, id="w")
    assert ids(store) == []


@pytest.mark.parametrize(("deadline", "due_ms"), [(1.5, 1_500), (60, 5_000), (None, 5_000)])
def test_the_sweep_looks_in_time_for_the_deadline(deadline: float | None, due_ms: int) -> None:
    """A workflow is due after the sweep's interval, and at its deadline if that is sooner."""
    world = World()
    workflow = Workflow(deadline=None if deadline is None else timedelta(seconds=deadline))
    workflow.add(call("a"), id="a")
    run = world.start(workflow)

    world.clock.advance(due_ms - 1)
    assert world.sweep() == 0
    world.clock.advance(1)
    assert world.sweep() == 1
    has_passed = [isinstance(entry.observation, DeadlinePassed) for entry in run.history()]
    assert has_passed == ([False, True] if due_ms < world.settings.sweep_interval_ms else [False])


def test_a_node_without_a_time_out_needs_resends(store: Store) -> None:
    """Where nothing is ever sent again, only a time-out ends a wait for a lost message; nothing is written."""
    store.settings = Settings(resend_after_ms=None)
    store.engine.conductor = store.process()

    with pytest.raises(UsageError, match="add timeout="):
        store.start(of_calls("a"), id="w")

    with pytest.raises(UnknownWorkflowError):
        store.journal.definition("w")
