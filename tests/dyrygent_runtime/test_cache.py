"""What a process keeps at hand: bounded, shared by threads, and never missed."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from typing import Final

import pytest

from dyrygent_core import Attempt, Begin, Definition, Failed, Failure, Graph, Node, Succeeded, Workflow, call
from dyrygent_core.codec import encode_definition
from dyrygent_core.errors import UnknownWorkflowError
from dyrygent_core.ports import Entry, NewWorkflow, WorkflowKey
from dyrygent_runtime import Conductor
from dyrygent_runtime.cache import MOST_WEIGHT, FoldCache, weight_of
from dyrygent_runtime.fold import Folded, fold
from dyrygent_runtime.routes import Route
from tests.dyrygent_runtime.conftest import World
from tests.dyrygent_runtime.shapes import chain

NODES: Final = 100
WORKFLOWS: Final = 1_000


def folded(name: str, entries: int = 0, nodes: int = NODES) -> Folded:
    """Give a workflow of nodes side by side, folded as far as that."""
    definition = Definition(Graph([Node(f"n{number}") for number in range(nodes)]))
    facts = [Begin(), *(Succeeded(Attempt(f"n{number}")) for number in range(nodes))]
    journal = [Entry(position, "", fact) for position, fact in enumerate(facts[:entries], 1)]
    return fold(Folded.initial(WorkflowKey(name, "i"), definition), journal)[0]


def test_the_memory_of_a_process_is_bounded(world: World) -> None:
    """Of a thousand workflows of a hundred nodes, each another, as many are kept as weigh no more than they may."""
    worker = world.process()
    graph = Graph([Node(f"n{node}") for node in range(NODES)])
    definition = encode_definition(Definition(graph, name="workflow 0000"))
    half = [Succeeded(Attempt(f"n{number}")) for number in range(NODES // 2)]
    keys = [WorkflowKey(f"w{number}", "i") for number in range(WORKFLOWS)]
    for number, key in enumerate(keys):
        another = definition.replace(b"workflow 0000", f"workflow {number:04}".encode())
        world.journal.create(NewWorkflow(key, "", another, ()), nonce="n", due_in_ms=1)
        worker.turn(key, half)

    cache = worker._folds.cache
    each = weight_of(folded("x", 1 + NODES // 2))
    assert len(cache) == MOST_WEIGHT // each < WORKFLOWS
    assert cache.weight == len(cache) * each
    assert cache.get(keys[-1]) is not None


def test_the_one_that_was_used_last_is_kept() -> None:
    """What is dropped is what was not used for longest; a workflow that is larger than the bound is kept alone."""
    cache = FoldCache(most_weight=3 * weight_of(folded("x")))
    for name in "abc":
        cache.put(folded(name))
    assert cache.get(WorkflowKey("a", "i")) is not None

    cache.put(folded("d"))
    assert [cache.get(WorkflowKey(name, "i")) is not None for name in "abcd"] == [True, False, True, True]
    cache.put(folded("large", nodes=5_000))

    assert len(cache) == 1
    assert cache.get(WorkflowKey("large", "i")) is not None


def test_the_newer_fold_stays() -> None:
    """Whichever of two threads is later, the one that folded further wins; what it weighs is counted once."""
    cache = FoldCache()
    newer, older = folded("a", 20), folded("a", 10)

    cache.put(newer)
    cache.put(older)
    assert cache.get(newer.key) is newer
    cache.put(again := folded("a", 90))

    assert cache.get(newer.key) is again
    assert cache.weight == weight_of(again)
    cache.drop(again.key)
    cache.drop(again.key)
    assert (len(cache), cache.weight) == (0, 0)


def test_what_is_in_flight_and_what_failures_say_is_weighed() -> None:
    """A workflow weighs its nodes, and besides what the fold remembers of its attempts."""
    idle, begun = folded("a"), folded("a", 1)
    failed, _ = fold(begun, [Entry(2, "", Failed(Attempt("n0"), Failure("E", "x" * 10_000)))])

    assert weight_of(begun) == weight_of(idle) + NODES // 2
    assert weight_of(failed) == weight_of(begun) + 20


def test_where_calls_go_is_kept_as_long_as_the_fold() -> None:
    """It is learned for a workflow that is at hand, outlives a newer fold of it, and goes with it."""
    cache = FoldCache(most_weight=weight_of(folded("a", 2)))
    key, routes = folded("a").key, {1: Route("task", "mail")}
    cache.learn(key, routes)
    assert cache.routes(key, [1]) == {}

    cache.put(folded("a"))
    cache.learn(key, routes)
    cache.put(folded("a", 2))
    assert cache.routes(key, [0, 1]) == routes
    cache.put(folded("b"))

    assert cache.routes(key, [1]) == {}


def test_a_deleted_workflow_is_forgotten(world: World) -> None:
    """A process that learns that a workflow is gone keeps nothing of it."""
    run = world.start(chain("a", "b"))
    assert len(world.conductor._folds.cache) == 1
    world.journal.delete(run.key)

    with pytest.raises(UnknownWorkflowError):
        world.conductor.turn(run.key, [Succeeded(Attempt("a"))])

    assert len(world.conductor._folds.cache) == 0


def test_workflows_that_are_alike_share_their_definition(world: World) -> None:
    """A process that conducts the same graph many times holds it once."""
    keys = [world.start(chain("a", "b"), id=f"w{number}").key for number in range(3)]
    process = world.process()

    first, *others = [process.refresh(key).definition for key in keys]

    assert all(other is first for other in others)


def test_threads_share_folds(world: World) -> None:
    """Many threads of one process take turns at once: every outcome counts once, and what follows is sent once."""
    workflow = Workflow()
    leaves = [workflow.add(call("leaf"), id=f"leaf-{number}") for number in range(64)]
    workflow.add(call("join"), id="join", after=leaves)
    run = world.start(workflow)
    world.engine.take()
    conductor = world.process()
    ready = threading.Barrier(8)

    def work(first: int) -> None:
        ready.wait()
        for number in range(first, 64, 8):
            conductor.turn(run.key, [Succeeded(Attempt(f"leaf-{number}"))])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert world.engine.take() == ["join"]
    assert len(run.history()) == 65
    again = fold(Folded.initial(run.key, conductor.refresh(run.key).definition), run.history())[0]
    assert (conductor.refresh(run.key).state, conductor.refresh(run.key).log) == (again.state, again.log)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_what_its_parent_has(world: World) -> None:
    """It needs not read anew what was folded before it was forked, and what it goes on to fold is its own."""
    run = world.start(chain("a", "b"))
    cache = world.conductor._folds.cache
    before = cache.get(run.key)
    child = os.fork()
    if not child:
        is_there = cache.get(run.key) is before
        cache.drop(run.key)
        os._exit(0 if is_there and len(cache) == cache.weight == 0 else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert before is cache.get(run.key) is not None


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_in_the_midst_of_a_change_begins_with_nothing(world: World) -> None:
    """A lock that another thread of the parent held stays behind, and so does what it was half-way through."""
    run = world.start(chain("a", "b"))
    cache = world.conductor._folds.cache
    with cache._lock:
        child = os.fork()
        if not child:
            os._exit(0 if len(cache) == cache.weight == 0 and cache.get(run.key) is None else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert len(cache) == 1


def test_a_conductor_that_is_gone_is_not_kept_by_the_fork_hook(world: World) -> None:
    """The hook that tidies a child's cache does not keep a conductor alive."""
    conductor = Conductor(world.journal, world.engine)
    gone = weakref.ref(conductor)
    del conductor
    gc.collect()

    assert gone() is None


def test_conductors_that_share_definitions_decode_each_once(world: World) -> None:
    """What one has decoded serves another that was given the same place to keep it in, and no other."""
    run = world.start(chain("a", "b"))
    shared: dict[bytes, Definition] = {}
    one, other = (Conductor(world.journal, world.engine, definitions=shared) for _ in range(2))

    assert one.refresh(run.key).definition is other.refresh(run.key).definition
    assert len(shared) == 1
    assert world.process().refresh(run.key).definition is not one.refresh(run.key).definition
