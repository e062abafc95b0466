"""The local adapter: plain functions in threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import Attempt, RetryPolicy, Status, UsageError, Workflow, WorkflowFailedError, WorkflowState, call
from dyrygent_core.errors import JournalUnavailableError, ResultNotKeptError, WorkflowExistsError
from dyrygent_runtime import NodeChanged, Settings
from dyrygent_runtime.journals import MemoryJournal, open_journal
from dyrygent_runtime.listeners import Notification
from local_dyrygent import LocalAdapter


def boom() -> None:
    """Fail."""
    message = "boom"
    raise ValueError(message)


FUNCTIONS = {
    "add": lambda x, y: x + y,
    "const": lambda value: value,
    "total": sum,
    "boom": boom,
    "object": object,
}


@pytest.fixture
def adapter() -> Iterator[LocalAdapter]:
    with LocalAdapter(FUNCTIONS) as local:
        yield local


def test_results_flow_along_references(adapter: LocalAdapter) -> None:
    """A node gets the results it refers to, wherever the references stand in its arguments."""
    workflow = Workflow("sum")
    numbers = [workflow.add(call("const", {"n": [0, n]})) for n in (1, 2, 3)]
    total = workflow.add(call("total", [it.result["n"][1] for it in numbers]))
    workflow.add(call("add", total.result, 10))

    run = adapter.start(workflow)

    assert run.wait(10) is WorkflowState.SUCCESS
    assert run.result() == 16
    assert run.result(total) == 6


def test_a_failing_function_fails_what_needs_it(adapter: LocalAdapter) -> None:
    """A function that raises fails its node; the workflow tells which, and why."""
    workflow = Workflow()
    bad = workflow.add(call("boom"))
    below = workflow.add(call("const", 1), after=bad)
    whatever = workflow.add(call("const", 2), after=bad.done)

    run = adapter.start(workflow)

    assert run.wait(10) is WorkflowState.FAILURE
    assert run.status(below) is Status.UPSTREAM_FAILED
    assert run.status(whatever) is Status.SUCCEEDED
    with pytest.raises(WorkflowFailedError, match="node 'boom' failed first: ValueError: boom"):
        run.result()


def test_retries_run_the_function_again() -> None:
    """A node with attempts left is tried again after its delay."""
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            message = "not yet"
            raise ValueError(message)
        return len(tries)

    with LocalAdapter({"flaky": flaky}) as local:
        workflow = Workflow()
        workflow.add(call("flaky"), max_attempts=3, retry=RetryPolicy(delay_ms=10))
        run = local.start(workflow)

        assert run.wait(10) is WorkflowState.SUCCESS
    assert run.result() == 3


def test_an_unknown_function_is_refused_at_start(adapter: LocalAdapter) -> None:
    """A call of a name that the adapter was not given starts nothing, and the error names the closest."""
    workflow = Workflow()
    workflow.add(call("const", 1))
    workflow.add(call("totla", [1]))

    with pytest.raises(UsageError, match="no function is named 'totla'; did you mean 'total'"):
        adapter.start(workflow, id="refused")
    with pytest.raises(LookupError):
        adapter.journal.definition("refused")


def test_arguments_that_cannot_be_encoded_are_refused_at_start(adapter: LocalAdapter) -> None:
    """Arguments that JSON does not know start nothing, and the error names the node."""
    workflow = Workflow()
    workflow.add(call("const", {1, 2}), id="odd")

    with pytest.raises(UsageError, match=r"the arguments of node 'odd' .*set"):
        adapter.start(workflow, id="refused")
    with pytest.raises(LookupError):
        adapter.journal.definition("refused")


def test_a_result_that_cannot_be_encoded_fails_if_it_is_wanted(adapter: LocalAdapter) -> None:
    """A result that JSON does not know fails its node if somebody refers to it, and is not kept otherwise."""
    workflow = Workflow()
    wanted = workflow.add(call("object"))
    unwanted = workflow.add(call("object"))
    workflow.returns([wanted.result])

    run = adapter.start(workflow)
    run.wait(10)

    assert run.status(wanted) is Status.FAILED
    assert run.status(unwanted) is Status.SUCCEEDED
    with pytest.raises(ResultNotKeptError):
        run.result(unwanted)


def test_the_same_id_is_the_same_workflow() -> None:
    """Starting the same workflow under one id twice runs it once; another workflow under it is refused."""
    calls: list[int] = []
    with LocalAdapter({"note": calls.append, "other": print}) as local:
        first, again, other = Workflow(), Workflow(), Workflow()
        for workflow in (first, again):
            workflow.add(call("note", 1))
        other.add(call("other"))

        run = local.start(first, id="once")
        run.wait(10)
        assert local.start(again, id="once").wait(10) is WorkflowState.SUCCESS
        with pytest.raises(WorkflowExistsError, match="'once' exists already with other nodes"):
            local.start(other, id="once")
        with pytest.raises(WorkflowExistsError, match="choose another id"):
            local.start(again, id="once", on_conflict="error")
    assert calls == [1]


def test_cancel_lets_nothing_new_start() -> None:
    """After a cancel what runs may end, and nothing else starts."""
    may_end, has_begun = threading.Event(), threading.Event()

    def slow() -> None:
        has_begun.set()
        may_end.wait(10)

    with LocalAdapter({"slow": slow, "next": print}) as local:
        workflow = Workflow()
        a = workflow.add(call("slow"))
        b = workflow.add(call("next"), after=a)
        run = local.start(workflow)
        assert has_begun.wait(10)
        run.cancel()
        may_end.set()

        assert run.wait(10) is WorkflowState.CANCELLED
    assert (run.status(a), run.status(b)) == (Status.SUCCEEDED, Status.CANCELLED)


def test_another_process_goes_on_where_one_stopped(tmp_path: Path) -> None:
    """With a journal on a file, an adapter made later finishes what an earlier one had begun."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    quick = Settings(poll_ms=20, sweep_interval_ms=50, grace_ms=200, lease_ms=300)
    has_begun, may_end = threading.Event(), threading.Event()

    def blocks() -> int:
        has_begun.set()
        may_end.wait(10)
        return 1

    first = LocalAdapter({"a": blocks, "b": lambda x: x + 1}, journal=open_journal(url, "tests"), settings=quick)
    workflow = Workflow()
    workflow.add(call("b", workflow.add(call("a")).result))
    run = first.start(workflow, id="survivor")
    assert has_begun.wait(10)
    first._sweeper.stop()  # as if it had died: no lease is renewed, and what it says later comes too late
    with LocalAdapter(
        {"a": lambda: 40, "b": lambda x: x + 2}, journal=open_journal(url, "tests"), settings=quick
    ) as second:
        survivor = type(run).from_id("survivor", second.journal, second)
        state = survivor.wait(20)
        may_end.set()
        first.close()

        assert state is WorkflowState.SUCCESS
        assert survivor.result() == 42


