"""The checkers are worth their name: each rule that the product drops makes something fail that passes otherwise.

A mutant is a small change of the product, made inside the test alone (`mutants`). For each the table says what finds
it: a simulation, a schedule of the fuzz, or the rule machine of journals; and by which invariant. A checker that finds
no mutant would find no bug either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import field, frozen
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dyrygent_core import Attempt, Failed, NodeHandle, RerunRequested, RetryPolicy, Workflow, call
from dyrygent_runtime import Settings
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing import Fault, FaultKind, JournalMachine, Workers, simulate, violations_in
from property_tests import lives
from tests.dyrygent_runtime.mutants import CORE, JOURNALS, RUNTIME

SETTINGS: Final = Settings(resend_after_ms=120_000)
PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "how-it-is-tested.md"


def two_chains() -> Workflow:
    """Build two chains that run side by side, every result used."""
    workflow = Workflow()
    for chain in "ab":
        before: NodeHandle | None = None
        for place in range(3):
            inputs = [] if before is None else [before.result]
            before = workflow.add(call("run", *inputs), id=f"{chain}{place}")
    return workflow


def one_that_fails_first() -> Workflow:
    """Build a node that is tried twice, and another behind it."""
    workflow = Workflow()
    first = workflow.add(call("run"), id="a0", max_attempts=2, retry=RetryPolicy(delay_ms=1_000))
    workflow.add(call("run", first.result), id="a1")
    return workflow


# What finds them


@frozen
class Simulation:
    """A simulation with planned faults, and the invariants that it must find violated."""

    found: frozenset[str] = field(converter=frozenset)
    faults: tuple[Fault, ...] = ()
    build: Callable[[], Workflow] = two_chains
    options: Mapping[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return "a simulation with " + (", ".join(f"`{fault}`" for fault in self.faults) or "no fault")

    def numbers(self, journal: type[MemoryJournal]) -> set[str]:
        """Run it, and give the numbers of what is violated."""
        trace = simulate(
            self.build(),
            faults=self.faults,
            settings=SETTINGS,
            journal=lambda clock: journal("simulated", clock=clock),
            **self.options,
        )
        return {violation.number for violation in violations_in(trace)}


@frozen
class Schedule:
    """A schedule of the fuzz; where numbers stand for others than they did, the first of some that finds anything."""

    found: frozenset[str] = field(converter=frozenset)
    number: int
    others: Sequence[int] = tuple(range(0, 15_000, lives.SHARED + 7))

    def __str__(self) -> str:
        return "a random schedule"

    def numbers(self, journal: type[MemoryJournal]) -> set[str]:
        """Run it, and others only if it finds nothing; give the numbers of what is violated."""
        first = self._violated(self.number, journal)
        if first or not _IS_MUTATED:
            return first
        return next(filter(None, (self._violated(number, journal) for number in self.others)), set())

    def _violated(self, number: int, journal: type[MemoryJournal]) -> set[str]:
        life = lives.life_of(0, number)
        trace = lives.lived(life, journal=lambda clock: journal("simulated", clock=clock))
        return {violation.number for violation in violations_in(trace)}


@frozen
class Machine:
    """The rule machine that compares a journal with the memory journal."""

    found: frozenset[str] = frozenset({"J"})

    def __str__(self) -> str:
        return "`JournalMachine`"

    def numbers(self, journal: type[MemoryJournal]) -> set[str]:
        """Run it; give J if it finds a difference."""
        made = partial(journal, "machine")
        machine = type(journal.__name__, (JournalMachine,), {"make_journal": lambda _: made()})
        try:
            run_state_machine_as_test(machine, settings=_MACHINES)  # type: ignore[no-untyped-call]
        except AssertionError:
            return {"J"}
        return set()


_MACHINES: Final = settings(
    max_examples=3_000,  # it ends with the first that finds something; where that is depends on what is imported
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)

_IS_MUTATED: Final[list[str]] = []
"""The mutant that is in place."""

Finder = Simulation | Schedule | Machine

DIED: Final = Fault("point.after_append", 1, FaultKind.CRASH)
DOUBLED: Final = Fault("message.sent", 1, FaultKind.DUPLICATE, 1_500)

FINDERS: Final[Mapping[str, Finder]] = {
    "forget_the_taint_bit": Schedule({"I4"}, 0),
    "count_an_edge_twice": Schedule({"I4"}, 3652),
    "miscount_a_mapped_node": Schedule({"I4"}, 214),
    "release_in_arrival_order": Schedule({"I4"}, 2789),
    "repeat_the_number_of_a_retry": Schedule({"I2"}, 856),
    "leave_finalizers_out_of_a_cancel": Schedule({"I4"}, 8602),
    "go_on_after_a_cancel": Schedule({"I4"}, 0),
    "wait_for_no_retry": Schedule({"I4"}, 856),
    "drop_the_duplicate_check": Simulation({"I6", "I9"}, (Fault("message.sent", 1, FaultKind.DUPLICATE),)),
    "emit_from_missed_entries": Simulation({"I6", "I9"}),
    "rerun_under_the_old_attempt_id": Simulation(
        {"I2"}, build=one_that_fails_first, options={"outcomes": {"a0": [Failed(Attempt("a0"))]}}
    ),
    "retry_an_ambiguous_append_blindly": Simulation({"I5"}, (Fault("journal.append", 1, FaultKind.LOST_REPLY),)),
    "drop_the_sweep": Simulation({"L1"}, (DIED,)),
    "drop_the_self_fencing": Simulation({"I6"}, (Fault("point.after_append", 1, FaultKind.PAUSE, 40_000),)),
    "sweep_without_sent_marks": Schedule({"I9"}, 428),
    "sweep_without_leases": Schedule({"L1"}, 642),
    "judge_right_after_an_outage": Simulation(
        {"I3"},
        (Fault("journal.renew_lease", 5, FaultKind.UNAVAILABLE, 100_000),),
        options={"durations": 200_000, "workers": Workers(2, slots=1, prefetch=0)},
    ),
    "publish_without_looking_again": Simulation(
        {"L2"},
        (Fault("engine.publish", 1, FaultKind.PAUSE, 45_000),),
        build=one_that_fails_first,
        options={
            "outcomes": {"a1": [Failed(Attempt("a1"))]},
            "requests": [(5_000, RerunRequested())],
        },
    ),
    "RaisesDue": Simulation({"L1"}, (DIED,)),
    "OverwritesResults": Simulation({"I2"}, (DOUBLED,)),
    "ForgetsMissedEntries": Schedule({"I5"}, 642),
    "DropsTheNonceCheck": Machine(),
    "KeepsOlderSnapshots": Machine(),
    "ClaimsNothing": Machine(),
    "ClosesBehindAnEntry": Machine(),
    "LosesEarlierLeases": Machine(),
}
MUTANTS: Final = {each.__name__: each for each in (*CORE, *RUNTIME)}


@contextmanager
def mutated(name: str) -> Iterator[type[MemoryJournal]]:
    """Put a mutant in place, and give the journal to run over."""
    with pytest.MonkeyPatch.context() as patch:
        if name in MUTANTS:
            MUTANTS[name](patch)
        _IS_MUTATED.append(name)
        try:
            yield JOURNALS.get(name, MemoryJournal)
        finally:
            _IS_MUTATED.pop()


@pytest.mark.parametrize("name", FINDERS)
def test_each_mutant_is_found(name: str) -> None:
    """The product passes; without one of its rules it fails, by the invariant that the table names."""
    finder = FINDERS[name]
    if not isinstance(finder, Machine):  # its own test shows that the memory journal passes it
        assert finder.numbers(MemoryJournal) == set()

    with mutated(name) as journal:
        began_s = time.process_time()
        numbers = finder.numbers(journal)

    TOOK_S[name] = time.process_time() - began_s
    assert numbers >= finder.found


TOOK_S: Final[dict[str, float]] = {}


def test_every_mutant_has_its_finder(capsys: pytest.CaptureFixture[str]) -> None:
    """None is left out, and the page of the documentation tells of each what finds it."""
    assert {*FINDERS} == {*MUTANTS, *JOURNALS}

    page = PAGE.read_text(encoding="utf-8")
    rows = [_row(name, finder) for name, finder in FINDERS.items()]
    with capsys.disabled():
        print()  # noqa: T201  # what is reported
        for row, name in zip(rows, FINDERS, strict=True):
            print(f"{row} {TOOK_S.get(name, 0.0):.2f} s |")  # noqa: T201
    assert [row for row in rows if row not in page] == []


def _row(name: str, finder: Finder) -> str:
    what = MUTANTS.get(name) or JOURNALS[name]
    where = "core" if what in CORE else "runtime" if what in RUNTIME else "journal"
    said = (what.__doc__ or "").removesuffix(".")
    by = "a difference" if isinstance(finder, Machine) else ", ".join(sorted(finder.found))
    return f"| {said} | {where} | {finder} | {by} |"
