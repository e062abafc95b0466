"""`check_workflow` as a user writes it: silent about what is right, and short about what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dyrygent_core import Attempt, Failed, Status, Take, UsageError, Workflow, call
from dyrygent_testing import FaultKind, Trace, check_workflow, simulate

FEW: Final = 40


def order() -> Workflow:
    """Build a shop's order in which an edge is missing: the mail tells what was reserved."""
    workflow = Workflow("order")
    basket = workflow.add(call("basket.read", 7), id="basket")
    charge = workflow.add(call("card.charge", basket.result), id="charge")
    workflow.add(call("stock.reserve", basket.result), id="reserve")
    workflow.add(call("mail.confirm", charge.result), id="mail")
    return workflow


def shop() -> dict[str, Any]:
    """Make the tasks, over a database of their own."""
    database: dict[str, Any] = {}
    return {
        "basket.read": lambda _: ["book"],
        "card.charge": lambda basket: {"paid": 9 * len(basket)},
        "stock.reserve": lambda basket: database.update(reserved=basket),
        "mail.confirm": lambda receipt: f"{receipt['paid']} EUR for {database['reserved']}",
    }


def locked(*, is_finalizer: bool) -> Workflow:
    """Build a workflow that holds a lock."""
    workflow = Workflow("locked")
    lock = workflow.add(call("lock"), id="lock")
    work = workflow.add(call("work"), id="work", after=lock)
    if is_finalizer:
        workflow.finally_(call("unlock"), id="unlock")
    else:
        workflow.add(call("unlock"), id="unlock", after=work)
    return workflow


def gives_the_lock_back(trace: Trace) -> None:
    assert trace.ran("unlock") or trace.statuses["lock"] is not Status.SUCCEEDED, "it is locked for ever"


def told_by(workflow: Workflow, **told: Any) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        check_workflow(workflow, **told)
    return str(caught.value).splitlines()


def test_an_edge_that_is_missing_is_found() -> None:
    """The report has what differs, the story of the smallest run, and the line that repeats it."""
    assert told_by(order(), functions=shop) == [
        "workflow 'order' breaks a promise",
        "  order and faults must not matter: 'mail' is FAILED (KeyError: 'reserved'), and was SUCCEEDED in a calm run",
        "",
        "simulation of 'order', seed 0",
        "  0.0 s  'basket' on w1: succeeded after 1 s",
        "  1.0 s  'charge' on w1: succeeded after 1 s",
        "  2.0 s  'mail' on w1: failed (KeyError: 'reserved') after 1 s",
        "  3.0 s  'reserve' on w1: succeeded after 1 s",
        "  ends after 4.0 s in FAILURE: 'mail' FAILED",
        "",
        "The same run again:",
        "  simulate(workflow, functions=functions, order=['mail'], workers=1)",
    ]


def test_the_line_that_repeats_a_run_repeats_it() -> None:
    """What it says is code, and comes to the same."""
    *_, line = told_by(order(), functions=shop)

    trace = eval(line, {"simulate": simulate, "workflow": order(), "functions": shop})  # noqa: S307  # our own line

    assert str(trace.failure("mail")) == "KeyError: 'reserved'"


def test_a_lock_that_nobody_gives_back_is_found() -> None:
    """An invariant of the user's is named, with the line that it broke on, and one failure or cancel is enough."""
    told = told_by(locked(is_finalizer=False), invariants=[gives_the_lock_back], examples=FEW)

    assert told[1].startswith("  gives_the_lock_back: it is locked for ever")
    assert told[-1] in (
        "  simulate(workflow, outcomes={'work': [Failed(Attempt('work'))]}, workers=1)",
        "  simulate(workflow, workers=1, requests=[(0, CancelRequested())])",
    )


def test_a_finalizer_gives_it_back() -> None:
    """Whatever fails, is lost, dies or is cancelled."""
    check_workflow(locked(is_finalizer=True), invariants=[gives_the_lock_back], examples=FEW)


def test_a_task_that_must_not_be_repeated_is_found() -> None:
    """A worker may die after the card was charged, and before it has told."""

    def bank() -> dict[str, Any]:
        charges = count(1)
        return {"charge": lambda: f"charged {next(charges)} times"}

    workflow = Workflow("bank")
    workflow.add(call("charge"), id="charge")

    told = told_by(workflow, functions=bank)

    assert told[1].endswith("'charge' returned 'charged 2 times', and 'charged 1 times' in a calm run")
    assert told[-1] == "  simulate(workflow, functions=functions, workers=1, faults=[Fault('worker.ran', 1, 'crash')])"
    check_workflow(workflow, functions=bank, faults=())


