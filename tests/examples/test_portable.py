"""One workflow on three engines, with real workers, by the command lines of the page."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import redis

_ROOT: Final = Path(__file__).parents[2]
_FOLDER: Final = _ROOT / "examples" / "portable"
_PAGE: Final = _ROOT / "docs" / "how-to" / "change-the-engine.md"
_LIMIT_S: Final = 60
_READY: Final = {"celery": " ready.", "dramatiq": "is ready for action"}


def _commands() -> list[list[str]]:
    """Read the page's command lines, each to be run by this interpreter."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [[sys.executable, "-W", "ignore", *(line[1:] if line[0] == "python" else ["-m", *line])] for line in lines]


def _wait_until(condition: Callable[[], object], log: Path) -> None:
    end = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"it did not come about within {_LIMIT_S} s\n{log.read_text()}", pytrace=False)
        time.sleep(0.05)


@contextlib.contextmanager
def _worker(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *_few(command)],
            cwd=_FOLDER,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait_until(lambda: _READY[command[4]] in log.read_text(errors="replace"), log)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _few(command: list[str]) -> list[str]:
    """Ask for fewer processes than the machine has processors, since these are CI's."""
    return ["-c", "2", "--without-gossip", "--without-mingle"] if "celery" in command else ["-p", "1", "-t", "2"]


@pytest.mark.slow
def test_the_page_prints_the_same_on_all_engines(redis_url: str, tmp_path: Path) -> None:
    """Workers and runs by the page's own lines: the outcome of the same workflow is the same."""
    environment = {**os.environ, "PORTABLE_REDIS": redis_url}
    environment.pop("PYTHONPATH", None)
    workers = [line for line in _commands() if "-m" in line]
    runs = [line for line in _commands() if "-m" not in line]
    assert [line[4] for line in workers] == ["celery", "dramatiq"]
    assert [line[5] for line in runs] == ["celery", "dramatiq", "local"]

    printed: dict[str, str] = {}
    try:
        with contextlib.ExitStack() as stack:
            for line in workers:
                stack.enter_context(_worker(line, environment, tmp_path / line[4]))
            for line in runs:
                done = subprocess.run(
                    line, cwd=_FOLDER, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
                printed[line[5]] = done.stdout
    finally:
        with redis.Redis.from_url(redis_url) as client:
            for key in [*client.scan_iter("dramatiq*"), *client.scan_iter("*portable*")]:
                client.delete(key)

    assert printed["local"].startswith("SUCCESS {'find': 'SUCCEEDED', 'count': 'SUCCEEDED', 'tell somebody': 'SKIPPED'")
    assert "the pages are counted: SUCCESS" in printed["local"]
    assert printed["celery"] == printed["local"]
    assert printed["dramatiq"] == printed["local"]
