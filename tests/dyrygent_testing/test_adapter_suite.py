"""The adapter suite is worth its name: an engine that can everything holds each rule, and each broken one fails one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dyrygent_core import Call, UsageError
from dyrygent_runtime import Execution
from dyrygent_runtime.reports import Report
from dyrygent_testing import TASKS, AdapterMachine, AdapterSuite
from dyrygent_testing.adapter_report import ClauseTable, Ruled
from tests.dyrygent_testing.reference import FAST, ReferenceAdapter, ReferenceEngine, Worker

ROOT: Final = Path(__file__).parents[2]


class CheckingAdapter(ReferenceAdapter):
    """One that knows the names too, as an engine may whose functions are in this process."""

    def check(self, call: Call) -> None:
        if call.target not in TASKS:
            message = f"no function is named {call.target!r}"
            raise UsageError(message)


class CheckingEngine(ReferenceEngine):
    """Its engine."""

    adapter_kind = CheckingAdapter


class TestReference(AdapterSuite):
    """No rule is skipped here."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[ReferenceEngine]:
        engine = CheckingEngine()
        yield engine
        engine.stop_worker()

    @pytest.fixture(autouse=True)
    def _no_skips(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pytest, "skip", pytest.fail)


def test_each_broken_adapter_is_caught() -> None:
    """Each mutant fails the rule that its line names, which holds for the same adapter unbroken."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/dyrygent_testing/broken_adapters.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    results = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) \S+::Test(\w+)::", done.stdout, re.MULTILINE)
    became: dict[str, set[str]] = {}
    for result, name in results:
        became.setdefault(name, set()).add(result)

    assert became.pop("Unbroken") == {"PASSED"}, done.stdout[-3_000:]
    assert len(became) >= 20
    assert {name for name, its in became.items() if "FAILED" not in its} == set(), done.stdout[-3_000:]


class PatientAdapter(ReferenceAdapter):
    """One whose workers may get no processor for a while: nobody sends again what they hold, or takes them for dead."""

    waits = evolve(FAST, grace_ms=60_000, lease_ms=60_000)


class PatientEngine(ReferenceEngine):
    """Its engine."""

    adapter_kind = PatientAdapter


class TwiceWorker(Worker):
    """One that runs everything twice before it tells the end."""

    def report_of(self, attempt_id: str, execution: Execution, target: str, inputs: Mapping[str, Any]) -> Report:
        super().report_of(attempt_id, execution, target, inputs)
        return super().report_of(attempt_id, execution, target, inputs)


class TwiceEngine(PatientEngine):
    """Its engine."""

    worker_kind = TwiceWorker


def machine(kind: type[ReferenceEngine]) -> type[AdapterMachine]:
    class Machine(AdapterMachine):
        @contextmanager
        def make_engine(self) -> Iterator[ReferenceEngine]:
            with closing(kind()) as engine:
                yield engine

    return Machine


FEW: Final = settings(max_examples=8, derandomize=True, database=None, deadline=None, phases=[Phase.generate])


def test_the_machine_finds_nothing_where_nothing_is_wrong() -> None:
    """However slow its workers are, an adapter that keeps the clauses runs no more than the model emits."""
    run_state_machine_as_test(machine(PatientEngine), settings=FEW)


def test_the_machine_finds_what_runs_too_often() -> None:
    """It holds an adapter to what the model emits. Nothing is cancelled here, or it might not run at all."""
    with pytest.raises(AssertionError, match=r": \d attempts"):
        run_state_machine_as_test(machine(TwiceEngine), settings=settings(FEW, stateful_step_count=1))


def test_the_table_tells_what_became_of_each_clause() -> None:
    """A clause with a failure has FAILED, one of which some rules held is held, and reasons are told once."""
    table = ClauseTable()
    table.ruled += [
        Ruled("S", "A10", "passed", 1.0),
        Ruled("S", "A2", "passed", 0.5),
        Ruled("S", "A2", "skipped", 0.0, "no LOOKUP"),
        Ruled("S", "A2", "skipped", 0.0, "no LOOKUP"),
        Ruled("S", "A3", "skipped", 0.0, "no LOOKUP"),
        Ruled("S", "A1", "failed", 0.25),
        Ruled("S", "A1", "passed", 0.25),
        Ruled("T", "A1", "passed", 9.0),
    ]

    assert [re.sub(" +", " ", line) for line in table.lines("S")] == [
        "A1 dispatch FAILED 1 held 1 failed 0 skipped 0.5 s",
        "A2 report held 1 held 0 failed 2 skipped 0.5 s no LOOKUP",
        "A3 lookup skipped 0 held 0 failed 1 skipped 0.0 s no LOOKUP",
        "A10 again held 1 held 0 failed 0 skipped 1.0 s",
        "all FAILED 3 held 1 failed 3 skipped 2.0 s",
    ]
