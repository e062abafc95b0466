"""Which entries of a journal belong to the past of a state, and which values are no entries at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from dyrygent_core import (
    CancelRequested,
    Failed,
    Graph,
    Mode,
    Node,
    Observation,
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    Skipped,
    State,
    UsageError,
    advance,
)
from dyrygent_core.explain import explain
from dyrygent_core.ports import Entry
from tests.dyrygent_core.explained import BEGIN, BOOM, PAIR, RETRIED, of

ONE_BY_ONE: Final = Graph([Node("a"), Node("b")], max_in_flight=1, mode=Mode.FAIL_FAST)
TWO_ROUNDS: Final = (BEGIN, Failed(of("a"), BOOM), RerunRequested(), CancelRequested("later"))
TWO_CANCELS: Final = (
    BEGIN,
    CancelRequested("enough"),
    Failed(of("a"), is_revoked=True),
    RerunRequested(),
    CancelRequested("again"),
)
PAUSES: Final = (BEGIN, Failed(of("a")), PauseRequested("lunch"), ResumeRequested())


def read(graph: Graph, node: str, facts: Sequence[Observation], at: int, ends: slice) -> str:
    """Explain the state after so many facts, with some of the entries."""
    state, _ = advance(graph, State.initial(graph), facts[:at])
    return explain(graph, state, node, entries=[Entry(at, "", fact) for at, fact in enumerate(facts, 1)][ends])


@pytest.mark.parametrize(
    ("graph", "node", "facts", "at", "said"),
    [
        (
            ONE_BY_ONE,
            "b",
            TWO_ROUNDS,
            2,
            "'b' is CANCELLED: fail_fast ended the work, since 'a' FAILED ('ValueError: boom')",
        ),
        (
            ONE_BY_ONE,
            "b",
            TWO_ROUNDS,
            3,
            "'b' is READY: attempt 2 may run, but 1 attempt is in flight, and max_in_flight is 1",
        ),
        (
            PAIR,
            "a",
            [BEGIN, Skipped(of("a"), "no news"), CancelRequested()],
            1,
            "'a' is SCHEDULED: attempt 1 is in flight",
        ),
        (
            PAIR,
            "a",
            TWO_CANCELS,
            2,
            "'a' is SCHEDULED: attempt 1 is in flight; it is to be stopped, for the workflow was cancelled ('enough')",
        ),
    ],
    ids=["before the rerun", "before the cancel", "in flight", "before another cancel"],
)
def test_what_came_after_the_state_is_left_out(
    graph: Graph, node: str, facts: Sequence[Observation], at: int, said: str
) -> None:
    """Whoever reads the state first and the journal then may have more of it than led to the state."""
    assert read(graph, node, facts, at, slice(None)) == said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "the workflow is paused ('lunch')"),
        ([PauseRequested("dinner")], "the workflow is paused ('lunch' or 'dinner')"),
        ([PauseRequested("lunch")], "the workflow is paused ('lunch')"),
        ([PauseRequested()], "the workflow is paused"),
    ],
)
def test_a_pause_may_be_any_that_leaves_the_same_state(more: Sequence[Observation], said: str) -> None:
    """One that is over leaves no trace, so the state after either is the same, and each reason is named."""
    facts = [*PAUSES, *more]

    assert read(RETRIED, "a", facts, 3, slice(None)).partition("; ")[2] == said


@pytest.mark.parametrize("ends", [slice(2), slice(3), slice(1, None), slice(0)], ids=str)
def test_entries_that_do_not_lead_to_the_state_tell_nothing(ends: slice) -> None:
    """Too few of them, without the first, or none: what is said is what the state alone says."""
    said = "'b' is CANCELLED: the workflow was cancelled or the work of an earlier round was ended"

    assert read(ONE_BY_ONE, "b", TWO_ROUNDS, 4, ends) == said


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry(1, "", BEGIN), BEGIN], r"not Begin\(at_ms=1000\); write Entry\(2, '', Begin\(at_ms=1000\)\)$"),
        (["a"], r"those of a journal, as run\.entries\(\) gives them, not 'a'$"),
        (Entry(1, "", BEGIN), r"a sequence of entries, not Entry\(.*\); write \[Entry"),
        (None, "a sequence of entries, not None$"),
        ([Entry(1, "", "begin")], r"holds an observation, such as Succeeded\(attempt\), not 'begin'$"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_entry_is_refused(entries: Any, said: str) -> None:
    """With what to write."""
    with pytest.raises(UsageError, match=said):
        explain(PAIR, State.initial(PAIR), "a", entries=entries)