TWENTY: Final = 20


def lattice() -> Workflow:
    """Build twenty nodes, some side by side, some behind each other."""
    workflow = Workflow("lattice")
    for at in range(TWENTY):
        above = [f"n{it}" for it in (at - 3, at - 7) if it >= 0]
        workflow.add(call("run", at), id=f"n{at}", after=above)
    return workflow


@pytest.mark.parametrize("at", range(TWENTY))
def test_one_task_of_many_that_must_not_be_repeated_is_found(at: int) -> None:
    """Wherever it stands: by design, and not by chance. One death is enough to show it."""

    def tasks() -> dict[str, Any]:
        counts = [count(1) for _ in range(TWENTY)]
        return {"run": lambda its: next(counts[its]) if its == at else its}

    told = told_by(lattice(), functions=tasks, examples=1)

    assert told[1] == f"  order and faults must not matter: 'n{at}' returned 2, and 1 in a calm run"
    assert told[-1].count("Fault(") == 1


def test_each_node_is_run_again() -> None:
    """However few the examples; unless nobody may die."""
    again: set[str] = set()

    def note(trace: Trace) -> None:
        again.update(name for name in trace.statuses if trace.count(name) > 1)

    check_workflow(lattice(), invariants=[note], faults=["crash"], workers=3, examples=1)
    assert len(again) == TWENTY
    again.clear()
    check_workflow(lattice(), invariants=[note], outcomes=st.just({}), faults=["delay"], examples=5)
    assert again == set()


def test_tasks_take_their_time() -> None:
    """Each its own, in some runs, unless it is given; never so long that one times out by it."""
    workflow = Workflow()
    workflow.add(call("run"), id="short", timeout=2_000)
    workflow.add(call("run"), id="long")
    lengths_ms: dict[str, set[int]] = {}

    def note(trace: Trace) -> None:
        for it in trace.executed:
            if it.ended_ms is not None:
                lengths_ms.setdefault(it.attempt.node, set()).add(it.ended_ms - it.started_ms)

    told: dict[str, Any] = {"invariants": [note], "outcomes": st.just({}), "faults": (), "examples": FEW}
    check_workflow(workflow, **told)
    assert {1_000, 5_000} < lengths_ms["long"]
    assert {1_000} < lengths_ms["short"] <= {0, 100, 1_000}
    lengths_ms.clear()
    check_workflow(workflow, durations=7, **told)
    assert lengths_ms == {"short": {7}, "long": {7}}


def test_an_invariant_may_return_false() -> None:
    """A lambda is enough; it is shown by its name."""
    told = told_by(order(), invariants=[lambda trace: trace.started_before("reserve", "mail")], examples=FEW)

    assert told[1] == "  <lambda>: it returned False"


def test_an_invariant_that_asks_for_nobody_is_shown_by_its_own_line() -> None:
    """The line is the user's, not the one of ours that refuses it."""

    def misspelt(trace: Trace) -> None:
        assert trace.count("bill") < 2

    told = told_by(order(), invariants=[misspelt], examples=5)

    assert told[1].startswith("  misspelt: UnknownNodeError: node 'bill' is not in the graph")
    assert told[1].endswith(', at assert trace.count("bill") < 2')


def test_all_that_an_invariant_says_is_shown() -> None:
    """Line by line, without what pytest adds."""

    def lists(trace: Trace) -> None:
        assert trace.count("mail") > 9, "too few mails:\nmail"

    told = told_by(order(), invariants=[lists], examples=5)

    assert [line.strip() for line in told[1:4]] == ["lists: too few mails:", "mail", ""]


@pytest.mark.parametrize("answer", [0, "", []])
def test_whatever_is_false_breaks_an_invariant(answer: object) -> None:
    """A library's own False is none of Python's; None is what a function returns that only asserts."""
    assert told_by(order(), invariants=[lambda _: answer], examples=5)[1] == f"  <lambda>: it returned {answer!r}"
    check_workflow(order(), invariants=[lambda _: None], examples=5)


@pytest.mark.parametrize(
    ("functions", "why"),
    [
        ({"basket.read": lambda one, two: [one, two]}, "TypeError"),
        ({"basket.read": lambda _: object()}, "EncodingError"),
        ({"basket.read": lambda _: Take(1, branches=["nobody"])}, "attempt 1 chose 'nobody', which does not wait"),
    ],
)
def test_a_task_that_always_fails_is_found(functions: dict[str, Any], why: str) -> None:
    """Behind it nothing would be tried, and order and faults would make no difference."""
    told = told_by(order(), functions=functions, examples=5)

    assert told[1].startswith(f"  ends well if nothing goes wrong: 'basket' is FAILED ({why}")
    assert told[-1] == "  simulate(workflow, functions=functions)"


