"""Rules for journals that several processes share: what it takes real processes to show (J1, J9)."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

import pytest

from dyrygent_core import Attempt, Lost
from dyrygent_core.ports import Journal, Seen, WorkflowKey
from dyrygent_testing.journal_basis import LATER_MS, add, new_workflow

LIMIT_S: Final = 30.0


def forked(work: Callable[[], None]) -> int:
    """Run this in a forked process; give its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001  # shown, and told to the parent by the status
        traceback.print_exc()
    finally:
        os._exit(status)


def join(pids: list[int]) -> list[int]:
    """Wait for processes, and kill those that hang; give their exit codes."""
    end = time.monotonic() + LIMIT_S
    pause = threading.Event()
    codes: list[int] = []
    for pid in pids:
        done, status = os.waitpid(pid, os.WNOHANG)
        while not done and time.monotonic() < end:
            pause.wait(0.005)
            done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        codes.append(os.waitstatus_to_exitcode(status))
    return codes


def append_often(journal: Journal, key: WorkflowKey, name: str, turns: int = 12) -> None:
    """Append as a process does that folds all it sees, and check that it sees everything once."""
    seen, folded = Seen(), list[int]()
    for turn in range(turns):
        nonce = f"{name}.{turn}"
        appended = journal.append(key, [Lost(Attempt(name))], seen=seen, nonce=nonce)
        assert not appended.has_diverged
        folded += [*(entry.position for entry in appended.missed), appended.first]
        seen = Seen(appended.first, nonce)
    assert folded == list(range(1, len(folded) + 1))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # that is the subject
class ProcessRules:
    """Rules beside the suite's, for the same fixtures."""

    def test_j1_processes_that_start_at_once_share_a_store(
        self, make_journal: Callable[[str], Journal], namespace: str
    ) -> None:
        """Of processes that find an empty store each sets it up, none fails, and no position is given twice."""
        workflow = new_workflow()

        def work(name: str) -> None:
            journal = make_journal(namespace)
            assert journal.create(workflow, nonce="n", due_in_ms=LATER_MS).key == workflow.key
            append_often(journal, workflow.key, name)

        assert join([forked(lambda name=name: work(name)) for name in "abcd"]) == [0] * 4
        journal = make_journal(namespace)
        assert [entry.position for entry in journal.read(workflow.key)] == list(range(1, 2 + 4 * 12))
        journal.dispose()

    def test_j9_a_journal_works_on_both_sides_of_a_fork(self, journal: Journal, key: WorkflowKey) -> None:
        """A journal that was in use before a fork is used by parent and child at once, and disposed of by one."""
        add(journal, key, Lost(Attempt("before")))

        def work() -> None:
            append_often(journal, key, "child")
            journal.dispose()
            append_often(journal, key, "child again")

        pid = forked(work)
        append_often(journal, key, "parent")

        assert join([pid]) == [0]
        assert len(journal.read(key)) == 2 + 3 * 12

    def test_j9_a_child_disposes_of_nothing_of_its_parents(self, journal: Journal, key: WorkflowKey) -> None:
        """`dispose` in a child that never used the journal leaves the parent's connections alone."""
        add(journal, key, Lost(Attempt("before")))

        assert join([forked(journal.dispose)]) == [0]
        append_often(journal, key, "parent")

    def test_j9_a_fork_while_threads_use_the_journal(self, journal: Journal, key: WorkflowKey) -> None:
        """A child is not held up by what threads of its parent held at the fork, and can fork again."""
        is_over = threading.Event()

        def use() -> None:
            seen = Seen()
            while not is_over.wait(0.001):  # lets others to the store
                appended = journal.append(key, [Lost(Attempt("thread"))], seen=seen, nonce="thread")
                seen = Seen(appended.first, "thread")
                journal.due(limit=1, claim_ms=1)

        def work() -> None:
            add(journal, key, Lost(Attempt("child")), nonce="child")
            assert join([forked(lambda: append_often(journal, key, "grandchild", turns=1))]) == [0]

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            codes = [code for _ in range(8) for code in join([forked(work)])]
        finally:
            is_over.set()
            for thread in threads:
                thread.join(LIMIT_S)

        assert codes == [0] * 8
        assert sum(entry.nonce == "child" for entry in journal.read(key)) == 8
