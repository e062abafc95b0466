"""What the product logs during a simulation: kept from everybody else, and its errors noted."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["overheard"]


class _Listener(logging.Handler):
    """Notes the errors that the product logs: it goes on after them, but nobody is to overlook them."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None:
            kind, problem, _ = record.exc_info
            self._heard.append(f"{record.getMessage()}: {'' if kind is None else kind.__name__}: {problem}")


@contextmanager
def overheard(heard: list[str]) -> Generator[None]:
    """Listen to the product's log, of which nothing goes anywhere else meanwhile: it tells of simulated faults."""
    log = logging.getLogger("dyrygent")
    listener = _Listener(heard)
    level, propagate, handlers = log.level, log.propagate, log.handlers[:]
    log.handlers[:] = [listener]
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield
    finally:
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate
