"""What celery-dyrygent's README and API promise, on a real worker: each snippet of it, its signals, its payloads.

The placeholders of the README are filled in: `app` and its tasks are those of `tests.celery_dyrygent.app`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest
from celery import Celery, chain, chord
from redis import Redis

from celery_dyrygent.adapter import CeleryAdapter, adapter_of
from celery_dyrygent.celery import entities
from celery_dyrygent.workflows import Workflow, WorkflowState
from dyrygent_core import CycleError, UsageError
from tests.celery_dyrygent.conftest import Workers, wait_until

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "celery_dyrygent-0.8.0-workflows.json"
PREFIX: Final = "tests.celery_dyrygent.app."


@pytest.fixture(scope="module")
def workers(redis_url: str, app: Celery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:  # noqa: ARG001  # it sets where the app's Redis is
    """Run a worker that has the handlers, as this process has them for the tests of this module."""
    from tests.celery_dyrygent import handlers  # noqa: PLC0415  # importing it registers them

    assert handlers.SIGNALS
    workers = Workers(redis_url, tmp_path_factory.mktemp("handlers") / "log")
    workers.start("-I", "tests.celery_dyrygent.handlers")
    yield workers
    workers.kill()
    for registered in Workflow.hooks.values():
        registered.clear()


@pytest.fixture(autouse=True)
def _running(workers: Workers) -> None:
    """Let it run."""


def sig(app: Celery, name: str, *args: object, **options: object) -> Any:
    return app.signature(PREFIX + name, args=args, options=options)


def signals(redis: Redis, workflow: Workflow) -> list[dict[str, Any]]:
    """Wait for the end, and return what the handlers left."""

    def told() -> list[dict[str, Any]]:
        lines = redis.lrange(f"tests:signals:{workflow.id}", 0, -1)
        return [json.loads(line) for line in lines]  # type: ignore[union-attr]

    wait_until(lambda: any(it["signal"] == "on_finish" for it in told()), "on_finish", lambda: str(told()))
    return told()


def _count(told: list[dict[str, Any]], signal: str) -> int:
    return sum(it["signal"] == signal for it in told)


def test_a_canvas_is_started_as_the_readme_says(app: Celery) -> None:
    """`add_celery_canvas` and `apply_async` run a chain before a chord."""
    from celery_dyrygent.tasks import register_workflow_processor  # noqa: PLC0415  # as the README has it

    workflow_processor = register_workflow_processor(app)
    canvas = chain(sig(app, "add", 1, 2)) | chord([sig(app, "add", 1), sig(app, "add", 2)], sig(app, "pack"))

    wf = Workflow()
    wf.add_celery_canvas(canvas)
    result = wf.apply_async()

    assert workflow_processor.name == "workflow-processor"
    assert isinstance(result, entities.AsyncResult)
    assert result.wait(timeout=30) == [[4, 5]]
    assert (result.id, wf.state, set(wf.finished.values()), wf.running) == (wf.id, "SUCCESS", {True}, {})


def test_the_state_is_told_with_its_name(app: Celery, redis: Redis) -> None:
    """`on_state_change` gets the workflow and the state: RUNNING, then the final one; `on_finish` comes after it."""
    wf = Workflow()
    wf.add_celery_canvas(sig(app, "add", 1, 2))
    wf.apply_async()

    told = [it for it in signals(redis, wf) if it["signal"] in ("on_state_change", "on_finish")]

    assert [(it["signal"], it["payload"], it["state"]) for it in told] == [
        ("on_state_change", WorkflowState.RUNNING, "RUNNING"),
        ("on_state_change", WorkflowState.SUCCESS, "SUCCESS"),
        ("on_finish", None, "SUCCESS"),
    ]


def test_a_failure_is_told_at_once(app: Celery, redis: Redis) -> None:
    """A failed task ends the workflow with its first failure, and what ran beside it has run."""
    wf = Workflow()
    bad, good = wf.add_signature(sig(app, "boom")), wf.add_signature(sig(app, "pack"))
    never = wf.add_signature(sig(app, "pack"), [bad])
    result = wf.apply_async()

    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=30)

    assert [it["payload"] for it in signals(redis, wf) if it["signal"] == "on_state_change"] == ["RUNNING", "FAILURE"]
    wait_until(lambda: len(wf.finished) == 2, "both ends", lambda: str(wf.finished))
    assert wf.finished == {bad.id: False, good.id: True}
    assert never.id not in wf.finished
    assert not wf.is_success()


def test_a_rerun_is_told_as_a_new_beginning(app: Celery, redis: Redis) -> None:
    """A workflow that runs again is RUNNING again, and ends again; a pause is no change of its state."""
    wf = Workflow()
    first = wf.add_signature(sig(app, "fail_until", "tests:rerun-signals"))
    wf.add_signature(sig(app, "wait_for", "tests:rerun-open"), [first])
    with pytest.raises(ValueError, match="rerun-signals"):
        wf.apply_async().get(timeout=30)
    redis.set("tests:rerun-signals", 1)

    def states() -> list[str]:
        told = [it["payload"] for it in signals(redis, wf) if it["signal"] == "on_state_change"]
        return [state for state, _ in groupby(told)]  # an end is told at least once

    wait_until(lambda: len(states()) == 2, "the first end", lambda: str(states()))  # which the worker tells
    wf.run.rerun()
    wf.run.pause()
    wf.run.resume()
    redis.set("tests:rerun-open", 1)
    wf.run.wait(timeout=30)

    wait_until(lambda: len(states()) == 4, "the second end", lambda: str(states()))
    assert states() == ["RUNNING", "FAILURE", "RUNNING", "SUCCESS"]


def test_turns_tell_how_far_it_is(app: Celery, redis: Redis) -> None:
    """`after_active_tick` comes when something was sent; `after_turn` after every turn, with done and total."""
    wf = Workflow()
    wf.add_celery_canvas(chain(sig(app, "add", 1, 2), sig(app, "add", 3)))
    wf.apply_async()

    wait_until(lambda: _count(signals(redis, wf), "after_turn") == 3, "three turns", lambda: str(signals(redis, wf)))
    told = signals(redis, wf)

    assert [it["payload"] for it in told if it["signal"] == "after_active_tick"] == [None, None]
    turns = [it["payload"] for it in told if it["signal"] == "after_turn"]
    assert sorted((it["done"], it["total"]) for it in turns) == [(0, 2), (1, 2), (2, 2)]


def test_custom_data_is_stored_beside_workflow_and_nodes(app: Celery, redis: Redis, workers: Workers) -> None:
    """Both are seen by handlers in any process, and what a handler changes is saved."""
    wf = Workflow()
    wf.custom_payload["app"] = "shop"
    previous = None
    for user_id in (7, 8):
        task = sig(app, "pack", user_id)
        task.freeze()
        node = wf.add_signature(task, previous)
        node.custom_payload["user_id"] = user_id
        previous = node
    wf.apply_async().get(timeout=30)

    told = signals(redis, wf)

    sent = {f"sent {node_id}": True for node_id in wf.nodes}
    assert told[-1]["custom_payload"]["app"] == "shop"
    wait_until(lambda: len(Workflow.from_id(wf.id or "").custom_payload) == 3, "both turns' changes", workers.said)
    again = Workflow.from_id(wf.id or "")
    assert again.custom_payload == {"app": "shop", **sent}
    assert [node.custom_payload for node in again.nodes.values()] == [
        {"user_id": 7, "seen": True},
        {"user_id": 8, "seen": True},
    ]


def test_options_are_different_for_the_workflow_and_its_tasks(app: Celery, adapter: CeleryAdapter) -> None:
    """Those of `Workflow` are for our own messages, those of `apply_async` for tasks; a signature's own win."""
    wf = Workflow(options={"priority": 9})
    own = wf.add_signature(sig(app, "pack", 1, priority=3))
    other = wf.add_signature(sig(app, "pack", 2), [own])
    other.signature.set(shadow="seen in Flower")
    wf.apply_async(options={"priority": 8}).get(timeout=30)

    again = Workflow.from_id(wf.id or "")

    options = {node_id: again.nodes[node_id].signature.options for node_id in (own.id, other.id)}
    assert options[own.id]["priority"] == 3
    assert (options[other.id]["priority"], options[other.id]["shadow"]) == (8, "seen in Flower")
    assert adapter.journal.annotations(again.run.key)["processor_options"] == {"priority": 9}


