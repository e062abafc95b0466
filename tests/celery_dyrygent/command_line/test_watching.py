"""`watch`: what is seen of a workflow of any size, in a terminal and in a log, and how watching ends."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attrs import define, field
from redis import Redis
from rich.console import Console

from celery_dyrygent import CeleryAdapter
from celery_dyrygent.command_line.glance import Looker
from celery_dyrygent.command_line.stages import MOST_STAGES, Stages
from celery_dyrygent.command_line.view import View
from dyrygent_core import Attempt, Failed, Failure, Graph, Node, State, Status, Succeeded, Workflow, WorkflowState, call
from dyrygent_core.errors import JournalUnavailableError
from dyrygent_core.ports import Mark, MarkKind, WorkflowKey
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal
from tests.celery_dyrygent.command_line.conftest import HOSTILE, Terminal, terminal_over
from tests.celery_dyrygent.conftest import Workers, wait_until
from tests.celery_dyrygent.test_worker import story, task

_ROOT = Path(__file__).parents[3]


def drawn(terminal: Terminal, run: Run, *, width: int = 80, height: int = 24, encoding: str = "utf-8") -> list[str]:
    """Give the lines that a terminal of this size shows."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=file, width=width, height=height, force_terminal=True, color_system=None, markup=False, emoji=False
    )
    glance = Looker(terminal.adapter.conductor, run.key).look()
    with console.capture() as captured:
        console.print(View(glance))
    return captured.get().rstrip("\n").split("\n")


# The picture


def test_ten_thousand_nodes_fit_on_a_screen(terminal: Terminal) -> None:
    """A bar for each stage in which a single failure is seen, what runs, what failed and why; never more lines."""
    workflow = Workflow("wide")
    top = workflow.add(call("load"), id="load")
    middle = [workflow.add(call("resize", n), after=top, id=f"resize.{n}") for n in range(4_999)]
    for n, above in enumerate(middle):
        workflow.add(call("store", n), after=above, id=f"store.{n}")
    workflow.add(call("pack"), after=middle, id="pack")
    run = terminal.adapter.start(workflow)
    conductor = terminal.adapter.conductor
    conductor.turn(run.key, [Succeeded(Attempt("load"))])
    ends = [Succeeded(Attempt(f"resize.{n}")) for n in range(1_000)]
    conductor.turn(run.key, [*ends, Failed(Attempt("resize.4998"), Failure("ValueError", "no image"))])
    started = Mark(MarkKind.STARTED, Attempt("resize.1000"), "celery@one", "b")
    conductor.journal.mark(run.key, [started])

    lines = drawn(terminal, run)

    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "1,004 of 10,000 nodes are final" in text
    assert [line.split()[-1] for line in lines[2:5]] == ["1/1", "1,001/4,999", "2/5,000"]
    assert (lines[3].count("✗"), lines[4].count("⊘")) == (1, 1)
    assert "running: 1 (of the 200 that were sent first), in flight: 4,998" in text
    assert "resize.1000" in text
    assert "resize.4998  ValueError: no image" in text


@pytest.mark.parametrize("height", [5, 12, 24, 60])
def test_the_picture_is_never_higher_than_the_screen(terminal: Terminal, height: int) -> None:
    """Of many stages, running and failed nodes as many are shown as there is room for."""
    workflow = Workflow("deep")
    for lane in range(30):
        above = workflow.add(call("t"), id=f"{lane}-0")
        for depth in range(1, 20):
            above = workflow.add(call("t"), after=above, id=f"{lane}-{depth}")
    run = terminal.adapter.start(workflow)
    firsts = [Attempt(f"{lane}-0") for lane in range(30)]
    terminal.adapter.conductor.turn(run.key, [Failed(it, Failure("Error", "x\ny")) for it in firsts[:15]])
    terminal.adapter.conductor.journal.mark(run.key, [Mark(MarkKind.STARTED, it, "w", "b") for it in firsts[15:]])

    lines = drawn(terminal, run, height=height)

    assert len(lines) <= max(height, 8)
    assert "failed: 15" in lines
    assert any(line.startswith("running: 15") for line in lines)


