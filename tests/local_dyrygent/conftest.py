"""Local adapters with short waiting times, over a memory journal and over one on a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dyrygent_core import WorkflowState
from dyrygent_runtime import Run, Settings
from dyrygent_runtime.journals import open_journal
from local_dyrygent import LocalAdapter

QUICK = Settings(poll_ms=20, sweep_interval_ms=100, grace_ms=2_000, lease_ms=400, cancel_grace_ms=200)


class Locals:
    """Makes adapters of functions given by name, all over one journal."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._journal = open_journal(url, "tests")
        self._stack = stack

    def __call__(self, **functions: Callable[..., Any]) -> LocalAdapter:
        adapter = LocalAdapter(functions, journal=self._journal, settings=QUICK)
        return self._stack.enter_context(adapter)


@pytest.fixture(params=["memory", "sqlite"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Locals]:
    """Make adapters over a journal of this test's own, and close them at the end."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'journal.db'}"
    with ExitStack() as stack:
        yield Locals(url, stack)


def ended(run: Run) -> WorkflowState:
    """Wait for the end; tell the journal if it does not come."""
    try:
        return run.wait(20)
    except TimeoutError as problem:
        pytest.fail(f"{problem}\n" + "\n".join(map(repr, run.history())), pytrace=False)
