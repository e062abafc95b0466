"""A workflow on RQ, whose Redis is at RQ_REDIS_URL, or else at redis://localhost:6379/0. From this folder.

rq worker --worker-class rq_app.Worker      in one terminal, or in several
python rq_app.py Ada Grace Hedy             in another
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from redis import Redis
from rq_adapter import RQAdapter, WorkflowWorker

from dyrygent_core import Workflow, call
from dyrygent_runtime.journals import open_journal

__all__ = ["Worker", "adapter", "greet", "greetings", "join"]

_URL: Final = os.environ.get("RQ_REDIS_URL", "redis://localhost:6379/0")

adapter = RQAdapter(Redis.from_url(_URL), open_journal(_URL))


class Worker(WorkflowWorker):
    """RQ's worker for these workflows, and for whatever else is enqueued with `WorkflowValues`."""

    adapter = adapter


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


def join(parts: Sequence[str]) -> str:
    """Make one text of several."""
    return ", ".join(parts)


def greetings(names: Sequence[str]) -> Workflow:
    """Greet everybody, by a job each, and join the greetings by another."""
    workflow = Workflow("greetings")
    parts = [workflow.add(call("rq_app.greet", name)).result for name in names]
    workflow.add(call("rq_app.join", parts))
    return workflow


if __name__ == "__main__":
    run = adapter.start(greetings(sys.argv[1:] or ["world"]))
    run.wait(timeout=60)
    print(run.result())
