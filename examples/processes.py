"""Processes that a script starts and must not leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["CannotRunError", "last_lines", "start", "stop"]

_STOP_LIMIT_S: Final = 5.0
_LINES: Final = 30


class CannotRunError(Exception):
    """Something that the script needs is not there, or has gone; the text says what to do."""


def start(command: Sequence[str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C reaches the script alone, which then stops both.

    Raises `CannotRunError`.
    """
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as problem:
            message = f"{command[0]} cannot be run: {problem}"
            raise CannotRunError(message) from None


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: with SIGTERM, and after five seconds with SIGKILL."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_LIMIT_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_lines(log: Path) -> str:
    """Give the end of a log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-_LINES:]) or "(it is empty)"
