"""A trace as a user reads it, and asks it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dyrygent_core import Attempt, Failed, Lost, RetryPolicy, Take, UnknownNodeError, UsageError, Workflow, call
from dyrygent_testing import Fault, FaultKind, Trace, simulate


def order() -> Workflow:
    """Build a shop's order, with a lock that is given back at the end."""
    workflow = Workflow("order")
    charge = workflow.add(call("card.charge", 25), id="charge", max_attempts=2, retry=RetryPolicy(delay_ms=2_000))
    pack = workflow.add(call("pack", charge.result["id"], gift=True), id="pack")
    mail = workflow.add(call("mail", charge.result), id="mail")
    workflow.add(call("ship", [pack.result, mail.result]), id="ship")
    workflow.finally_(call("unlock"), id="unlock")
    return workflow


FUNCTIONS: dict[str, Any] = {
    "card.charge": lambda amount: {"id": f"tx-{amount}"},
    "pack": lambda of, *, gift: f"{of} {'with' if gift else 'without'} a ribbon",
    "mail": "sent",
}

CRASH = Fault("worker.ran", 1, FaultKind.CRASH)


def trace(**told: Any) -> Trace:
    return simulate(order(), **{"functions": FUNCTIONS, "durations": {"pack": 5_000}, **told})


def chosen(branches: list[str], **told: Any) -> Trace:
    """Let `choose` take these branches; `left` and `right` wait for it."""
    workflow = Workflow()
    choose = workflow.add(call("choose"), id="choose")
    workflow.add(call("left"), id="left", after=[choose])
    workflow.add(call("right"), id="right", after=[choose])
    return simulate(workflow, functions={"choose": lambda: Take(None, branches=branches)}, **told)


# What one asks of it


def test_it_tells_who_ran_and_how_often() -> None:
    """A node that is tried again ran twice, one behind a failure never."""
    it = trace(outcomes={"charge": [Failed(Attempt("charge"))], "mail": [Failed(Attempt("mail"))]})

    assert [it.count(node) for node in ("charge", "pack", "ship")] == [2, 1, 0]
    assert [it.ran(node) for node in ("charge", "ship")] == [True, False]
    assert it.order == ("charge", "pack", "mail", "unlock")


def test_it_tells_who_was_first() -> None:
    """To begin earlier is one thing, to have ended before the other begins another."""
    it = trace()

    assert it.started_before("pack", "mail")
    assert not it.ended_before("pack", "mail")
    assert it.ended_before("charge", "mail")
    assert not it.started_before("mail", "pack")


def test_who_never_ran_was_not_first() -> None:
    """Whoever ran is before one that did not; one that did not is before nobody."""
    it = trace(outcomes={"charge": [Failed(Attempt("charge"), is_final=True)]})

    assert it.started_before("charge", "ship")
    assert it.ended_before("charge", "ship")
    assert not it.started_before("ship", "charge")
    assert not it.ended_before("ship", "pack")


def test_it_knows_how_long_it_took() -> None:
    """The makespan is that of the executions, on simulated time."""
    assert timedelta(seconds=8) < trace().makespan < timedelta(seconds=8.1)


def test_it_gives_results_as_the_next_task_got_them() -> None:
    """Results have been JSON; those nobody refers to are there too."""
    it = trace()

    assert it.result("charge") == {"id": "tx-25"}
    assert it.result("pack") == "tx-25 with a ribbon"
    assert it.result("mail") == "sent"
    assert it.result("ship") == {"by": "ship[0]"}
    assert it.result("unlock") == {"by": "unlock[0]"}


def test_a_mapped_node_s_result_is_a_list() -> None:
    """In the order of the elements; one that failed leaves None."""
    workflow = Workflow()
    found = workflow.add(call("find"), id="found")
    workflow.add(call("double"), each=found, id="doubled", allow_failure=True)
    functions = {"find": (1, 2, 3), "double": lambda number: number * 2}

    it = simulate(workflow, functions=functions)

    assert it.result("doubled") == [2, 4, 6]
    assert it.count("doubled") == 3


