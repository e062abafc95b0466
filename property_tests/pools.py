"""Processes for what takes hours: they end with the process that began them, also if that is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

__all__ = ["pool_of"]


def pool_of(processes: int) -> ProcessPoolExecutor:
    """Give an executor with so many processes."""
    return ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_the_first
    )


def _end_with_the_first() -> None:
    """Let this process end when the one that began it does: by itself it waits for ever for more to do."""
    threading.Thread(target=_end_after_the_first, daemon=True).start()


def _end_after_the_first() -> None:
    first = multiprocessing.parent_process()
    assert first is not None, "this process was begun by no other"
    first.join()
    os._exit(1)
