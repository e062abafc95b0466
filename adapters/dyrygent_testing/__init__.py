"""The public testing toolkit: strategies, a model, simulation and conformance suites.

Each name is loaded when it is first asked for, so a suite needs no more than what it is written with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dyrygent_testing.journal_machine import JournalMachine
    from dyrygent_testing.journal_suite import JournalSuite

__all__ = ["JournalMachine", "JournalSuite"]

_HOMES: Final = {"JournalMachine": "journal_machine", "JournalSuite": "journal_suite"}


def __getattr__(name: str) -> Any:  # a class or a function of the toolkit
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