def test_the_execution_that_counted_gives_the_result() -> None:
    """A worker that dies before it has told is not the one that others go by."""
    calls: list[int] = []

    def charge(_: int) -> int:
        calls.append(1)
        return len(calls)

    workflow = Workflow()
    workflow.add(call("charge", 25), id="charge")
    it = simulate(workflow, functions={"charge": charge}, faults=[CRASH])

    assert (it.count("charge"), it.result("charge")) == (2, 2)


def test_it_tells_why_a_node_failed() -> None:
    """What the user's function raised."""
    it = trace(functions={**FUNCTIONS, "mail": lambda it: it["to"]})

    assert str(it.failure("mail")) == "KeyError: 'to'"
    assert it.failure("pack") is None


@pytest.mark.parametrize("ask", ["ran", "count", "result", "failure", "story"])
def test_it_refuses_nodes_that_are_not_there(ask: str) -> None:
    """A name that is written wrong would let an assertion pass for ever."""
    with pytest.raises(UnknownNodeError, match="'mial' is not in the graph; did you mean 'mail'"):
        getattr(trace(), ask)("mial")


def test_there_is_no_result_without_success() -> None:
    """The error names the status, and who tells more."""
    it = trace(outcomes={"mail": [Failed(Attempt("mail"))]})

    with pytest.raises(UsageError, match=r"'ship' is UPSTREAM_FAILED, so it has no result; see trace.story\('ship'\)"):
        it.result("ship")


# What one reads


def test_printed_it_is_a_short_story() -> None:
    """Each execution, each fault and each end that nobody reported has its line."""
    assert str(trace(faults=[CRASH], seed=3)).splitlines() == [
        "simulation of 'order', seed 3",
        "   0.0 s  'charge' on w1: succeeded after 1 s",
        "   1.0 s  !! w1 dies, with 'charge' [crash at worker.ran:1]",
        "  65.0 s  'charge' was lost ('worker w1 died')",
        "  65.0 s  'charge', attempt 2, on w2: succeeded after 1 s",
        "  66.0 s  'pack' on w1: succeeded after 5 s",
        "  66.0 s  'mail' on w2: succeeded after 1 s",
        "  71.0 s  'ship' on w1: succeeded after 1 s",
        "  72.0 s  'unlock' on w2: succeeded after 1 s",
        "  ends after 73.0 s in SUCCESS",
    ]


def test_a_failure_is_in_the_story() -> None:
    """With what was raised, and what became of those behind it."""
    told = str(trace(functions={**FUNCTIONS, "mail": lambda it: it["to"]}))

    assert "'mail' on w1: failed (KeyError: 'to') after 1 s" in told
    assert told.endswith("in FAILURE: 'mail' FAILED, 'ship' UPSTREAM_FAILED")


def test_its_repr_is_one_line() -> None:
    """That is what pytest shows of it in a failing assertion."""
    assert repr(trace(faults=[CRASH])) == (
        "<Trace of seed 0: SUCCESS after 73.0 s, ran ['charge', 'pack', 'mail', 'ship', 'unlock'], 1 fault>"
    )


def test_a_timeline_is_a_chart() -> None:
    """Who ran when, what failed, and when a fault struck; it is as wide as it was asked to be."""
    lost = {"mail": [Lost(Attempt("mail"))], "ship": [Failed(Attempt("ship"))]}

    lines = trace(outcomes=lost, durations=20_000, workers=2).timeline(width=60).splitlines()

    assert lines == [
        "charge |========                                           |",
        "pack   |       ========                                    |",
        "mail   |       ===?                  ========              |",
        "ship   |                                    =======x       |",
        "unlock |                                           ========|",
        "faults |          !                                        |",
        "        0.0 s                                       145.0 s",
    ]