def test_ids_and_errors_are_shown_as_they_are(terminal: Terminal) -> None:
    """No markup, no emoji and no escape of theirs is interpreted; a terminal without Unicode gets none of ours."""
    workflow = Workflow(HOSTILE)
    workflow.add(call("t"), id=HOSTILE)
    workflow.add(call("t"), id="other")
    run = terminal.adapter.start(workflow, id=HOSTILE)
    fact = Failed(Attempt(HOSTILE), Failure("Error", HOSTILE))
    terminal.adapter.conductor.turn(run.key, [fact])

    lines = drawn(terminal, run, width=120)

    assert all(line.isprintable() for line in lines)
    assert sum("a\\x1b[31m[bold red]b[/]\\r\\n\\x9b2J\\u202e:x:" in line for line in lines) == 2
    assert all(line.isascii() for line in drawn(terminal, run, width=120, encoding="ascii"))


def test_stages_are_depths_and_never_many() -> None:
    """Each band has the nodes of as many depths; last nodes are one of their own; all together are all nodes."""
    nodes = [Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(1_000)]
    graph = Graph([*nodes, Node("bye", role="finally")])

    stages = Stages(graph).of(State.initial(graph))

    assert [stage.label for stage in stages][:2] == ["1-100", "101-200"]
    assert (len(stages), stages[-1].label) == (MOST_STAGES + 1, "end")
    assert [stage.total for stage in stages] == [100] * MOST_STAGES + [1]
    only_last = Graph([Node("bye", role="finally")])
    assert [stage.label for stage in Stages(only_last).of(State.initial(only_last))] == ["end"]


# Lines, and exit codes


@pytest.mark.parametrize(
    ("failing", "code", "state"), [(None, 0, WorkflowState.SUCCESS), ("no disk", 1, WorkflowState.FAILURE)]
)
def test_the_exit_code_tells_how_it_ended(
    terminal: Terminal, failing: str | None, code: int, state: WorkflowState
) -> None:
    """0 for SUCCESS and 1 for any other end; the last lines say it in words, and name a node to ask about."""
    run = terminal.start()
    terminal.end(run, "load")
    terminal.end(run, "clean")
    terminal.end(run, "report", failing=failing)

    result = terminal.say("watch", "w-1")

    assert result.exit_code == code
    assert f"workflow 'w-1' ended in {state.name} after" in result.stdout
    assert ("to learn more: workflow explain w-1 report" in result.stdout) is (code == 1)
    assert "it had to wait for a chain of 3 nodes" in result.stdout


def test_a_watch_may_be_limited(terminal: Terminal) -> None:
    """After the time-out the exit code is 124, and the workflow goes on."""
    run = terminal.start()

    result = terminal.say("watch", "w-1", "--timeout", "0.01")

    assert result.exit_code == 124
    assert result.stdout.endswith("workflow 'w-1' has not ended yet; it goes on\n")
    assert run.workflow_state is WorkflowState.RUNNING


def test_a_log_has_a_line_for_what_changed_and_no_more(terminal: Terminal) -> None:
    """What ends while it is watched is told once, failures with their reasons."""
    run = terminal.start()

    def play() -> None:
        wait_until(watched.is_set, "the first look", lambda: "")
        terminal.end(run, "load", failing="no disk")

    watched = threading.Event()
    thread = threading.Thread(target=play)
    thread.start()
    watched.set()
    result = terminal.say("watch", "w-1")
    thread.join()

    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert sum("FAILURE: 3 of 3 nodes are final: 1 FAILED, 2 UPSTREAM_FAILED" in line for line in lines) == 1
    assert lines.count("  failed: load  ValueError: no disk") == 1


class AwayJournal(MemoryJournal):
    """Cannot be reached for as many waits as a test says."""

    away = 0
    end: Callable[[], None] = staticmethod(lambda: None)

    def watch(self, key: WorkflowKey, *, after: int, timeout_ms: int) -> bool:
        if self.away:
            self.away -= 1
            message = "Redis at h:1 cannot be reached"
            raise JournalUnavailableError(message)
        self.end()
        return super().watch(key, after=after, timeout_ms=timeout_ms)


