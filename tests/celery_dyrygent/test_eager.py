"""Workflows of an eager app: run at once, in this process, without a broker or a result backend to talk to."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord
from celery import Task as CeleryTask
from celery.exceptions import Ignore, MaxRetriesExceededError, NotRegistered, Reject
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_dyrygent import CeleryAdapter, Workflow, register_workflow_processor, registered
from celery_dyrygent.adapter import adapter_of
from dyrygent_core import (
    Failed,
    Lost,
    RetryPolicy,
    SkipNode,
    Status,
    Take,
    WorkflowFailedError,
    WorkflowState,
    call,
)
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal

NOBODY = "redis://127.0.0.1:1/0"


pytestmark = pytest.mark.usefixtures("app")


def add(x: int, y: int) -> int:
    return x + y


def pack(*args: object) -> list[object]:
    return list(args)


def boom(*_: object) -> None:
    message = "boom"
    raise ValueError(message)


def retried(self: CeleryTask, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=3600)
    return int(self.request.retries)


def even(x: int) -> int:
    if x % 2:
        message = "odd"
        raise SkipNode(message)
    return x


def choose(*branches: str) -> Take:
    return Take(None, branches)


def ignored() -> None:
    raise Ignore


def requeued() -> None:
    raise Reject(requeue=True)


def interrupted() -> None:
    raise KeyboardInterrupt


def outer(self: CeleryTask, x: int) -> int:
    return int(started(chain(sig(self.app, "add", x, 1), sig(self.app, "add", 1))).get())


def outer_and_skip(self: CeleryTask) -> None:
    outer(self, 1)
    message = "nothing to do"
    raise SkipNode(message)


def cancels(self: CeleryTask, workflow_id: str) -> None:
    run_of(self.app, workflow_id).cancel("enough")


def pauses(self: CeleryTask, workflow_id: str) -> None:
    run_of(self.app, workflow_id).pause()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An eager app, whose broker and result backend do not answer."""
    monkeypatch.setattr(registered, "_REGISTERED", [])
    app = Celery("eager", broker=NOBODY, backend=NOBODY, set_as_current=False)
    app.conf.task_always_eager = True
    register_workflow_processor(app)
    for function in (add, pack, boom, even, choose, ignored, requeued, interrupted):
        app.task(function, name=function.__name__, shared=False)
    for method in (retried, outer, outer_and_skip, cancels, pauses):
        app.task(method, name=method.__name__, shared=False, bind=True, max_retries=3)
    yield app
    app.close()


def run_of(app: Celery, workflow_id: str) -> Run:
    adapter = adapter_of(app)
    return Run.from_id(workflow_id, adapter.journal, adapter)


def sig(app: Celery, name: str, *args: object) -> Any:
    return app.signature(name, args=args)


def started(canvas: Any, **options: object) -> Any:
    workflow = Workflow()
    workflow.add_celery_canvas(canvas)
    return workflow.apply_async(**options)


def test_a_canvas_has_its_result_at_once(app: Celery) -> None:
    """`apply_async` runs all of it, so that its result is there when it returns."""
    result = started(chain(sig(app, "add", 1, 2), chord([sig(app, "add", n) for n in range(3)], sig(app, "pack"))))

    assert (result.state, result.ready(), result.successful()) == ("SUCCESS", True, True)
    assert result.get() == result.result == [[3, 4, 5]]


def test_a_failure_is_raised_by_get(app: Celery) -> None:
    """As with Celery, a failure is raised by `get`; what waits for it is decided as ever."""
    workflow = Workflow()
    failing = workflow.add(sig(app, "boom"))
    below = workflow.add(sig(app, "pack"), after=failing)
    beside = workflow.add(sig(app, "pack"), after=failing.done)

    result = workflow.apply_async()

    assert (result.state, result.failed()) == ("FAILURE", True)
    with pytest.raises(ValueError, match=r"^boom$"):
        result.get()
    assert isinstance(result.get(propagate=False), ValueError)
    assert (result.run.status(below), result.run.status(beside)) == (Status.UPSTREAM_FAILED, Status.SUCCEEDED)


