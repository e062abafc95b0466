"""What a workflow must keep to if it is to run on any engine: calls of the core, JSON values, and no engine's options.

Everything here is checked by each engine's own `start` too, as far as that engine minds it. `check_portable` minds what
any of them does.
"""

from __future__ import annotations

from typing import Final

from dyrygent_core import Call, UsageError, Workflow
from dyrygent_core.codec import JSON_VALUES, encode_call
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Adapter

__all__ = ["NEUTRAL_OPTIONS", "check_engine", "check_portable"]

NEUTRAL_OPTIONS: Final = frozenset({"queue"})
"""Options of a call that every engine takes: they say where it runs, and not how."""
_INSTEAD: Final = {
    "countdown": "let the node wait for one that takes that long, or start the workflow later",
    "delay": "let the node wait for one that takes that long, or start the workflow later",
    "max_retries": "add the node with max_attempts=…",
    "min_backoff": "add the node with retry=RetryPolicy(…)",
    "max_backoff": "add the node with retry=RetryPolicy(…)",
    "priority": "add the node with priority=…",
    "retry_policy": "add the node with retry=RetryPolicy(…)",
    "soft_time_limit": "add the node with timeout=…",
    "time_limit": "add the node with timeout=…; Celery counts it in seconds, and Dramatiq in milliseconds",
}


def check_portable(workflow: Workflow, *adapters: Adapter) -> None:
    """Raise `UsageError` for a workflow that some engine would refuse, or understand otherwise; nothing is started.

    `adapters`: those that it is to run on; each is asked whether it can, which no list of rules tells: whether it knows
    the names, and the queues. Whether results are JSON shows only when they are there.
    Cost: O(nodes) for each adapter.
    """
    if workflow.engine:
        check_engine(workflow, "")
    definition, calls = workflow.build()
    for node, call in zip(definition.graph.nodes, calls, strict=True):
        _check_options(node.id, call)
        encode_call(node.id, call, JSON_VALUES)
        for adapter in adapters:
            adapter.check(call)
            encode_call(node.id, call, adapter.values)


def check_engine(workflow: Workflow, engine: str) -> None:
    """Raise `UsageError` for a workflow whose builder is another engine's own."""
    if workflow.engine in ("", engine):
        return
    kind = type(workflow)
    where = f"on {engine}" if engine else "on every engine"
    message = (
        f"a {kind.__module__.partition('.')[0]}.{kind.__name__} is {workflow.engine}'s own, and may hold what only it "
        f"understands; for one that runs {where}, add calls to a dyrygent_core.Workflow"
    )
    raise UsageError(message)


def _check_options(node: str, call: Call) -> None:
    for name in sorted(call.options.keys() - NEUTRAL_OPTIONS):
        hint = _INSTEAD.get(name, "declare it where the task is")
        message = f"node {quoted(node)} has the option {quoted(name)}, which is not every engine's: {hint}"
        raise UsageError(message)