def test_outcomes_may_be_drawn_by_the_user() -> None:
    """Then nothing else fails."""
    told = told_by(
        locked(is_finalizer=False),
        outcomes=st.just({"lock": [Failed(Attempt("lock"), is_final=True)]}),
        invariants=[lambda trace: trace.ran("lock") and not trace.ran("work") and False],
        faults=["crash"],
        examples=5,
    )

    assert "outcomes={'lock': [Failed(Attempt('lock'), is_final=True)]}" in told[-1]


def test_functions_that_keep_something_are_refused() -> None:
    """What one run leaves behind would be found in the next, and no failure could be repeated."""
    calls = count(1)
    workflow = Workflow()
    workflow.add(call("count"), id="count")

    with pytest.raises(UsageError, match="give check_workflow a function that makes them anew"):
        check_workflow(workflow, functions={"count": lambda: next(calls)})


def test_only_the_kinds_that_were_asked_for_strike() -> None:
    """Faults can be chosen, or left out."""
    kinds: set[FaultKind] = set()

    def note(trace: Trace) -> None:
        kinds.update(it.fault.kind for it in trace.struck if not it.is_of_task)

    check_workflow(order(), faults=["delay", "duplicate"], invariants=[note], examples=FEW)
    assert kinds == {FaultKind.DELAY, FaultKind.DUPLICATE}


def test_what_time_decides_is_not_compared() -> None:
    """A deadline that the calm run misses, and another keeps, is no bug of the order."""
    workflow = Workflow(deadline=1_000)
    workflow.add(call("run"), id="last", after=[workflow.add(call("run"), id="first")])
    assert simulate(workflow).statuses["last"] is Status.CANCELLED

    check_workflow(workflow)


def test_runs_differ() -> None:
    """Within a few runs there are cancels, faults, failures, and several orders."""
    traces: list[Trace] = []

    check_workflow(order(), invariants=[traces.append], examples=FEW)

    assert len({trace.order for trace in traces}) > 3
    assert len({trace.state.workflow_state for trace in traces}) == 3
    assert len({it.fault.kind for trace in traces for it in trace.struck}) > 3


@pytest.mark.parametrize("nodes", [0, 1])
def test_small_workflows_are_no_exception(nodes: int) -> None:
    """There may be nothing to order, and nothing to fail."""
    workflow = Workflow()
    for number in range(nodes):
        workflow.add(call("run"), id=f"n{number}")

    check_workflow(workflow, examples=10)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database of examples appears, unless the settings say so."""
    monkeypatch.chdir(tmp_path)

    told_by(order(), functions=shop)

    assert list(tmp_path.iterdir()) == []


def test_settings_are_hypothesis_s() -> None:
    """They take the place of `examples`."""
    traces: list[Trace] = []

    three = settings(max_examples=3, database=None, deadline=None)
    check_workflow(order(), invariants=[traces.append], faults=(), settings=three)

    assert len(traces) == 3


SCRIPT: Final = """
from tests.dyrygent_testing.test_check_workflow import order, shop
from dyrygent_testing import check_workflow
import hashlib
digests = []
check_workflow(order(), invariants=[lambda trace: digests.append(trace.digest)], examples=10)
print(hashlib.sha256("".join(digests).encode()).hexdigest())
try:
    check_workflow(order(), functions=shop)
except AssertionError as problem:
    print(problem)
"""


def test_a_seed_is_the_same_runs_in_every_process() -> None:
    """The same digests, and the same report, outside of pytest and under every hash seed."""
    root = Path(__file__).parent.parent.parent
    told = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "random")
    }

    assert len(told) == 1
    assert "order=['mail']" in told.pop()


def test_it_is_not_called_in_a_test_that_draws() -> None:
    """What to do there is said, and Hypothesis's health check is not what one reads."""

    @settings(max_examples=1, database=None)
    @given(st.none())
    def drawing(_: None) -> None:
        check_workflow(order(), examples=1)

    with pytest.raises(UsageError, match="give it to simulate and check_invariants"):
        drawing()


def test_what_is_refused_is_told_without_what_was_to_be_drawn() -> None:
    """Hypothesis adds all arguments of its strategies to an error; here they say nothing to a user."""
    wrong = st.just({"mial": [Failed(Attempt("mial"))]})

    with pytest.raises(UsageError, match="did you mean 'mail'") as raised:
        check_workflow(order(), outcomes=wrong)

    assert not hasattr(raised.value, "__notes__")