def test_a_journal_that_is_away_for_a_moment_ends_no_watch() -> None:
    """It is told once, and watching goes on when it is back."""
    journal = AwayJournal("shop")
    terminal = terminal_over(journal)
    run = terminal.start()
    journal.away, journal.end = 1, lambda: terminal.end(run, "load", failing="late")

    result = terminal.say("watch", "w-1")

    assert result.exit_code == 1
    assert result.stderr == "the journal is away, trying again: Redis at h:1 cannot be reached\nthe journal is back\n"


# In a real terminal, with a real worker


@define
class Screen:
    """A process that has a pseudo-terminal, and all that it has written there."""

    process: subprocess.Popen[bytes]
    master: int
    seen: bytes = b""
    reader: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @classmethod
    def of(cls, words: Sequence[str], url: str, *, before: str = "pass") -> Screen:
        master, slave = pty.openpty()
        environment = {
            **os.environ,
            "DYRYGENT_TEST_APP_REDIS": url,
            "PYTHONPATH": str(_ROOT),
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            "LINES": "30",
        }
        environment.pop("NO_COLOR", None)
        heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        script = f"{heeding}; {before}; from celery.__main__ import main; main()"
        command = [sys.executable, "-W", "ignore", "-c", script, "-A", "tests.celery_dyrygent.app", "workflow"]
        process = subprocess.Popen(
            [*command, *words], cwd=_ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        return cls(process, master)

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 65_536):
                self.seen += data
        except OSError:
            pass  # the other side is closed

    @property
    def text(self) -> str:
        return self.seen.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text, f"{text!r} on the screen", lambda: self.text)

    def close(self) -> int:
        """Wait for its end and for its last line; give its exit code."""
        code = self.process.wait(30)
        self.reader.join(30)  # it ends when nobody can write any more
        os.close(self.master)
        return code


def test_watch_in_a_terminal(adapter: CeleryAdapter, workers: Workers, redis: Redis, redis_url: str) -> None:
    """The picture changes as the workflow does; Ctrl-C ends the watching alone, and the next watch sees the end."""
    workflow = Workflow("watched")
    held = workflow.add(task("wait_for", "tests:watched"), id="held")
    workflow.add(task("boom"), id="broken", allow_failure=True)
    workflow.add(task("add", 1, 2), after=held, id="last")
    run = adapter.start(workflow, id="watched-1")
    wait_until(lambda: run.status("broken") is Status.FAILED, "a failure", lambda: story(run, workers))

    first = Screen.of(["watch", "watched"], redis_url)
    first.wait_for("running: 1, in flight: 1")
    first.wait_for("ValueError: boom")
    first.process.send_signal(signal.SIGINT)
    assert first.close() == 130
    assert "goes on; only the watching has ended" in first.text
    assert "Traceback" not in first.text
    assert run.workflow_state is WorkflowState.RUNNING

    second = Screen.of(["watch", "watched-1"], redis_url)
    second.wait_for("in flight: 1")
    redis.set("tests:watched", 1)
    assert second.close() == 0
    assert "\x1b[" in second.text  # it is a picture
    assert "3 of 3 nodes are final" in second.text
    assert "workflow 'watched-1' ended in SUCCESS after" in second.text


def test_without_rich_a_terminal_gets_lines(adapter: CeleryAdapter, workers: Workers, redis_url: str) -> None:
    """It is told which extra draws the picture."""
    workflow = Workflow()
    workflow.add(task("add", 1, 2), id="only")
    run = adapter.start(workflow)
    assert run.wait(30) is WorkflowState.SUCCESS, story(run, workers)

    screen = Screen.of(["watch", run.id], redis_url, before="import sys; sys.modules['rich'] = None")

    assert screen.close() == 0
    assert "for a live picture instead of lines: pip install 'dyrygent[cli]'" in screen.text
    assert "SUCCESS: 1 of 1 nodes are final: 1 SUCCEEDED" in screen.text
    assert "\x1b[" not in screen.text
