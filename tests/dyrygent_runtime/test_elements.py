"""Lists that are mapped over: their lengths, and where their elements are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from dyrygent_core import Attempt, Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.nodes import MAX_WIDTH
from dyrygent_core.observations import NOT_A_LIST
from dyrygent_core.ports import WorkflowKey
from dyrygent_runtime.elements import BLOCK, block_of, blocks_of, measured, written
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_runtime.reports import returned
from tests.dyrygent_runtime.conftest import Clock, World

SOURCE = Attempt("source", 0, 3)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_each_element_is_found_in_one_block(size: int) -> None:
    """An element lies where its index says, also behind the blocks of another list."""
    value = {"a": list(range(size)), "b": [-1] * (BLOCK + 1)}
    paths = (("b",), ("a",))
    sizes = measured(value, paths)
    stored = written(SOURCE, value, paths, JSON_VALUES)

    for index in range(size):
        name, place = block_of(SOURCE, sizes, 1, index)
        assert JSON_VALUES.decode(stored[name])[place] == index
    assert JSON_VALUES.decode(stored.pop(SOURCE)) == value
    assert sorted(stored) == sorted(blocks_of(SOURCE, sizes, 0) + blocks_of(SOURCE, sizes, 1))


def test_a_list_is_not_stored_twice() -> None:
    """A value that is a list that others map over is stored as its blocks, an empty one as it is."""
    assert set(written(SOURCE, [7] * 40, ((),), JSON_VALUES)) == {Attempt("source", 1, 3), Attempt("source", 2, 3)}
    assert written(SOURCE, [], ((),), JSON_VALUES) == {SOURCE: b"[]"}


@pytest.mark.parametrize(
    ("value", "size"),
    [([1], 1), ((1, 2), 2), ([], 0), ("text", NOT_A_LIST), ({1, 2}, NOT_A_LIST), (None, NOT_A_LIST), ({}, NOT_A_LIST)],
)
def test_only_lists_and_tuples_are_lists(value: object, size: int) -> None:
    """Texts, sets and mappings have lengths, but are nothing to map over; nor is what is not there."""
    assert measured(value, ((),)) == (size,)
    assert measured({"deep": [value]}, (("deep", 0), ("deep", 1), ("lack",))) == (size, NOT_A_LIST, NOT_A_LIST)


def test_a_list_that_is_too_long_is_stored_whole() -> None:
    """A list that no node may map over has no blocks, but its length is told."""
    value = [0] * (MAX_WIDTH + 1)

    assert list(written(SOURCE, value, ((),), JSON_VALUES)) == [SOURCE]
    assert measured(value, ((),)) == (MAX_WIDTH + 1,)


# In a workflow


def mapped() -> Workflow:
    """Build a map over a source, whose instances pass on their elements."""
    workflow = Workflow()
    workflow.add(call("work"), each=workflow.add(call("source"), id="source"), max_attempts=2, id="mapped")
    return workflow


def report(world: World, key: WorkflowKey, attempt: Attempt, value: object) -> None:
    """Report a success as an adapter does."""
    measure = ((),) if attempt.node == "source" else ()
    outcome, results = returned(attempt, value, JSON_VALUES, is_kept=True, measure=measure)
    world.conductor.turn(key, [outcome], results=results)


def sent_elements(world: World) -> dict[Attempt, object]:
    return {it.attempt: it.call.inputs.value["args"][0] for it in world.engine.sent}


def test_what_is_asked_to_be_measured_is_mapped_over(world: World) -> None:
    """The dispatch of a node says which lists in its result others map over; each instance gets its element."""
    run = world.start(mapped())
    (source,) = world.engine.sent
    assert source.measure == ((),)
    world.engine.take()

    report(world, run.key, Attempt("source"), ["a", "b", "c"])

    assert sent_elements(world) == {Attempt("mapped", index): text for index, text in enumerate("abc")}
    assert len({it.attempt_id for it in world.engine.sent}) == 3


def test_a_late_outcome_changes_no_element(world: World) -> None:
    """A second outcome of the attempt that returned the list, with a longer one, changes neither width nor elements."""
    run = world.start(mapped())
    report(world, run.key, Attempt("source"), list(range(40)))
    world.engine.take()

    report(world, run.key, Attempt("source"), [-1] * 200)
    report(world, run.key, Attempt("source"), {"no": "list"})
    world.fail(run, "mapped")

    assert sent_elements(world) == {Attempt("mapped", 0, 2): 0}
    assert run.state.width("mapped") == 40
    assert run.result("source") == list(range(40))


def test_a_list_that_was_stored_whole_is_mapped_over_too(world: World) -> None:
    """Whoever reports the lengths of lists but does not cut them into blocks is understood."""
    run = world.start(mapped())
    world.engine.take()

    value = {Attempt("source"): JSON_VALUES.encode([5, 6])}
    world.conductor.turn(run.key, [Succeeded(Attempt("source"), sizes=(2,))], results=value)

    assert list(sent_elements(world).values()) == [5, 6]
    assert run.result("source") == [5, 6]


class CountingJournal(MemoryJournal):
    """A memory journal that tells how many bytes of results were read."""

    read_bytes = 0

    def results(self, key: WorkflowKey, attempts: Sequence[Attempt]) -> Mapping[Attempt, bytes]:
        found = super().results(key, attempts)
        self.read_bytes += sum(map(len, found.values()))
        return found


def test_sending_one_instance_reads_one_block() -> None:
    """However long the list is, a retried instance reads no more of it than one block."""
    clock = Clock()
    world = World(clock=clock)
    world.journal = journal = CountingJournal("tests", clock=clock)
    world.engine.conductor = world.process()
    run = world.start(mapped())
    report(world, run.key, Attempt("source"), ["x" * 100] * 1_000)
    world.engine.take()
    assert journal.read_bytes == 0  # whoever appended a list need not read it

    world.fail(run, "mapped")

    assert list(sent_elements(world)) == [Attempt("mapped", 0, 2)]
    assert 0 < journal.read_bytes < 110 * BLOCK
