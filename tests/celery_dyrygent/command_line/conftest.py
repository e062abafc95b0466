"""An app without a worker, whose workflows go on when a test says what became of a node, and its command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result

from celery_dyrygent.adapter import CeleryAdapter, adapter_of
from celery_dyrygent.command_line import workflow as command
from dyrygent_core import Failed, Failure, Succeeded, Workflow, call
from dyrygent_core.ports import Journal
from dyrygent_runtime import Run
from dyrygent_runtime.journals import MemoryJournal

HOSTILE = "a\x1b[31m[bold red]b[/]\r\n\x9b2J\u202e:x:"
"""What a terminal, or rich, would obey: escapes, markup, new lines, direction, an emoji's name."""


@define
class Terminal:
    """The command line of one app, in this process."""

    app: Celery

    @property
    def adapter(self) -> CeleryAdapter:
        return adapter_of(self.app)

    def say(self, *words: str) -> Result:
        """Run a command; nothing but its own exit may end it."""
        obj = CLIContext(app=self.app, no_color=True, workdir=None)
        result = CliRunner().invoke(command, list(words), obj=obj)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert [it for it in result.output if not it.isprintable() and it != "\n"] == []
        return result

    def told(self, *words: str) -> str:
        """Give what a command prints that does what it is told."""
        result = self.say(*words)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def read(self, *words: str) -> Any:
        """Give the JSON that it prints."""
        return json.loads(self.told(*words, "--json"))

    def refused(self, *words: str) -> str:
        """Give what is said to a command that cannot be right."""
        result = self.say(*words)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        return str(result.stderr)

    def start(self, id: str = "w-1", *, name: str = "nightly", tags: tuple[str, ...] = ()) -> Run:  # noqa: A002  # as in `start`
        """Start load -> clean -> report."""
        workflow = Workflow(name)
        loaded = workflow.add(call("load"), id="load")
        cleaned = workflow.add(call("clean"), after=loaded, id="clean")
        workflow.add(call("report"), after=cleaned, id="report")
        return self.adapter.start(workflow, id=id, tags=tags)

    def end(self, run: Run, node: str, *, failing: str | None = None) -> None:
        """Let the newest attempt of a node succeed, or fail with a text."""
        attempt = run.state.attempt(node)
        fact = Succeeded(attempt) if failing is None else Failed(attempt, Failure("ValueError", failing))
        self.adapter.conductor.turn(run.key, [fact])


def terminal_over(journal: Journal | str | None) -> Terminal:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.dyrygent_journal = journal
    return Terminal(app)


@pytest.fixture
def terminal() -> Terminal:
    return terminal_over(MemoryJournal("shop"))
