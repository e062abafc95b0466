"""What the README and the tutorial tell to write and to run is written and run here.

Their blocks follow a convention. A `python` block whose first line is a comment with a file's name is that file. A
`sh` block with `celery … worker` starts a worker, one with `python FILE` runs a file, and the `text` block after it is
what that prints. Other blocks are not run; those of `python` are compiled.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests import services

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
TUTORIAL: Final = ROOT / "docs" / "tutorial" / "first-workflow.md"

_LIMIT_S: Final = 60.0
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ITS_REDIS: Final = re.compile(r"redis://localhost:6379/\d")
_NAMED: Final = re.compile(r"# (\w+\.py)\n")
_PAGES: Final = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


@frozen
class Block:
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        found = _NAMED.match(self.text) if self.language == "python" else None
        return found[1] if found is not None else None


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    """Canvas and hand-built graph, on threads and on a real worker."""
    with services.redis_database() as url:
        assert _run_all(README, tmp_path, url) == 3


def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    """It needs no service."""
    assert _run_all(TUTORIAL, tmp_path, "") == 4


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_is_python(page: Path) -> None:
    """What a reader copies compiles."""
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(page), "exec")


def test_a_block_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    """The test of the documents tests them."""
    page = tmp_path / "page.md"
    page.write_text("```python\n# one.py\nprint(1)\n```\n```sh\npython one.py\n```\n```text\n2\n```\n")

    with pytest.raises(AssertionError, match=r"one\.py"):
        _run_all(page, tmp_path, "")


def _run_all(page: Path, folder: Path, redis_url: str) -> int:
    """Write the page's files, run its commands in order, compare what they print; return how many were compared."""
    found = blocks(page)
    for block in found:
        if block.file is not None:
            (folder / block.file).write_text(_ITS_REDIS.sub(redis_url, block.text), encoding="utf-8")
    compared = 0
    with contextlib.ExitStack() as worker:
        for block, after in zip(found, [*found[1:], Block("", "")], strict=True):
            command = block.text.split()
            if block.language != "sh":
                continue
            if command[0] == "celery":
                worker.close()  # the pages give each app a database of its own, here they share one
                worker.enter_context(_worker(command[1:], folder))
            elif command[0] == "python" and (folder / command[1]).exists():
                assert (command[1], _printed(command[1:], folder)) == (command[1], after.text)
                compared += 1
    return compared


def _printed(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=False, capture_output=True, text=True, timeout=_LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def _worker(arguments: list[str], folder: Path) -> Iterator[None]:
    """Run a worker until the block ends; the block begins when it is ready."""
    log = folder / f"{len(list(folder.glob('*.log')))}.log"
    command = [sys.executable, "-m", "celery", *arguments, "--concurrency", "2", "--loglevel", "INFO"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, start_new_session=True)
    try:
        limit = time.monotonic() + _LIMIT_S
        while " ready." not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > limit:
                pytest.fail(f"{' '.join(command)} is not ready:\n{log.read_text(errors='replace')}", pytrace=False)
            time.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