def test_a_handler_that_fails_or_dies_holds_up_nobody(app: Celery, redis: Redis) -> None:
    """A failure is logged; if the process dies in a handler of the end, the end is told again."""
    wf = Workflow()
    wf.add_celery_canvas(sig(app, "add", 1, 2))
    wf.freeze()
    redis.set(f"tests:die-in-handler:{wf.id}", 1)
    assert wf.apply_async().get(timeout=30) == 3

    def finished() -> list[int]:
        return [it["pid"] for it in signals(redis, wf) if it["signal"] == "on_finish"]

    wait_until(lambda: len(set(finished())) == 2, "the end once more, in another process", lambda: str(finished()))
    wait_until(
        lambda: not adapter_of(app).journal.definition(wf.id or "").is_open, "the close", lambda: str(finished())
    )


def test_the_wishes_of_the_readme_are_there(app: Celery) -> None:
    """Results are passed, and one task each sees to an error, and to the end, of the whole."""
    wf = Workflow()
    wf.add_celery_canvas(chain(sig(app, "pack", 1), sig(app, "boom")))
    error = wf.on_error(sig(app, "pack", wf.summary["state"]))
    final = wf.finally_(sig(app, "pack", wf.summary["failed_count"]))
    result = wf.apply_async()

    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=30)

    assert entities.AsyncResult(error.id, app=app).get(timeout=10) == ["FAILURE"]
    assert entities.AsyncResult(final.id, app=app).get(timeout=10) == [1]