@pytest.mark.parametrize("times", [2, 4])
def test_retries_are_made_at_once(app: Celery, times: int) -> None:
    """Celery's own retries wait for nothing when it is eager, and those that are left decide the attempt."""
    result = started(sig(app, "retried", times))

    assert result.state == ("SUCCESS" if times == 2 else "FAILURE")
    assert len(result.run.history()) == 2


def test_attempts_of_a_node_are_made_at_once(app: Celery) -> None:
    """A delay between the attempts of a node is not waited for either."""
    failures: list[int] = []

    @app.task(shared=False, name="fails_twice")
    def fails_twice() -> int:
        failures.append(1)
        if len(failures) < 3:
            raise KeyError(len(failures))
        return len(failures)

    workflow = Workflow()
    workflow.add(sig(app, "fails_twice"), max_attempts=3, retry=RetryPolicy(delay_ms=3_600_000))

    result = workflow.apply_async()

    assert result.get() == 3
    assert sum(isinstance(entry.observation, Failed) for entry in result.run.history()) == 2


def test_maps_branches_and_last_nodes() -> None:
    """Mapped nodes, `SkipNode`, `Take`, `Ignore` and finalizers mean what they mean in a worker."""
    workflow = Workflow()
    numbers = workflow.add(call("pack", 0, 1, 2), id="numbers")
    mapped = workflow.add(call("even"), each=numbers, id="mapped")
    chosen = workflow.add(call("choose", "left"), id="chosen")
    workflow.add(call("pack"), after=chosen, id="left")
    workflow.add(call("pack"), after=chosen, id="right")
    workflow.add(call("ignored"), id="ignored")
    last = workflow.finally_(call("pack", workflow.summary), id="last")
    workflow.returns(mapped.result)

    result = workflow.apply_async()

    assert result.get() == [0, None, 2]
    skipped = [node for node, status in result.run.statuses.items() if status is Status.SKIPPED]
    assert sorted(skipped) == ["ignored", "right"]
    assert result.run.status(last) is Status.SUCCEEDED


def test_a_wide_and_deep_graph_needs_no_recursion() -> None:
    """A chain of thousands and a fan of hundreds are run one after the other, whatever the recursion limit."""
    workflow = Workflow()
    top = workflow.add(call("add", 0, 0), id="0")
    for n in range(1, 1_500):
        top = workflow.add(call("add", top.result, 1), id=str(n))
    fan = [workflow.add(call("add", top.result, n)) for n in range(250)]
    workflow.returns(workflow.add(call("pack", [leaf.result for leaf in fan])).result)

    assert workflow.apply_async().get() == [[1_499 + n for n in range(250)]]


def test_a_task_may_run_a_workflow_of_its_own(app: Celery) -> None:
    """A workflow that a task starts is run inside it."""
    assert started(chain(sig(app, "outer", 1), sig(app, "add", 10))).get() == 13


def test_a_task_that_has_run_a_workflow_ends_as_any_other(app: Celery) -> None:
    """What it raises then is its own, once: here that it is skipped."""
    result = started(sig(app, "outer_and_skip"))

    assert result.run.workflow_state is WorkflowState.SUCCESS
    assert [type(it.observation).__name__ for it in result.run.history()] == ["Begin", "Skipped"]


def test_a_cancel_by_a_task() -> None:
    """A task that cancels its own workflow is the last that runs."""
    workflow = Workflow()
    first = workflow.add(call("cancels", "tests-cancelled"), id="first")
    beside = workflow.add(call("pack"), id="second")
    below = workflow.add(call("pack"), after=first, id="third")

    result = workflow.apply_async(id="tests-cancelled")

    assert result.state == "REVOKED"
    assert result.run.status(first) is Status.SUCCEEDED
    assert [result.run.status(it) for it in (beside, below)] == [Status.CANCELLED] * 2


def test_a_message_that_is_put_back_is_lost(app: Celery) -> None:
    """A task that puts its message back leaves no end, and nobody delivers it again here, so it is lost."""
    result = started(sig(app, "requeued"))

    assert result.state == "FAILURE"
    assert sum(isinstance(entry.observation, Lost) for entry in result.run.history()) == 3


def test_an_unknown_task_fails_its_node(app: Celery) -> None:
    """A name that is not registered in this process, and in none of the app's modules, fails with `NotRegistered`."""
    result = started(app.signature("nowhere.to_be_found"))

    with pytest.raises(NotRegistered):
        result.get()