def test_what_a_closing_adapter_cannot_run_is_not_marked_as_sent() -> None:
    """The next process runs it after the grace, not after the hour that a message may take."""
    began, go = threading.Event(), threading.Event()

    def slow() -> int:
        began.set()
        assert go.wait(10)
        return 1

    workflow = Workflow()
    workflow.add(call("next", workflow.add(call("slow"), id="slow").result), id="next")
    adapter = LocalAdapter({"slow": slow, "next": str})
    run = adapter.start(workflow)
    assert began.wait(10)
    closing = threading.Thread(target=adapter.close)
    closing.start()
    while not adapter._is_closed:
        threading.Event().wait(0.005)
    go.set()
    closing.join(10)

    assert run.status("next") is Status.SCHEDULED
    assert adapter.journal.marks(run.key, [Attempt("next")]) == {}


def test_the_end_of_the_process_is_silent(tmp_path: Path) -> None:
    """An adapter that a script keeps to its end is taken apart without a word."""
    script = """
from dyrygent_core import Workflow, call
from local_dyrygent import LocalAdapter
adapter = LocalAdapter({"one": lambda: 1})
workflow = Workflow()
workflow.add(call("one"))
print(adapter.start(workflow).wait(10).name)
adapter.close()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("SUCCESS\n", "")


def test_a_closed_adapter_refuses() -> None:
    """A closed adapter starts nothing, and says so."""
    local = LocalAdapter(FUNCTIONS)
    local.close()

    with pytest.raises(UsageError, match="closed"):
        local.start(Workflow())


@pytest.mark.parametrize("functions", [[print], {"print": "print"}, {1: print}])
def test_functions_are_given_by_name(functions: object) -> None:
    """What is not a mapping of names to functions is refused, and no thread is started."""
    threads = threading.active_count()

    with pytest.raises(UsageError, match="name: function"):
        LocalAdapter(functions)  # type: ignore[arg-type]
    assert threading.active_count() == threads


def test_only_workflows_are_started(adapter: LocalAdapter) -> None:
    """A call alone is no workflow, and the error says what to do with it."""
    with pytest.raises(UsageError, match="add calls to a Workflow first"):
        adapter.start(call("const", 1))  # type: ignore[arg-type]


def test_listeners_are_told() -> None:
    """Who is given to the adapter is told of every workflow that it runs."""
    heard: list[Notification] = []
    workflow = Workflow()
    workflow.add(call("const", 2), id="a")
    with LocalAdapter(FUNCTIONS, listeners=[heard.append]) as adapter:
        adapter.start(workflow).wait(30)

    changes = [it for it in heard if isinstance(it, NodeChanged)]
    assert [it.status for it in sorted(changes, key=lambda it: it.position)] == [Status.SCHEDULED, Status.SUCCEEDED]


class _Away(MemoryJournal):
    """A journal that can be away for appends."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.is_away = threading.Event()
        self.is_tried = threading.Event()

    def append(self, *args: Any, **options: Any) -> Any:
        if self.is_away.is_set():
            self.is_tried.set()
            raise JournalUnavailableError("away")
        return super().append(*args, **options)


def test_closing_waits_for_outcomes_that_are_not_recorded_yet() -> None:
    """A journal that comes back in time is told all that has ended."""
    journal = _Away()
    workflow = Workflow()
    workflow.add(call("end"), id="a")
    adapter = LocalAdapter({"end": journal.is_away.set}, journal=journal)
    run = adapter.start(workflow)
    assert journal.is_tried.wait(30)

    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(adapter.close)
        journal.is_away.clear()
        closing.result(30)

    assert run.status("a") is Status.SUCCEEDED
