"""Workflows live through anything: 20,000 random schedules on the real conductors and sweeps, in virtual time.

What is measured and shown here is what `python -m property_tests.fuzz` does for any number.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve
from hypothesis import settings

from dyrygent_core import Attempt, Failed, SkipRequested, Workflow, call
from dyrygent_testing import Fault, FaultKind, Faults
from property_tests import fuzz as command
from property_tests.counts import Counts
from property_tests.cutting import without
from property_tests.fuzz import fuzz
from property_tests.lives import Life, life_of, lived
from property_tests.shrinking import shrunk, violated
from property_tests.tally import Tally, possible, table

ALL: Final = 20_000
SOME: Final = 1_000
IS_ALL: Final = settings().max_examples > settings.get_profile("dev").max_examples
"""Whether the profile is one of those that take their time."""
NODES: Final = 6


@pytest.mark.timeout(900)
def test_random_schedules_break_no_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the workflow, its outcomes, the order and the faults: nothing is violated, and everything ends.

    Among as many as are run in CI, every kind of fault has struck at every place where it can.
    """
    counts, began_s = Counts(seed=0, nodes=NODES, first=0), time.monotonic()

    fuzz(counts, ALL if IS_ALL else SOME, processes=2)

    tally = counts.tally
    with capsys.disabled():
        seconds = f"{time.monotonic() - began_s:.0f} s, {tally.seconds:.0f} s of a core"
        print(f"\n{tally.schedules:,} schedules in {seconds}")  # noqa: T201
        print(f"{tally.struck.total():,} faults: how often each kind struck at each place\n\n{table(tally.struck)}")  # noqa: T201
    assert tally.broken == {}
    if IS_ALL:
        assert sorted(possible() - tally.struck.keys()) == []


def test_a_number_is_one_schedule_in_every_process() -> None:
    """The same numbers give the same traces in processes that hash differently, and however many there are."""
    told = [_digest(hash_seed, processes) for hash_seed, processes in (("0", "1"), ("random", "2"))]

    assert len(set(told)) == 1


def test_a_number_is_one_schedule_wherever_one_begins() -> None:
    """A schedule does not depend on those before it."""
    assert lived(life_of(3, 110)).digest == lived(life_of(3, 110)).digest
    assert Faults(**_rates(life_of(3, 111))) != Faults(**_rates(life_of(3, 110)))


def test_a_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    """After `kill -9` the same command counts on, and comes to what a run comes to that nobody has killed.

    Its processes are gone with it: none keeps what it would write to open.
    """
    file, schedules = tmp_path / "counts.json", 150
    arguments = ["--schedules", str(schedules), "--file", str(file), "--processes", "1"]
    with subprocess.Popen(_command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        _wait_until(lambda: file.exists() and json.loads(file.read_text())["schedules"] > 0)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    killed = json.loads(file.read_text())

    again = _run(*arguments)
    whole = Counts(seed=0, nodes=NODES, first=0)
    fuzz(whole, schedules, processes=1)

    read = json.loads(file.read_text())
    assert 0 < killed["schedules"] <= schedules
    assert (read["schedules"], read["digest"]) == (schedules, whole.digest)
    assert whole.digest in again
    assert {path.name for path in tmp_path.iterdir()} <= {"counts.json", *_left_by_kill(tmp_path)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "1"], "seed 0, not 1"),
        (["--nodes", "3"], "nodes 6, not 3"),
        (["--first", "5"], "first 0, not 5"),
    ],
)
def test_counts_of_other_schedules_are_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file does not go on with what it has not counted; it stays as it was."""
    file = tmp_path / "counts.json"
    Counts(seed=0, nodes=NODES, first=0).save(file)
    before = file.read_bytes()

    assert command.main(["--file", str(file), *arguments]) == 2

    assert said in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", '{"version": 0}', "{"])
def test_what_is_no_file_of_counts_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor with what it cannot read."""
    file = tmp_path / "counts.json"
    file.write_text(text)

    assert command.main(["--file", str(file)]) == 2

    assert str(file) in capsys.readouterr().err
    assert file.read_text() == text


