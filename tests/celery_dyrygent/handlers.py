"""Handlers of signals, as the predecessor's README has them; a worker imports this with `-I`.

Each call leaves a line in Redis: the signal, its payload, and what the handler saw.
"""

from __future__ import annotations

import json
import os
from typing import Any

from attrs import asdict
from redis import Redis

from celery_dyrygent.workflows import Workflow
from tests.celery_dyrygent.app import REDIS_URL

SIGNALS = "tests:signals:"


def _leave(signal: str, workflow: Workflow, payload: Any) -> None:
    line = {"signal": signal, "payload": payload, "state": workflow.state, "pid": os.getpid()}
    line |= {"custom_payload": workflow.custom_payload} if workflow.custom_payload else {}
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(f"{SIGNALS}{workflow.id}", json.dumps(line))


@Workflow.connect("on_state_change")
def handle_state_change(workflow: Workflow, payload: str) -> None:
    _leave("on_state_change", workflow, payload)


@Workflow.connect("on_finish")
def handle_finish(workflow: Workflow, payload: None) -> None:
    _leave("on_finish", workflow, payload)


@Workflow.connect("after_active_tick")
def handle_active_tick(workflow: Workflow, payload: None) -> None:
    if "app" in workflow.custom_payload:
        for node in workflow.running:
            workflow.custom_payload[f"sent {node}"] = True
            workflow.nodes[node].custom_payload["seen"] = True
    _leave("after_active_tick", workflow, payload)


@Workflow.connect("after_turn")
def handle_turn(workflow: Workflow, payload: Any) -> None:
    _leave("after_turn", workflow, asdict(payload))


@Workflow.connect("on_finish")
def handle_badly(workflow: Workflow, _payload: None) -> None:
    """Die before the end was noted, where a test wants that, and fail otherwise."""
    with Redis.from_url(REDIS_URL) as redis:
        if redis.delete(f"tests:die-in-handler:{workflow.id}"):
            os._exit(1)
    message = "a handler may fail"
    raise ValueError(message)
