"""What a task returns or raises to steer its workflow, as values."""

from __future__ import annotations

from typing import Any

import pytest

from dyrygent_core import Take, UsageError, Workflow, call


def test_branches_are_named_by_ids_or_nodes() -> None:
    """A node stands for its id."""
    left = Workflow().add(call("left"))

    assert Take(1, [left, "right"]).branches == ("left", "right")


@pytest.mark.parametrize(
    ("branches", "refusal"),
    [
        ("left", "branches must be a sequence of ids or nodes, not str; write ['left']"),
        (None, "branches must be a sequence of ids or nodes, not NoneType"),
        ({"left": 1}, "branches must be a sequence of ids or nodes, not dict"),
        ([1], "an id must be a str, not int: 1"),
        (["b", b"c"], "an id must be a str, not bytes: b'c'"),
        ([""], "an id must have 1 to 255 characters; '' has 0"),
    ],
)
def test_branches_that_are_no_ids_are_refused(branches: Any, refusal: str) -> None:
    """The task that returns them fails, and its error says what to write."""
    with pytest.raises(UsageError) as caught:
        Take(1, branches)

    assert str(caught.value) == refusal
