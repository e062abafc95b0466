"""Workflows as dicts: ours through JSON and back, and those that celery-dyrygent has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from celery import chain, group

from celery_dyrygent.workflows import Workflow, WorkflowException
from dyrygent_core import RetryPolicy
from tests.celery_dyrygent.evaluation import diamond, edges, named, s

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "celery_dyrygent-0.8.0-workflows.json"


def everything() -> Workflow:
    """Give a workflow that has something of all."""
    workflow = Workflow({"priority": 4}, name="all", max_in_flight=3, mode="fail_fast")
    last = workflow.add_celery_canvas(
        chain(s("const", 1), group(s("pack", 2), s("pack", [3])), s("packkw", x={"y": 1}))
    )
    workflow.add(s("pack", last[0].result[0].default("none")).set(queue="q"), id="mapped", each=last[0], timeout=5_000)
    workflow.add_signature(named("pack", "hand"), [last[0].done])
    workflow.add(s("pack"), id="retried", max_attempts=3, retry=RetryPolicy(10), trigger="all_done", after=["hand"])
    workflow.finally_(s("pack", workflow.summary))
    workflow.custom_payload["order"] = 7
    workflow.nodes["hand"].custom_payload["user_id"] = 8
    return workflow


def test_a_dict_holds_the_whole_workflow() -> None:
    """Through JSON and back everything is as it was; the keys are the predecessor's."""
    workflow = everything()
    workflow.evaluate_processing_limit()

    written = json.loads(json.dumps(workflow.to_dict()))
    again = Workflow.from_dict(written)

    assert json.loads(json.dumps(again.to_dict())) == written
    assert again.build() == workflow.build()
    assert again.generated == workflow.generated
    assert (again.custom_payload, again.nodes["hand"].custom_payload) == ({"order": 7}, {"user_id": 8})
    assert (again.workflow_options, again.name, again.processing_limit_ts) == (
        {"priority": 4},
        "all",
        workflow.processing_limit_ts,
    )
    assert written.keys() - {"dyrygent"} == json.loads(GOLDEN.read_text())["frozen"].keys()


def test_a_dict_keeps_what_was_skipped() -> None:
    """It is among `finished`, and is skipped again."""
    workflow, _ = diamond()
    workflow.skip_tasks(["a", "b"])

    again = Workflow.from_dict(workflow.to_dict())

    assert (again.finished, edges(again)) == ({"a": True, "b": True}, {"c": (), "d": ("c",)})


def test_two_workflows_of_one_dict_share_nothing() -> None:
    """What is changed in one is not changed in the other, nor in the dict."""
    written = everything().to_dict()
    one, two = Workflow.from_dict(written), Workflow.from_dict(written)

    one.custom_payload["order"] = 8
    one.nodes["hand"].custom_payload["user_id"] = 9
    one.retry_policy.append(1)

    assert (two.custom_payload, two.nodes["hand"].custom_payload) == ({"order": 7}, {"user_id": 8})
    assert (written["custom_payload"], two.retry_policy) == ({"order": 7}, ["random", 10, 30])


def test_a_dict_of_the_predecessor_is_read() -> None:
    """With its order, its arguments and no results passed, options, payloads and its limit."""
    workflow = Workflow.from_dict(json.loads(GOLDEN.read_text())["frozen"])

    assert edges(workflow) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert (workflow.id, workflow.custom_payload, workflow.workflow_options) == (
        "from-the-predecessor",
        {"order": "order-7"},
        {"priority": 3},
    )
    definition, calls = workflow.build()
    assert definition.engine_named == {"a", "b", "c", "d"}
    assert calls[1].options == {"queue": "celery"}
    assert (workflow.max_processing_time or 0) > 30 * 365 * 86_400


def test_a_workflow_in_flight_is_refused() -> None:
    """One of the predecessor's, since how far it is stands in its messages."""
    running = json.loads(GOLDEN.read_text())["in flight"]

    with pytest.raises(WorkflowException, match="let its own workers finish it"):
        Workflow.from_dict(running)


@pytest.mark.parametrize("damage", [{}, {"nodes": {"a": {}}}, {"nodes": {"a": None}}, {"nodes": [1]}, {"nodes": 5}])
def test_what_is_no_workflow_is_refused(damage: Any) -> None:
    """Whatever is missing or odd in a dict, the answer is one clear error."""
    with pytest.raises(WorkflowException, match="this is no workflow as to_dict writes it"):
        Workflow.from_dict(damage)


def test_a_reference_to_nowhere_is_refused() -> None:
    """A place in the arguments that is not there is told with its node."""
    written = everything().to_dict()
    node = next(it for it in written["nodes"].values() if "references" in it)
    node["references"][0][0] = ["args", 99]

    with pytest.raises(WorkflowException, match=f"node '{node['id']}' of this workflow cannot be read"):
        Workflow.from_dict(written)


def test_a_payload_that_cannot_be_written_is_refused_before_the_start() -> None:
    """By the name of its owner."""
    workflow, (a, *_) = diamond()
    a.custom_payload["who"] = object()

    with pytest.raises(WorkflowException, match="the custom_payload of node 'a' cannot be written as JSON"):
        workflow.notes()


def test_subclasses_are_workflows_of_their_own() -> None:
    """`from_dict` gives the class it is called on, with all nodes."""

    class Mine(Workflow):
        pass

    workflow, _ = diamond()
    assert type(Mine.from_dict(workflow.to_dict())) is Mine
