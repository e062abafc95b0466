"""A hundred thousand nodes are an ordinary input: nothing recurses, nothing is quadratic.

Each script runs in a process of its own, with no more stack than 200 calls.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

SIZE: Final = 100_000

PRELUDE: Final = f"""
import sys
from dyrygent_core import *
from dyrygent_core.codec import JSON_VALUES, decode_definition, digest, encode_definition
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
write(graph)
"""
STAR: Final = """
roots = [f"n{at}" for at in range(SIZE)]
graph = Graph([*map(Node, roots), Node("join", roots), *(Node(f"leaf{at}", ["join"]) for at in range(SIZE))])
run(graph, [*roots, "join", *(f"leaf{at}" for at in range(SIZE))])
assert fail(graph, "n7") == SIZE + 1
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
STEPS: Final = """
import time
graph = Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(SIZE))
state, _ = advance(graph, State.initial(graph), [Begin()])
began = time.process_time()
for at in range(2_000):
    state, emitted = advance(graph, state, [Succeeded(Attempt(f"n{at}"))])
    assert emitted == (Attempt(f"n{at + 1}"),)
seconds = time.process_time() - began
assert seconds < 2, f"{seconds / 2_000 * 1e6:.0f} microseconds a step"
"""


@pytest.mark.parametrize(
    "script",
    [CHAIN, STAR, CYCLE, BUILDER, STEPS],
    ids=["chain", "star", "cycle", "builder", "steps"],
)  # fmt: skip
def test_size_is_no_obstacle(script: str) -> None:
    """Build, run to the end, fail, write down and read again; a step costs the same as in a small graph."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
