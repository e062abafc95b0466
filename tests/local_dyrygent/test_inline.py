"""Without threads: whoever starts a workflow runs it, here and now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import (
    Lost,
    RetryPolicy,
    SkipNode,
    Status,
    Take,
    UsageError,
    Workflow,
    WorkflowFailedError,
    WorkflowState,
    call,
)
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal, open_journal
from local_dyrygent import LocalAdapter


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A journal in memory, and one on a file."""
    journal = MemoryJournal() if request.param == "memory" else open_journal(f"sqlite:///{tmp_path / 'runs.db'}")
    yield journal
    journal.dispose()


def test_a_workflow_has_ended_when_its_start_returns(journal: Any) -> None:
    """Functions run in the thread that starts, one after the other, in the order in which they would be sent."""
    seen: list[tuple[str, threading.Thread]] = []

    def note(name: str) -> str:
        seen.append((name, threading.current_thread()))
        return name

    workflow = Workflow()
    roots = [workflow.add(call("note", name)) for name in "abc"]
    below = [workflow.add(call("note", f"{name}{name}"), after=node) for name, node in zip("abc", roots, strict=True)]
    workflow.returns([node.result for node in [*roots, *below]])
    with LocalAdapter({"note": note}, workers=0, journal=journal) as local:
        run = local.start(workflow)

        assert run.workflow_state is WorkflowState.SUCCESS
        assert run.result() == ["a", "b", "c", "aa", "bb", "cc"]
    assert [name for name, _ in seen] == ["a", "b", "c", "aa", "bb", "cc"]
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_delays_between_attempts_are_not_waited_for(journal: Any) -> None:
    """A node is tried again at once, whatever its policy says of delays."""
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            message = "not yet"
            raise ValueError(message)
        return len(tries)

    workflow = Workflow()
    workflow.add(call("flaky"), max_attempts=3, retry=RetryPolicy(delay_ms=3_600_000))
    with LocalAdapter({"flaky": flaky}, workers=0, journal=journal) as local:
        assert local.start(workflow).result() == 3


def test_everything_else_is_as_with_threads(journal: Any) -> None:
    """Maps, branches, skips, failures and finalizers come to what they come to elsewhere."""

    def choose() -> Take:
        return Take([1, 2], branches=["squares"])

    def square(number: int) -> int:
        if number == 1:
            message = "one is its own"
            raise SkipNode(message)
        return number * number

    def fail() -> None:
        message = "boom"
        raise ValueError(message)

    workflow = Workflow(deadline=timedelta(days=1), max_in_flight=1)
    chosen = workflow.add(call("choose"), id="choose")
    squares = workflow.add(call("square"), each=chosen, id="squares")
    other = workflow.add(call("choose"), after=chosen)
    bad = workflow.add(call("fail"), after=squares, allow_failure=True)
    last = workflow.finally_(call("keep", workflow.summary["state"]))
    workflow.returns([squares.result, last.result])
    functions = {"choose": choose, "square": square, "fail": fail, "keep": lambda state: state}
    with LocalAdapter(functions, workers=0, journal=journal) as local:
        run = local.start(workflow)

    assert run.result() == [[None, 4], "SUCCESS"]
    assert run.status(other) is Status.SKIPPED
    assert run.status(bad) is Status.FAILED


def test_a_function_may_start_a_workflow(journal: Any) -> None:
    """Another workflow is run to its end within the function that starts it."""

    def outer(number: int) -> int:
        inner = Workflow()
        inner.add(call("double", number))
        return int(local.start(inner).result())

    workflow = Workflow()
    workflow.add(call("outer", 4))
    with LocalAdapter({"outer": outer, "double": lambda x: 2 * x}, workers=0, journal=journal) as local:
        assert local.start(workflow).result() == 8


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_comes_out_and_leaves_a_run_that_can_go_on(
    journal: Any, interruption: type[BaseException]
) -> None:
    """What is no `Exception` comes out of the start; the attempt is lost, and the same start again goes on."""
    calls: list[str] = []

    def stop() -> str:
        calls.append("stop")
        if len(calls) == 2:
            raise interruption
        return "stopped not"

    def note() -> None:
        calls.append("note")

    def workflow() -> Workflow:
        it = Workflow()
        first = it.add(call("note"), id="first")
        stops = it.add(call("stop"), id="stop", after=first)
        it.add(call("note"), after=first)
        it.returns(stops.result)
        return it

    with LocalAdapter({"stop": stop, "note": note}, workers=0, journal=journal) as local:
        with pytest.raises(interruption):
            local.start(workflow(), id="interrupted")
        run = Run.from_id("interrupted", journal, local)
        assert run.workflow_state is WorkflowState.RUNNING
        assert local.start(workflow(), id="interrupted").result() == "stopped not"

    assert sorted(calls) == ["note", "note", "stop", "stop"]
    lost = [it.observation for it in run.history() if isinstance(it.observation, Lost)]
    assert [it.reason for it in lost] == [f"interrupted by {interruption.__name__}"]


def test_a_paused_workflow_waits_for_who_resumes_it(journal: Any) -> None:
    """A start returns when nothing is left that may run; who resumes the workflow runs the rest of it."""

    def pause() -> None:
        Run.from_id("paused", journal, local).pause()

    workflow = Workflow()
    workflow.add(call("rest"), after=workflow.add(call("pause")))
    with LocalAdapter({"pause": pause, "rest": lambda: "rested"}, workers=0, journal=journal) as local:
        run = local.start(workflow, id="paused")
        assert run.state.is_paused
        run.resume()

        assert run.result() == "rested"


def test_a_cancelled_workflow_runs_no_more(journal: Any) -> None:
    """What a function cancels does not begin any more, though it is queued already."""

    def cancel() -> None:
        Run.from_id("cancelled", journal, local).cancel()

    workflow = Workflow()
    workflow.add(call("cancel"), id="cancels")
    queued = workflow.add(call("fail"), id="queued")
    with LocalAdapter({"cancel": cancel, "fail": pytest.fail}, workers=0, journal=journal) as local:
        run = local.start(workflow, id="cancelled")

    assert run.workflow_state is WorkflowState.CANCELLED
    assert run.status(queued) is Status.CANCELLED


def test_what_others_run_is_not_taken_over(journal: Any) -> None:
    """An adapter without threads leaves alone what one that lives has begun."""
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(20)
        return "slow"

    workflow = Workflow()
    workflow.add(call("slow"))
    with LocalAdapter({"slow": slow}, journal=journal) as threads:
        run = threads.start(workflow)
        assert begun.wait(20)
        with LocalAdapter({"slow": pytest.fail}, workers=0, journal=journal) as inline:
            assert [it.id for it in inline.resume()] == [run.id]
        go.set()

        assert run.wait(20) is WorkflowState.SUCCESS


def test_a_failure_is_told_by_the_run(journal: Any) -> None:
    """A start does not raise what a function has raised; the run's result does, in its words."""
    workflow = Workflow()
    workflow.add(call("fail"))

    def fail() -> None:
        message = "boom"
        raise ValueError(message)

    with LocalAdapter({"fail": fail}, workers=0, journal=journal) as local:
        run = local.start(workflow)

    with pytest.raises(WorkflowFailedError, match="node 'fail' failed first: ValueError: boom"):
        run.result()


@pytest.mark.parametrize("workers", [-1, 1.5, "4", None])
def test_a_number_of_workers_that_cannot_be_is_refused(workers: Any) -> None:
    """The message says what 0 means."""
    with pytest.raises(UsageError, match="or 0 to run in the thread that starts"):
        LocalAdapter({}, workers=workers)