# Frozen workflows


def test_a_frozen_workflow_is_a_signature(app: Celery, redis: Redis) -> None:
    """Sent by itself it starts the workflow in a worker, under the id that is known already, payloads included."""
    wf = Workflow()
    wf.custom_payload["order"] = 7
    wf.add_celery_canvas(chain(sig(app, "pack", 1), sig(app, "pack", 2)))

    signature = wf.freeze()

    assert signature.kwargs
    assert (signature.id, wf.state) == (wf.id, WorkflowState.INITIAL)
    assert (wf.processing_limit_ts or 0) > 1_700_000_000
    assert signature.apply_async().get(timeout=30) == [[1], 2]
    assert signals(redis, wf)[-1]["custom_payload"] == {"order": 7}
    assert wf.apply_async().get(timeout=30) == [[1], 2]  # which is the same run


def test_a_frozen_workflow_takes_no_callbacks(app: Celery) -> None:
    """In a chain what follows it would run too early, so the workflow is not started, and its result says why."""
    wf = Workflow()
    wf.add_celery_canvas(sig(app, "pack", 1))
    signature = wf.freeze()

    chain(signature, sig(app, "pack")).apply_async()

    with pytest.raises(UsageError, match=r"add what follows to the workflow itself"):
        entities.AsyncResult(wf.id, app=app).get(timeout=30)


def test_a_workflow_that_the_predecessor_has_frozen_is_started(app: Celery) -> None:
    """Its message is read as it is: its nodes run in their order, with their own arguments only."""
    frozen = json.loads(GOLDEN.read_text())["frozen"]

    app.send_task("workflow-processor", kwargs={"workflow_dict": frozen}, task_id=frozen["id"])

    result = entities.AsyncResult(frozen["id"], app=app)
    assert result.get(timeout=30) == ["d"]
    wf = Workflow.from_id(frozen["id"])
    assert list(wf.nodes) == ["a", "b", "c", "d"]
    assert (wf.custom_payload, wf.nodes["b"].custom_payload) == ({"order": "order-7"}, {"user_id": 7})


def test_a_workflow_that_the_predecessor_runs_is_refused(app: Celery) -> None:
    """How far it is stands in its messages, which are no journal; its result says what to do, and nothing is run."""
    running = json.loads(GOLDEN.read_text())["in flight"]

    app.send_task("workflow-processor", kwargs={"workflow_dict": running}, task_id=running["id"])

    with pytest.raises(UsageError, match=r"'in-flight' is in RUNNING, and was started by celery-dyrygent"):
        entities.AsyncResult(running["id"], app=app).get(timeout=30)


# After the start


def test_a_workflow_that_was_started_stays_as_it_is(app: Celery, redis: Redis) -> None:
    """Nodes, dependencies and limits are refused then, and what runs does not change; `tick` takes a turn by hand."""
    wf = Workflow()
    one, two = wf.add_signature(sig(app, "wait_for", "tests:stays")), wf.add_signature(sig(app, "pack", 2))
    result = wf.apply_async()

    for refused in (
        lambda: two.add_dependency(one),
        lambda: wf.add_signature(sig(app, "pack")),
        lambda: wf.finally_(sig(app, "pack")),
        lambda: wf.skip_tasks([two.id]),
        lambda: wf.set_max_processing_time(1),
        wf.simulate_tick,
    ):
        with pytest.raises(UsageError, match="has been started"):
            refused()
    with pytest.raises(UsageError, match="it has been started, and goes on by itself"):
        Workflow.from_dict(wf.to_dict())
    assert wf.tick()
    assert (len(wf.nodes), two.dependencies) == (2, {})
    result.revoke()
    redis.set("tests:stays", 1)  # what runs is let go on
    wait_until(lambda: wf.state == WorkflowState.CANCELLED, "the end", lambda: wf.state)
    assert not wf.tick()


def test_a_cycle_is_not_started(app: Celery) -> None:
    """It is told with its path, and the journal has nothing of it."""
    wf = Workflow()
    one = wf.add_signature(sig(app, "pack", 1, task_id="one"))
    two = wf.add_signature(sig(app, "pack", 2, task_id="two"), [one])
    one.add_dependency(two)

    with pytest.raises(CycleError, match="one"):
        wf.apply_async()
    assert (wf.id, wf.state) == (None, "INITIAL")