def test_exceptions_propagate_where_celery_is_told_so(app: Celery) -> None:
    """With `task_eager_propagates` the start raises the very exception of the node that failed first, after the end."""
    app.conf.task_eager_propagates = True
    workflow = Workflow()
    failing = workflow.add(sig(app, "boom"))
    workflow.add(sig(app, "pack"), after=failing.done, id="after")

    with pytest.raises(ValueError, match=r"^boom$") as caught:
        workflow.apply_async(id="tests-propagates")

    assert caught.traceback[-1].name == "boom"
    run = run_of(app, "tests-propagates")
    assert (run.workflow_state, run.status("after")) == (WorkflowState.FAILURE, Status.SUCCEEDED)
    with pytest.raises(NotRegistered):
        started(app.signature("nowhere.to_be_found"))
    with pytest.raises(MaxRetriesExceededError):
        started(sig(app, "retried", 4))


def test_a_pause_is_waited_for(app: Celery) -> None:
    """A workflow that was paused is STARTED, and goes on when this process resumes it."""
    run = CeleryAdapter(app).start(_pausing(), id="tests-paused")

    assert run.workflow_state is WorkflowState.RUNNING
    with pytest.raises(CeleryTimeoutError):
        _pausing().apply_async(id="tests-paused").get(timeout=0.01)
    run.resume()
    assert run.workflow_state is WorkflowState.SUCCESS


def _pausing() -> Workflow:
    workflow = Workflow()
    workflow.add(call("pack"), after=workflow.add(call("pauses", "tests-paused"), id="first"), id="second")
    return workflow


def test_an_interrupt_is_the_callers(app: Celery) -> None:
    """Ctrl-C in a task comes out of the start; the workflow stays as it was, and the next turn goes on with it."""
    workflow = Workflow()
    workflow.add(call("interrupted"), id="first")
    with pytest.raises(KeyboardInterrupt):
        workflow.apply_async(id="tests-interrupted")

    run = run_of(app, "tests-interrupted")
    assert run.status("first") is Status.SCHEDULED
    run.cancel()
    assert run.workflow_state is WorkflowState.CANCELLED


def test_the_journal_is_of_the_process_unless_another_is_named(app: Celery) -> None:
    """All adapters of an eager app share one memory journal; a journal that is given is used instead."""
    assert CeleryAdapter(app).journal is adapter_of(app).journal
    assert isinstance(adapter_of(app).journal, MemoryJournal)

    own = MemoryJournal("own")
    workflow = Workflow()
    workflow.add(call("add", 1, 2))
    run = CeleryAdapter(app, journal=own).start(workflow, id="tests-own")

    assert run.result() == 3
    assert own.definition("tests-own").key == run.key


def test_eager_is_asked_for_when_it_is_needed(app: Celery) -> None:
    """Tests may switch it on and off: each kind has an adapter of its own."""
    eager = adapter_of(app)
    app.conf.task_always_eager = False

    assert adapter_of(app) is not eager
    assert adapter_of(app).inline is None
    app.conf.task_always_eager = True
    assert adapter_of(app) is eager


def test_the_run_tells_of_a_failure_as_ever(app: Celery) -> None:
    """Whoever starts through the adapter gets the run of a workflow that has ended."""
    workflow = Workflow()
    workflow.add(call("boom"), id="node")

    run = CeleryAdapter(app).start(workflow)

    assert run.wait(0) is WorkflowState.FAILURE
    with pytest.raises(WorkflowFailedError, match="ValueError: boom"):
        run.result()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # by Celery of redis-py
def test_the_end_is_stored_where_celery_is_told_so(app: Celery, redis_url: str) -> None:
    """With `task_store_eager_result` the workflow's end is in the result backend too."""
    app.conf.update(result_backend=redis_url, task_store_eager_result=True)

    result = started(sig(app, "add", 1, 2))

    assert app.AsyncResult(result.id).get(timeout=5) == 3


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """The page's app and its test run as they stand there, without a Redis."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-eagerly.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert list(files) == ["shop.py", "test_shop.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace("localhost:6379", "localhost:1"), encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