def test_a_timeline_needs_room() -> None:
    """Less than sixty characters show nothing."""
    with pytest.raises(UsageError, match="timeline must be at least 60, not 59"):
        trace().timeline(59)


def test_a_story_is_all_of_one_node() -> None:
    """What it was given and returned, what was observed of it, what struck, and why it is as it is."""
    assert trace(faults=[CRASH]).story("charge").splitlines() == [
        " 0.0 s  the workflow began -> SCHEDULED, attempt 1",
        " 0.0 s  'charge' begins on w1, with (25)",
        " 1.0 s  'charge' returns {'id': 'tx-25'} on w1",
        " 1.0 s  !! w1 dies, with 'charge' [crash at worker.ran:1]",
        "65.0 s  attempt 1 was lost ('worker w1 died') -> SCHEDULED, attempt 2",
        "65.0 s  'charge', attempt 2, begins on w2, with (25)",
        "66.0 s  'charge', attempt 2, returns {'id': 'tx-25'} on w2",
        "66.0 s  attempt 2 succeeded after 1 s on 'w2' -> SUCCEEDED",
        "'charge' is SUCCEEDED: attempt 2 succeeded, after 1 of at most 3 losses",
    ]


# Functions


def test_functions_get_what_an_engine_would_give() -> None:
    """Their arguments have been JSON, and are their own: nothing is shared with whoever made them."""
    got: list[Any] = []
    basket = {"books": ("a", "b")}
    workflow = Workflow()
    first = workflow.add(call("first", basket), id="first")
    workflow.add(call("second", first.result, by=3), id="second")

    def note(value: Any, **more: Any) -> Any:
        got.append({**value, **more})
        return value

    simulate(workflow, functions={"first": note, "second": note})

    assert got == [{"books": ["a", "b"]}, {"books": ["a", "b"], "by": 3}]


def test_functions_may_be_made_anew() -> None:
    """A function that makes them gives every simulation a world of its own."""

    def world() -> dict[str, Any]:
        stock = [1]
        return {"take": stock.pop}

    workflow = Workflow()
    workflow.add(call("take"), id="take")

    assert [simulate(workflow, functions=world).result("take") for _ in range(2)] == [1, 1]


def test_what_is_drawn_to_fail_is_not_called() -> None:
    """Outcomes go before functions, so that a function that always works can be seen to fail."""
    it = trace(outcomes={"pack": [Failed(Attempt("pack"))]}, functions={**FUNCTIONS, "pack": lambda *_, **__: 1 / 0})

    assert str(it.failure("pack")) == "Failure"


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ({"functions": {"card.chrage": 1}}, "calls 'card.chrage', which functions name; did you mean 'card.charge'"),
        ({"functions": {"nothing like it": 1}}, "; it calls 'card.charge', 'pack', 'mail', 'ship', 'unlock'"),
        ({"functions": [1]}, "a function that makes that, not list"),
        ({"outcomes": lambda _: 1}, "leave out one of them"),
        ({"outcomes": {"mial": [Failed(Attempt("mial"))]}}, "'mial' is not in the graph; did you mean 'mail'"),
        ({"durations": {"mial": 1}}, "'mial' is not in the graph; did you mean 'mail'"),
    ],
)
def test_what_would_be_ignored_is_refused(told: dict[str, Any], hint: str) -> None:
    """A name of no node and no target is a mistake, and the message has the nearest one."""
    with pytest.raises(UsageError, match=hint):
        trace(**told)


def test_a_choice_that_is_refused_is_told_as_such() -> None:
    """A task that chose what does not wait for it returned, and still its node failed."""
    refused, taken = chosen(["lefft"]), chosen(["left"])

    assert "'choose' on w1: chose 'lefft', which does not wait for it directly, after 1 s" in str(refused)
    assert "x|" in refused.timeline().splitlines()[0]
    assert "'choose' on w1: succeeded after 1 s" in str(taken)
    assert "x" not in taken.timeline().splitlines()[0]
