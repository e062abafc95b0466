"""References: where they may stand, what is refused, and how results take their places."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from dyrygent_core import LimitError, NodeHandle, ResultRef, UsageError
from dyrygent_core.errors import ResultMissingError, ResultPathError
from dyrygent_core.refs import MAX_NESTING, NO_VALUE, Default, Reference, detach, resolve

A = ResultRef("a")
H = NodeHandle("a")


class Point(NamedTuple):
    """A tuple with names, as users have them."""

    x: int
    y: ResultRef


@pytest.mark.parametrize(
    ("value", "detached", "references"),
    [
        (A, None, (Reference((), "a"),)),
        ([1, A], [1, None], (Reference((1,), "a"),)),
        ((A, {"k": A[0]}), [None, {"k": None}], (Reference((0,), "a"), Reference((1, "k"), "a", (0,)))),
        ({"k": A["x"].default(3)}, {"k": None}, (Reference(("k",), "a", ("x",), Default(3)),)),
        (Point(1, A), [1, None], (Reference((1,), "a"),)),
        ({1: 2, "plain": {"$ref": "a"}}, {1: 2, "plain": {"$ref": "a"}}, ()),
        (7, 7, ()),
    ],
)
def test_references_are_taken_out(value: Any, detached: Any, references: tuple[Reference, ...]) -> None:
    """They stand anywhere in lists, tuples and dicts; a value that looks like one stays a value."""
    assert detach(value) == (detached, references)


def test_what_was_given_is_not_changed() -> None:
    """The arguments are copied as deep as there are containers; other objects are taken as they are."""
    odd = object()
    given = {"k": [A, odd]}

    detached, _ = detach(given)
    detached["k"].append(1)

    assert given == {"k": [A, odd]}
    assert detached["k"][1] is odd


def test_one_container_may_stand_in_two_places() -> None:
    """Only one inside itself is refused."""
    shared = [A]

    assert detach([shared, shared, [], []]) == (
        [[None], [None], [], []],
        (Reference((0, 0), "a"), Reference((1, 0), "a")),
    )


def test_the_order_of_references_is_not_that_of_the_keys() -> None:
    """Equal arguments give equal references."""
    assert detach({"x": A, "y": A}) == detach({"y": A, "x": A})


def _in_itself() -> Any:
    inner: list[Any] = []
    inner.append({1: inner})
    return {"k": inner}


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({A: 1}, "the result of 'a' stands as a key at the top; it can only be a value"),
        ([{A: 1}], "the result of 'a' stands as a key at [0]; it can only be a value"),
        ({1: [A]}, "the result of 'a' stands under the key 1; JSON has str keys only, so write that key as a str"),
        ([1, {"k": H}], "node 'a' itself stands in the arguments at [1]['k']; write .result for its result"),
        ([{A}], "a result stands in a set at [0], where it has no place of its own; write a list"),
        (frozenset({H}), "a result stands in a set at the top, where it has no place of its own; write a list"),
        (_in_itself(), "the arguments contain themselves at ['k'][0][1]; only trees can be written down"),
        (_deep(MAX_NESTING + 2), "the arguments are nested more than 500 levels deep; pass flatter ones"),
    ],
)
def test_what_cannot_be_written_down_is_refused(value: Any, message: str) -> None:
    """References as keys or under odd ones, circles, and bottomless nesting."""
    with pytest.raises(UsageError) as caught:
        detach(value)

    assert str(caught.value) == message


def test_deep_nesting_is_fine_up_to_the_limit() -> None:
    """500 levels are written and read by the standard library."""
    assert detach(_deep(MAX_NESTING)) == (_deep(MAX_NESTING), ())


def test_few_containers_cannot_make_many_items() -> None:
    """A list of lists of the same list is counted as it would be written, and stopped early."""
    value: Any = [1] * 1_000
    for _ in range(6):
        value = [value] * 1_000

    with pytest.raises(LimitError, match="the arguments have more than 1,048,576 items; store the data elsewhere"):
        detach(value)


@pytest.mark.parametrize("key", [True, 1.5, None, slice(1)])
def test_a_result_is_indexed_by_text_and_whole_numbers(key: Any) -> None:
    """What is not known yet cannot be computed with."""
    with pytest.raises(UsageError) as caught:
        A[key]

    assert str(caught.value) == (
        "the result of 'a' is not known yet, so it can be indexed by str and int only, "
        f"not by {type(key).__name__}: {key!r}; do the rest in a task"
    )


def test_a_result_cannot_be_unpacked() -> None:
    """Without this, Python would try indexes for ever."""
    with pytest.raises(UsageError, match="the result of 'a' is not known yet, so it cannot be iterated or unpacked"):
        list(A)


def test_results_take_their_places() -> None:
    """Parts are picked by key and index, from the end too; a default stands in where there is no value."""
    results = {"a": {"list": [1, 2, 3]}, "gone": NO_VALUE}
    detached, references = detach(
        {"last": A["list"][-1], "whole": A, "none": ResultRef("gone")["x"].default("spare"), "plain": 0}
    )

    assert resolve(detached, references, results.__getitem__) == {
        "last": 3,
        "whole": {"list": [1, 2, 3]},
        "none": "spare",
        "plain": 0,
    }


@pytest.mark.parametrize(
    ("reference", "result", "message"),
    [
        (A["x"], {"y": 1}, "the result of node 'a' has nothing at ['x']: that part of it is a mapping of 1 keys"),
        (
            A["x"][2],
            {"x": [1]},
            "the result of node 'a' has nothing at ['x'][2]: that part of it is a list of length 1",
        ),
        (A["x"], "text", "the result of node 'a' has nothing at ['x']: that part of it is a str of length 4"),
        (A[0], None, "the result of node 'a' has nothing at [0]: that part of it is a NoneType"),
    ],
)
def test_a_part_that_is_not_there_is_told_without_showing_the_rest(
    reference: ResultRef, result: Any, message: str
) -> None:
    """The path and the kind of what is there; results are not for logs."""
    with pytest.raises(ResultPathError) as caught:
        resolve(*detach([reference]), lambda _: result)

    assert str(caught.value) == message


def test_a_missing_result_without_a_default_is_an_error() -> None:
    """The builder does not let this happen; a store that lost it does."""
    with pytest.raises(ResultMissingError) as caught:
        resolve(*detach([A]), lambda _: NO_VALUE)

    assert str(caught.value) == "node 'a' has no result to refer to, and the reference no default"


def test_no_value_says_so() -> None:
    """It can be read in a failing test."""
    assert repr(NO_VALUE) == "NO_VALUE"
