"""The public API as a user types it. Never run: the type checkers read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    Graph,
    Node,
    NodeHandle,
    ResultRef,
    State,
    Status,
    Succeeded,
    Workflow,
    WorkflowState,
    advance,
    call,
)
from dyrygent_core.ports import Journal
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal, open_journal
from local_dyrygent import LocalAdapter


def core() -> None:
    graph = Graph([Node("a"), Node("b", ["a"], trigger="all_done")])
    state = State.initial(graph)
    state, attempts = advance(graph, state, [Begin(), Succeeded(Attempt("a"))])
    assert_type(state, State)
    assert_type(attempts, tuple[Attempt, ...])
    assert_type(state.status("a"), Status)
    assert_type(state.statuses, Mapping[str, Status])
    assert_type(state.workflow_state, WorkflowState)


def builder() -> Workflow:
    workflow = Workflow("onboard")
    assert_type(call("users.create", "a@example.org"), Call)
    user = workflow.add(call("users.create", "a@example.org"))
    assert_type(user, NodeHandle)
    assert_type(user.result["id"], ResultRef)
    workflow.add(call("mail.welcome", user.result["id"]).with_options(queue="mail"), after=[user.done])
    workflow.add(call("log"), after=user, id="log", max_attempts=3, on_loss="fail")
    workflow.returns({"user": user.result})
    return workflow


def runtime(journal: Journal) -> None:
    with LocalAdapter({"users.create": str}, journal=journal) as adapter:
        run = adapter.start(builder(), id="one", on_conflict="error", tags=["a"])
        assert_type(run, Run)
        assert_type(run.wait(timeout=60), WorkflowState)
        run.cancel("enough")


def journals() -> tuple[Journal, Journal]:
    return MemoryJournal(), open_journal("redis://localhost")
