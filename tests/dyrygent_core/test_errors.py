"""Exceptions: they travel between processes, and show foreign text safely."""

from __future__ import annotations

import pickle
from typing import Final

import pytest

from dyrygent_core import errors
from dyrygent_core.errors import CycleError, DuplicateNodeError, DyrygentError, UnknownNodeError, quoted

MADE: Final[dict[str, DyrygentError]] = {
    "CycleError": CycleError(("a", "b", "a")),
    "DuplicateNodeError": DuplicateNodeError("a"),
    "UnknownNodeError": UnknownNodeError("lod", "report", ["load", "clean"]),
    "UnknownWorkflowError": errors.UnknownWorkflowError("onboard-1"),
}


@pytest.mark.parametrize("name", errors.__all__)
def test_every_exception_survives_a_pickle(name: str) -> None:
    """Type, text and attributes come back."""
    error = MADE.get(name) or getattr(errors, name)("what happened; what to write instead")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UsageError", ValueError),
        ("UnknownNodeError", LookupError),
        ("EncodingError", TypeError),
        ("ResultPathError", LookupError),
        ("JournalUnavailableError", ConnectionError),
        ("AdapterUnavailableError", ConnectionError),
        ("UnknownWorkflowError", LookupError),
        ("InvariantError", AssertionError),
    ],
)
def test_exceptions_are_also_the_fitting_builtin(name: str, builtin: type[Exception]) -> None:
    """Whoever does not know us catches what they would expect."""
    assert issubclass(getattr(errors, name), (DyrygentError, builtin))
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("load", "'load'"),
        ("it's", '"it\'s"'),
        ("żółw", "'żółw'"),
        ("line\nbreak", "'line\\nbreak'"),
        ("\u202egnp.exe", "'\\u202egnp.exe'"),
        ("\ud800", "'\\ud800'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 79}…'"),
    ],
)
def test_foreign_text_is_shown_on_one_line(text: str, shown: str) -> None:
    """Quoted, without control characters, cut to a readable length."""
    assert quoted(text) == shown


def test_a_long_cycle_is_shown_by_its_ends() -> None:
    """Of a thousand ids, eight are shown; all are in `path`."""
    path = tuple(f"n{number}" for number in range(1_000))
    error = CycleError(path)

    assert str(error) == (
        "the dependencies form a cycle: 'n0' -> 'n1' -> 'n2' -> 'n3' -> … 992 more … -> "
        "'n996' -> 'n997' -> 'n998' -> 'n999'; remove one of these edges"
    )
    assert error.path == path


def test_an_unknown_workflow_is_named() -> None:
    """The id is in the text, and an attribute."""
    error = errors.UnknownWorkflowError("onboard-1")

    assert str(error) == "workflow 'onboard-1' is not in this journal; it was deleted, or another journal holds it"
    assert error.workflow_id == "onboard-1"
