"""What may stand behind a name, and what an adapter is opened and left with."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import Lost, UsageError, Workflow, WorkflowState, call
from dyrygent_runtime.journals import MemoryJournal
from local_dyrygent import LocalAdapter
from local_dyrygent.presence import Presence
from local_dyrygent.threads import Threads
from tests.local_dyrygent.conftest import Locals, ended


def alone(target: str, *args: Any) -> Workflow:
    workflow = Workflow()
    workflow.add(call(target, *args))
    return workflow


@pytest.mark.parametrize("workers", [0, 2])
def test_coroutines_share_an_event_loop(workers: int) -> None:
    """What an `async def` returns is the result, and all of them run in one loop, so that they may share a client."""
    loops: set[asyncio.AbstractEventLoop] = set()

    async def double(number: int) -> int:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return 2 * number

    workflow = Workflow()
    nodes = [workflow.add(call("double", number)) for number in range(5)]
    workflow.returns([node.result for node in nodes])
    with LocalAdapter({"double": double}, workers=workers) as local:
        run = local.start(workflow)
        assert run.wait(20) is WorkflowState.SUCCESS
        assert run.result() == [0, 2, 4, 6, 8]
    assert len(loops) == 1
    assert loops.pop().is_closed()


def test_a_workflow_may_be_run_inline_within_an_event_loop() -> None:
    """A coroutine of the caller's own does not stand in the way of those of functions."""

    async def one() -> int:
        await asyncio.sleep(0)
        return 1

    async def caller() -> int:
        with LocalAdapter({"one": one}, workers=0) as local:
            return int(local.start(alone("one")).result())

    assert asyncio.run(caller()) == 1


def test_a_coroutine_that_raises_fails_its_node(local: Locals) -> None:
    """As any function's exception does."""

    async def fail() -> None:
        await asyncio.sleep(0)
        message = "boom"
        raise ValueError(message)

    run = local(fail=fail).start(alone("fail"))

    assert ended(run) is WorkflowState.FAILURE
    assert "ValueError: boom" in run.explain("fail")


def test_a_function_that_wants_to_end_the_process_is_lost(local: Locals) -> None:
    """`sys.exit` in a thread ends neither process nor thread; the attempt is lost, and the node tried again."""
    calls: list[int] = []

    def leave() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise SystemExit(3)
        return "stayed"

    run = local(leave=leave).start(alone("leave"))

    assert ended(run) is WorkflowState.SUCCESS
    assert [it.observation.reason for it in run.history() if isinstance(it.observation, Lost)] == [
        "interrupted by SystemExit"
    ]


def test_a_queue_is_no_matter_here_and_other_options_are_refused() -> None:
    """Where a task runs is the engine's choice; what changes how it runs would be dropped in silence."""
    with LocalAdapter({"const": lambda value: value}) as local:
        workflow = Workflow()
        workflow.add(call("const", 1).with_options(queue="fast"))
        assert local.start(workflow).wait(20) is WorkflowState.SUCCESS

        workflow.add(call("const", 2).with_options(countdown=3))
        with pytest.raises(UsageError, match="the local engine knows no option 'countdown', so 'const' cannot have it"):
            local.start(workflow, id="refused")
        with pytest.raises(LookupError):
            local.journal.definition("refused")


def test_a_journal_is_named_by_its_url(tmp_path: Path) -> None:
    """The adapter opens it, and closes it again; nothing but the database is left beside it."""
    file = tmp_path / "runs.db"
    with LocalAdapter({"one": lambda: 1}, journal=f"sqlite:///{file}") as local:
        run = local.start(alone("one"), id="kept")
        assert run.wait(20) is WorkflowState.SUCCESS
    with LocalAdapter({}, workers=0, journal=f"sqlite:///{file}") as local:
        assert local.journal.definition("kept").is_open is False
        assert local.resume() == ()
    assert [it.name for it in tmp_path.iterdir()] == ["runs.db"]


@pytest.mark.parametrize("journal", ["runs.db", "mongodb://localhost", "sqlite://"])
def test_a_journal_that_cannot_be_is_refused(journal: str) -> None:
    """The message names what was given."""
    with pytest.raises(UsageError, match="no journal can be kept at"):
        LocalAdapter({}, journal=journal)


def test_what_a_closed_adapter_left_is_taken_over_at_once() -> None:
    """What was queued when an adapter was closed runs in the next one, before any lease or grace is over."""
    journal = MemoryJournal()
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(20)

    workflow = Workflow()
    workflow.add(call("slow"))
    workflow.add(call("const"), id="queued")
    first = LocalAdapter({"slow": slow, "const": lambda: 1}, workers=1, journal=journal)
    run = first.start(workflow, id="left")
    assert begun.wait(20)
    closing = threading.Thread(target=first.close)
    closing.start()
    with first._threads._changed:
        assert first._threads._changed.wait_for(lambda: first._threads._is_stopped, 20)
    go.set()
    closing.join(20)
    assert run.status("queued").name == "SCHEDULED"

    with LocalAdapter({"slow": pytest.fail, "const": lambda: 1}, journal=journal) as second:
        (again,) = second.resume()
        assert again.wait(20) is WorkflowState.SUCCESS


def test_an_adapter_is_of_the_process_that_made_it() -> None:
    """A forked child has none of its threads, so it is told to make another."""
    with LocalAdapter({"one": lambda: 1}) as local:
        told: Any = multiprocessing.get_context("fork").Queue()
        child = multiprocessing.get_context("fork").Process(target=_start_in_child, args=[local, told.put])
        child.start()
        assert told.get(timeout=20) == "this LocalAdapter was made before this process was forked; make another here"
        child.join(20)
        told.close()
        told.join_thread()
        assert local.start(alone("one")).wait(20) is WorkflowState.SUCCESS


def _start_in_child(local: LocalAdapter, tell: Callable[[str], None]) -> None:
    try:
        local.start(alone("one"))
    except UsageError as problem:
        tell(str(problem))


def test_presence_tells_the_dead_from_the_living(tmp_path: Path) -> None:
    """Who holds its lock lives, whoever else forked from it; who has gone is known until it is forgotten."""
    here, other = Presence(tmp_path / "runs.db", "here"), Presence(tmp_path / "runs.db", "other")
    assert here.gone() == frozenset()
    assert other.gone() == frozenset()
    other._close()  # as the kernel does when a process dies
    assert here.gone() == {"other"}
    assert here.gone() == {"other"}
    here.forget("other")
    assert here.gone() == frozenset()
    here.leave()
    assert list(tmp_path.iterdir()) == []


def test_presence_does_without_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be locked nothing is known of anybody, and that is said once."""
    presence = Presence(tmp_path / "nowhere" / "runs.db", "here")
    assert presence.gone() == frozenset()
    presence.leave()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_threads_begin_no_more_than_they_are() -> None:
    """At most so many jobs run at a time, all of them in the end, and none after `stop`."""
    threads = Threads(3, "tests")
    changed = threading.Condition()
    running, most, done = 0, 0, 0

    def job() -> None:
        nonlocal running, most, done
        with changed:
            running += 1
            most = max(most, running)
            changed.notify_all()
            changed.wait_for(lambda: most == 3, 20)
        with changed:
            running, done = running - 1, done + 1
            changed.notify_all()

    for _ in range(50):
        threads.submit(job)
    with changed:
        assert changed.wait_for(lambda: done == 50, 20)
    assert most == 3
    threads.stop()
    threads.join()
    threads.submit(job)
    assert done == 50