def test_a_schedule_is_told_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` runs one schedule again, and tells all that happened in it."""
    assert command.main(["--only", "42"]) == 0

    told = capsys.readouterr().out
    assert lived(life_of(0, 42)).digest in told
    assert "workflow:" in told


# What a broken promise looks like


def test_what_breaks_a_promise_is_made_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a schedule that violates something no fault is left that it does not need, and no more than a few nodes."""
    _send_nothing_again(monkeypatch)
    life = next(it for it in map(_of_seed, range(500)) if violated(it) and len(lived(it).plan) > 3)

    small = shrunk(life, 0, patience_s=30)

    assert isinstance(small.faults, tuple)
    assert violated(small)[0].number == violated(life)[0].number
    assert len(small.faults) <= 2
    assert len(small.workflow) <= max(4, len(life.workflow))
    assert all(not _is_broken_without(small, at) for at in range(len(small.faults)))
    assert command.main(["--only", str(life.number)]) == 1
    assert "smaller" in capsys.readouterr().out


def test_nodes_are_left_out_that_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two remain where one is recorded and the other is not sent, at the first append in the place of the fifth."""
    _send_nothing_again(monkeypatch)
    monkeypatch.setattr("property_tests.shrinking._SMALL", ())
    workflow = Workflow("long")
    for at in range(8):
        workflow.add(call("step"), id=f"step {at}", after=[f"step {at - 1}"] if at else [])
    workflow.finally_(call("unlock"), id="unlock")
    life = evolve(
        _of_seed(0),
        workflow=workflow,
        outcomes={"step 6": [Failed(Attempt("step 6"))]},
        requests=((10**6, SkipRequested("step 7")),),
        faults=(Fault("point.after_append", 5, FaultKind.CRASH),),
    )
    assert violated(life)

    small = shrunk(life, 0)

    assert len(small.workflow) == 2
    assert small.faults == (Fault("point.after_append", 1, FaultKind.CRASH),)
    assert (small.outcomes, small.requests) == ({}, ())


@pytest.mark.parametrize("number", range(0, 3_000, 301))
def test_a_schedule_without_a_node_breaks_no_promise(number: int) -> None:
    """What is left out takes with it all that names it, and what remains is as good a workflow as the whole."""
    life = _of_seed(number)
    for node in life.workflow.build()[0].graph.numbers:
        smaller = without(life, node)

        assert len(smaller.workflow) == len(life.workflow) - 1
        assert violated(smaller) == ()


def _send_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """Let no sweep send anything: what an owner has not sent stays unsent."""
    patch.setattr("dyrygent_runtime.judging.Judge.is_to_send", lambda *_, **__: False)


def _is_broken_without(life: Life, at: int) -> bool:
    faults = life.faults
    assert isinstance(faults, tuple)
    number = violated(life)[0].number
    return any(it.number == number for it in violated(evolve(life, faults=(*faults[:at], *faults[at + 1 :]))))


def _of_seed(number: int) -> Life:
    return life_of(0, number, nodes=NODES)


# Helpers


def test_tables_show_what_cannot_be() -> None:
    """A cell has a dot where a kind of fault cannot strike, and else a number."""
    shown = table(Tally(struck={("message.held", "redeliver"): 1_234}).struck)  # type: ignore[arg-type]

    row = next(line for line in shown.splitlines() if "message.held" in line)
    assert "1,234" in row
    assert row.count("·") == len(FaultKind) - 1
    assert re.search(r"`journal.append` \| 0 \| 0 \| · \| 0 \| 0 \|", shown)


def _rates(life: Life) -> dict[str, float]:
    assert isinstance(life.faults, Faults)
    return {kind.value: rate for kind, rate in life.faults.rates.items()}


def _digest(hash_seed: str, processes: str) -> str:
    told = _run("--schedules", "40", "--first", "1880", "--processes", processes, hash_seed=hash_seed)
    return re.findall("digest of all traces: ([0-9a-f]{32})", told)[0]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "property_tests.fuzz", *arguments]


def _run(*arguments: str, hash_seed: str = "0") -> str:
    done = subprocess.run(
        _command(*arguments),
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait_until(is_so: object, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.02)


def _left_by_kill(folder: Path) -> Sequence[str]:
    """What a process leaves that is killed between writing a file and putting it in its place."""
    return [path.name for path in folder.iterdir() if re.fullmatch(r"counts\.json\.[0-9]+", path.name)]
