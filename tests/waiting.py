"""Waiting for what other processes do: until it is so, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

__all__ = ["LIMIT_S", "wait_until"]

LIMIT_S: Final = 30.0


def wait_until(condition: Callable[[], object], what: str, story: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition; after half a minute fail and tell the story so far."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come about within {LIMIT_S} s\n{story()}", pytrace=False)
        time.sleep(0.02)
