"""What executions mean, whatever they return or raise."""

from __future__ import annotations

import pytest

from dyrygent_core import Attempt, Failed, SkipNode, Skipped, Succeeded
from dyrygent_core.codec import JSON_VALUES, decode_observation, encode_observation
from dyrygent_runtime.reports import raised, returned

A = Attempt("a")


class MuteError(ValueError):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "problem",
    [
        ValueError("no", 1, None),
        ValueError(float("nan")),
        ValueError(float("inf")),
        ValueError(10**5_000),
        ValueError("\ud800"),
        ValueError("x" * 100_000),
        ValueError(object()),
        MuteError(),
        SkipNode(),
        SkipNode("x" * 100_000),
        SkipNode(object()),  # type: ignore[arg-type]
        SkipNode("\ud800"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_any_exception_can_be_written_down(problem: Exception) -> None:
    """Whatever a task raises, its outcome is one that the journal can write, and read back as it was."""
    outcome = raised(A, problem)

    text = encode_observation(outcome)
    assert decode_observation(text) == outcome
    assert len(text) < 50_000
    assert isinstance(outcome, Skipped if isinstance(problem, SkipNode) else Failed)


def test_a_value_nobody_wants_is_measured_and_not_stored() -> None:
    """The lengths of lists are told even where the value is not kept, and whatever else is in it."""
    outcome, results = returned(A, [object()], JSON_VALUES, is_kept=False, measure=((),))

    assert outcome == Succeeded(A, sizes=(1,))
    assert results == {}


def test_too_large_a_value_fails_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a value together may be as large as one value may be."""
    monkeypatch.setattr("dyrygent_runtime.reports.MAX_RESULT_BYTES", 1_000)

    outcome, results = returned(A, ["x" * 20] * 100, JSON_VALUES, is_kept=True, measure=((),))

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "LimitError"
    assert results == {}
