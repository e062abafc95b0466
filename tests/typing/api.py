"""The public API as a user types it. Never run: the type checkers read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never, assert_type

from dyrygent_core import (
    Attempt,
    Begin,
    Call,
    Graph,
    History,
    Node,
    NodeHandle,
    PathStep,
    Progress,
    Ran,
    ResultRef,
    State,
    Status,
    Succeeded,
    Workflow,
    WorkflowState,
    advance,
    call,
)
from dyrygent_core.ports import Entry, Journal, Listed, Page
from dyrygent_runtime import (
    Listener,
    NodeChanged,
    Notification,
    OnConflict,
    OnUnfinished,
    Run,
    TurnTaken,
    WorkflowChanged,
    page_of_runs,
    purge,
    runs,
    start,
)
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


def starting(journal: Journal) -> None:
    with LocalAdapter({"users.create": str}, journal=journal) as adapter:
        run = adapter.start(builder(), id="one", on_conflict="error", tags=["a"])
        assert_type(run, Run)
        start(adapter, builder(), on_conflict=OnConflict.EXISTING, tags=("a", "b"), journal=journal)
        assert_type(Run.from_id("one", journal), Run)
        Run.from_id("one", journal, adapter)


def questions(run: Run, node: NodeHandle) -> None:
    assert_type(run.id, str)
    assert_type(run.name, str)
    assert_type(run.tags, tuple[str, ...])
    assert_type(run.state, State)
    assert_type(run.workflow_state, WorkflowState)
    assert_type(run.statuses, Mapping[str, Status])
    assert_type(run.progress, Progress)
    assert_type(run.status(node), Status)
    assert_type(run.wait(timeout=60), WorkflowState)
    assert_type(run.result(), Any)
    assert_type(run.result(node), Any)
    assert_type(run.results(), dict[str, Any])
    assert_type(run.results([node, "log"]), dict[str, Any])
    assert_type(run.history(), History)
    assert_type(run.history()[0], Entry)
    assert_type(run.history()[1:], tuple[Entry, ...])
    assert_type(run.explain(node), str)
    assert_type(run.story("log"), tuple[str, ...])
    assert_type(run.critical_path(), tuple[PathStep, ...])
    assert_type(run.timeline(), dict[str, Ran])


async def in_a_loop(run: Run) -> None:
    assert_type(await run.wait_async(timeout=1.5), WorkflowState)


def requests(run: Run, node: NodeHandle) -> None:
    run.pause("lunch")
    run.resume()
    run.skip(node, "not today")
    run.cancel("enough")
    run.rerun()
    run.rerun(node)
    run.rerun([node, "log"])
    run.delete()
    run.delete(on_unfinished="delete")
    run.delete(on_unfinished=OnUnfinished.ERROR)


def listing(journal: Journal) -> None:
    assert_type(runs(journal), Iterator[Listed])
    runs(journal, states=["FAILURE", WorkflowState.ERROR], name="onboard", tags={"eu"})
    runs(journal, created_from=datetime(2024, 1, 1, tzinfo=UTC), created_to=None)
    page = page_of_runs(journal, limit=20, states=["RUNNING"])
    assert_type(page, Page)
    page_of_runs(journal, after=page.following, states=["RUNNING"])
    assert_type(purge(journal, closed_for=timedelta(days=30)), int)


def listening(adapter: LocalAdapter) -> None:
    heard: list[Notification] = []
    adapter.conductor.listeners.add(heard.append)
    adapter.conductor.listeners.add(listener)
    assert_type(adapter.conductor.listeners.failures, tuple[tuple[Listener, int], ...])


def listener(notification: Notification) -> None:
    match notification:
        case NodeChanged():
            assert_type(notification.status, Status)
            assert_type(notification.attempt, Attempt | None)
        case WorkflowChanged():
            assert_type(notification.state, WorkflowState)
        case TurnTaken():
            assert_type(notification.state, State)
            assert_type(notification.emitted, tuple[Attempt, ...])
        case _:
            assert_never(notification)


def journals() -> tuple[Journal, Journal]:
    return MemoryJournal(), open_journal("redis://localhost")
