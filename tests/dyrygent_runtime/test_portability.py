"""What a workflow must keep to if it is to run on any engine, and what is said to one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dramatiq
import pytest
from celery import Celery
from dramatiq.brokers.stub import StubBroker

import celery_dyrygent
import dramatiq_dyrygent
from celery_dyrygent import CeleryAdapter
from dramatiq_dyrygent import DramatiqAdapter
from dyrygent_core import UsageError, Workflow, call
from dyrygent_runtime import EngineAdapter, check_portable
from dyrygent_runtime.journals import MemoryJournal
from local_dyrygent import LocalAdapter


@pytest.fixture
def engines() -> Iterator[dict[str, EngineAdapter]]:
    """Adapters that know one name, and none of which runs anything."""
    app = Celery("portable", broker="memory://", set_as_current=False)
    broker = StubBroker()
    dramatiq.actor(print, actor_name="print", broker=broker)
    broker.declare_queue("mail")
    with LocalAdapter({"print": print}) as local:
        yield {
            "Celery": CeleryAdapter(app, journal=MemoryJournal()),
            "Dramatiq": DramatiqAdapter(broker, journal=MemoryJournal()),
            "LocalAdapter": local,
        }
    broker.close()


def of(*args: Any, **options: Any) -> Workflow:
    workflow = Workflow()
    workflow.add(call("print", *args).with_options(**options), id="node")
    return workflow


def test_a_portable_workflow_is_accepted_by_all(engines: dict[str, EngineAdapter]) -> None:
    """Calls with JSON values and a queue: the check says nothing, and each engine takes them."""
    workflow = of({"a": [1, None, "ż"]}, queue="mail")
    check_portable(workflow, *engines.values())

    for adapter in engines.values():
        adapter.start(workflow)


@pytest.mark.parametrize(
    ("workflow", "repair"),
    [
        (of(time_limit=3), r"node 'node' has the option 'time_limit'.*timeout=…; Celery counts it in seconds"),
        (of(max_retries=3), "'max_retries', which is not every engine's: add the node with max_attempts=…"),
        (of(countdown=3), "'countdown'.*: let the node wait for one that takes that long"),
        (of(serializer="json"), "'serializer'.*: declare it where the task is"),
        (of(datetime.now(UTC)), "the arguments of node 'node' .*datetime"),
        (of(float("nan")), "the arguments of node 'node' .*Out of range"),
        (celery_dyrygent.Workflow(), "celery_dyrygent.Workflow is Celery's own.*runs on every engine, add calls to"),
        (dramatiq_dyrygent.Workflow(), "dramatiq_dyrygent.Workflow is Dramatiq's own"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_what_some_engine_would_not_understand_is_refused(workflow: Workflow, repair: str) -> None:
    """The message names what stands in the way, and what to write instead."""
    with pytest.raises(UsageError, match=repair):
        check_portable(workflow)


def test_adapters_are_asked_for_what_they_know(engines: dict[str, EngineAdapter]) -> None:
    """A name or a queue that is missing on one of the engines is found by asking that one."""
    workflow = of(queue="fast")
    check_portable(workflow, engines["Celery"], engines["LocalAdapter"])
    with pytest.raises(UsageError, match="the queue 'fast', which no worker consumes"):
        check_portable(workflow, *engines.values())

    other = Workflow()
    other.add(call("prnt"))
    check_portable(other)
    with pytest.raises(UsageError, match="no function is named 'prnt'; did you mean 'print'"):
        check_portable(other, engines["LocalAdapter"])


@pytest.mark.parametrize(
    ("builder", "takers"),
    [
        (celery_dyrygent.Workflow, {"Celery"}),
        (dramatiq_dyrygent.Workflow, {"Dramatiq"}),
        (Workflow, {"Celery", "Dramatiq", "LocalAdapter"}),
    ],
)
def test_an_engines_own_builder_starts_on_that_engine_only(
    engines: dict[str, EngineAdapter], builder: type[Workflow], takers: set[str]
) -> None:
    """Whatever is in it: another engine refuses it, and writes nothing."""
    for name, adapter in engines.items():
        workflow = builder()
        workflow.add(call("print"))
        if name in takers:
            adapter.start(workflow, id="taken")
            continue
        with pytest.raises(UsageError, match=f"for one that runs on {name}, add calls to a dyrygent_core.Workflow"):
            adapter.start(workflow, id="taken")
        with pytest.raises(LookupError):
            adapter.journal.definition("taken")


@pytest.mark.parametrize(
    ("options", "repair"),
    [
        ({"max_retries": 3}, "which Celery has not; add the node with max_attempts=…"),
        ({"delay": 3_000}, "write countdown, in seconds"),
        ({"queue_name": "mail"}, "write queue"),
    ],
)
def test_dramatiqs_options_are_refused_by_celery(
    engines: dict[str, EngineAdapter], options: dict[str, Any], repair: str
) -> None:
    """Celery would take them and do nothing; options that nobody is known to have may be a router's."""
    with pytest.raises(UsageError, match=repair):
        engines["Celery"].start(of(**options), id="refused")
    with pytest.raises(LookupError):
        engines["Celery"].journal.definition("refused")
    engines["Celery"].start(of(shard=3))
