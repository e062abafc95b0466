"""The predecessor's side of `benchmarks.predecessor`: run by the Python that has celery-dyrygent, and by no other.

It reads a graph as one line of JSON, then one line for each sample that is wanted, and answers each with a line:
the CPU seconds of ticks until the end or the limit, how many ticks, and how many nodes were done by then.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from time import thread_time
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Answer until there is nothing more to read."""
    workflow = _workflow(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        gc.collect()
        gc.disable()
        answer = _sample(workflow, float(line))
        gc.enable()
        print(json.dumps(answer), flush=True)


def _workflow(above: list[list[int]]) -> Any:
    """Build the predecessor's workflow; its package has the name of one of ours, so it is looked up at run time."""
    signature = importlib.import_module("celery.canvas").Signature
    workflow = importlib.import_module("celery_dyrygent.workflows").Workflow()
    nodes: list[Any] = []
    for number, waits_for in enumerate(above):
        task = signature("task").set(task_id=str(number))
        nodes.append(workflow.add_signature(task, [nodes[other] for other in waits_for]))
    return workflow


def _sample(workflow: Any, limit_seconds: float) -> dict[str, float]:
    finished: dict[str, bool] = {}
    workflow.finished, workflow.running = finished, {}
    ticks, taken, start = 0, 0.0, thread_time()
    while taken < limit_seconds and workflow.simulate_tick():
        ticks += 1
        taken = thread_time() - start
    return {"seconds": taken, "ticks": ticks, "done": len(finished), "size": len(workflow.nodes)}


if __name__ == "__main__":
    main()
