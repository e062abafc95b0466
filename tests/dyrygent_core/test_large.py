"""A hundred thousand nodes are an ordinary input: nothing recurses, nothing is quadratic.

Each script runs in a process of its own, with no more stack than 200 calls.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

SIZE: Final = 100_000

PRELUDE: Final = f"""
import sys
from dyrygent_core import *
from dyrygent_core.codec import (
    JSON_VALUES, Snapshot, decode_definition, decode_snapshot, digest, encode_definition, encode_snapshot
)
from dyrygent_core.diagrams import dot, mermaid, tree
from dyrygent_core.ports import Entry
from dyrygent_core.invariants import check_state
SIZE = {SIZE}

def run(graph, nodes):
    state, emitted = advance(graph, State.initial(graph), [Begin()])
    state, more = advance(graph, state, [Succeeded(Attempt(node)) for node in nodes])
    assert len(emitted + more) == len(graph), len(emitted + more)
    assert state.workflow_state is WorkflowState.SUCCESS
    check_state(state)

def fail(graph, node):
    state, _ = advance(graph, State.initial(graph), [Begin(), Failed(Attempt(node))])
    return state.counts[Status.UPSTREAM_FAILED]

def cancel(graph, half):
    state, emitted = advance(graph, State.initial(graph), [Begin()])
    done = [Succeeded(Attempt(node)) for node in half]
    state, more = advance(graph, state, [*done, CancelRequested()])
    gone = set(half)
    still = [it for it in (*emitted, *more) if it.node not in gone]
    assert set(state.to_revoke) == set(still), len(still)
    snapshot = Snapshot(state, len(half) + 2)
    assert decode_snapshot(encode_snapshot(snapshot), graph) == snapshot
    state, _ = advance(graph, state, [Lost(it) for it in still])
    assert state.workflow_state is WorkflowState.CANCELLED
    check_state(state)
    return state

def show(graph, half, node):
    state = cancel(graph, half)
    for draw in (mermaid, dot, tree):
        assert len(draw(graph, state)) < 100_000, draw
    for draw in (mermaid, dot):
        assert len(draw(graph, max_nodes=10)) < 100_000, draw
    assert node in explain(graph, state, node)
    entries = [Entry(at, "", it) for at, it in enumerate([Begin(), *map(Succeeded, map(Attempt, half))], start=1)]
    assert story(graph, [*entries, Entry(len(entries) + 1, "", CancelRequested())], node)
    assert critical_path(graph, entries)

def write(graph):
    definition = Definition(graph)
    again = decode_definition(encode_definition(definition))
    assert again == definition and again.graph.numbers == graph.numbers
    assert len(digest(definition, (), JSON_VALUES)) == 64

sys.setrecursionlimit(200)
"""
CHAIN: Final = """
graph = Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in reversed(range(SIZE)))
run(graph, [f"n{at}" for at in range(SIZE)])
assert fail(graph, "n0") == SIZE - 1
show(graph, [f"n{at}" for at in range(SIZE // 2)], f"n{SIZE - 1}")
write(graph)
"""
STAR: Final = """
HALF = SIZE // 2
roots = [f"n{at}" for at in range(HALF)]
graph = Graph([*map(Node, roots), Node("join", roots), *(Node(f"leaf{at}", ["join"]) for at in range(HALF))])
run(graph, [*roots, "join", *(f"leaf{at}" for at in range(HALF))])
assert fail(graph, "n7") == HALF + 1
show(graph, roots[: HALF // 2], "join")
write(graph)
"""
CYCLE: Final = """
try:
    Graph(Node(f"n{at}", [f"n{(at - 1) % SIZE}"]) for at in range(SIZE))
except CycleError as error:
    assert len(error.path) == SIZE + 1
    assert len(str(error)) < 300
else:
    raise AssertionError("no cycle was found")
"""
BUILDER: Final = """
workflow = Workflow()
before = workflow.add(call("step"))
for _ in range(20_000):
    before = workflow.add(call("step", before.result))
definition, calls = workflow.build()
assert definition.graph.nodes[-1].id == "step#20001"
write(definition.graph)
assert len(digest(definition, calls, JSON_VALUES, workflow.generated)) == 64
"""
SINKS: Final = """
workflow = Workflow()
root = workflow.add(call("root"))
for at in range(SIZE - 1):
    workflow.add(call("leaf", root.result), id=f"leaf{at}")
definition, calls = workflow.build()
assert decode_definition(encode_definition(definition)) == definition
assert len(digest(definition, calls, JSON_VALUES, workflow.generated)) == 64
"""
BIPARTITE: Final = """
WIDTH = 1_000
above, below = [f"a{at}" for at in range(WIDTH)], [f"b{at}" for at in range(WIDTH)]
graph = Graph([*map(Node, above), *(Node(name, above) for name in below)])
run(graph, [*above, *below])
assert fail(graph, "a7") == WIDTH
show(graph, above, "b7")
write(graph)
"""


SCRIPTS: Final = {
    "star": STAR,
    "sinks": SINKS,
    "chain": CHAIN,
    "bipartite": BIPARTITE,
    "builder": BUILDER,
    "cycle": CYCLE,
}
AT_A_TIME: Final = 2
"""As many as a small CI machine has cores."""


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[subprocess.CompletedProcess[str]]]]:
    """Run the scripts that were asked for, some at a time."""
    its = [item for item in request.session.items if item.path == request.path]
    asked = {item.callspec.params["name"] for item in its if isinstance(item, pytest.Function)}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {name: pool.submit(run, script) for name, script in SCRIPTS.items() if name in asked}


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_size_is_no_obstacle(name: str, runs: Mapping[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    """Build, run to the end, fail, cancel, write down, read again, draw, explain and tell, in little stack."""
    done = runs[name].result()

    assert done.returncode == 0, done.stderr
