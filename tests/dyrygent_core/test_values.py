"""A value that exists is valid: what is told and asked for is checked where it is made, in the caller's own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import pytest

from dyrygent_core import (
    Attempt,
    Call,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Failure,
    Lost,
    PauseRequested,
    Ran,
    RerunRequested,
    Skipped,
    SkipRequested,
    Succeeded,
    UsageError,
    call,
)
from dyrygent_core.calls import Template
from dyrygent_core.codec import decode_observation, encode_observation

ODD: Final[Any] = None
YES: Final[Any] = True
A: Final = Attempt("a")
INPUTS: Final = "a call's inputs must be a Template of {'args': […], 'kwargs': {…}}, not "
REPAIR: Final = "; call('target', …) makes them of its arguments"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CancelRequested(ODD), "reason must be a str, not NoneType: None"),
        (lambda: PauseRequested(cast("str", 5)), "reason must be a str, not int: 5"),
        (lambda: SkipRequested(ODD), "node must be a str, not NoneType: None"),
        (lambda: SkipRequested("a", ODD), "reason must be a str, not NoneType: None"),
        (lambda: Lost(A, ODD), "reason must be a str, not NoneType: None"),
        (lambda: Skipped(A, cast("str", b"no")), "reason must be a str, not bytes: b'no'"),
        (lambda: DeadlinePassed(0), "round must be at least 1, not 0"),
        (lambda: DeadlinePassed(cast("int", "1")), "round must be a whole number, not str: '1'"),
        (lambda: RerunRequested(cast("Any", ["a", 7])), "an id among nodes must be a str, not int: 7"),
        (lambda: RerunRequested(cast("Any", 7)), "nodes must be a sequence of ids, not int: 7"),
        (lambda: RerunRequested(ODD), "nodes must be a sequence of ids, not NoneType: None"),
        (lambda: Failure(cast("str", ValueError)), "a failure's type must be a str, not type: <class 'ValueError'>"),
        (lambda: Failure("E", ODD), "a failure's message must be a str, not NoneType: None"),
        (lambda: Failure("E", module=ODD), "a failure's module must be a str, not NoneType: None"),
        (lambda: Failure("E", args=cast("Any", ["no"])), "a failure's args must be a tuple or None, not list: ['no']"),
        (lambda: Ran(cast("int", 0.5), 1), "started_ms must be a whole number, not float: 0.5"),
        (lambda: Ran(1, YES), "duration_ms must be a whole number, not bool: True"),
        (lambda: Ran(1, 2, ODD), "a worker's name must be a str, not NoneType: None"),
        (lambda: Call("load", cast("Any", ["a"])), f"{INPUTS}list{REPAIR}"),
        (lambda: Call("load", Template(["a"])), f"{INPUTS}a Template of something else{REPAIR}"),
        (lambda: Call("load", Template({"args": ()})), f"{INPUTS}a Template of something else{REPAIR}"),
        (lambda: Call("load", Template({"args": (), "kwargs": {}})), f"{INPUTS}a Template of something else{REPAIR}"),
        (lambda: Call("load", Template({"args": [], "kwargs": []})), f"{INPUTS}a Template of something else{REPAIR}"),
        (lambda: Call("load", options=ODD), "a call's options must be a mapping, not NoneType: None"),
    ],
)
def test_what_is_of_another_type_is_refused(make: Callable[[], object], message: str) -> None:
    """With the value that was given, except for arguments, which may be secret."""
    with pytest.raises(UsageError) as caught:
        make()

    assert str(caught.value) == message


def test_what_may_be_odd_is_taken() -> None:
    """A clock that was set back, a text of a subclass, an iterable of names: all of it comes back from the journal."""

    class Name(str):
        __slots__ = ()

    told = [
        Succeeded(A, Ran(-5, -1, Name("w"))),
        Failed(A, Failure(Name("E"), Name("no"), Name("m"), (1, None))),
        RerunRequested(cast("Any", iter(["a", "b"]))),
        SkipRequested("", "nobody's node"),
    ]

    for observation in told:
        assert decode_observation(encode_observation(observation)) == observation


def test_what_call_makes_is_right() -> None:
    """Whatever its arguments are."""
    made = call("load", 1, [2], key={"args": None}).with_options(queue="q")

    assert Call(made.target, made.inputs, made.options) == made
    assert Call("load") == call("load")
