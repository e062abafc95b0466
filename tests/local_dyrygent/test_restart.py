"""What another process finds on the file of one that ended in the middle, and what two do at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from dyrygent_core import Lost
from dyrygent_runtime import Run
from dyrygent_runtime.journals import open_journal
from tests.local_dyrygent import process

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 60


def launch(file: Path, workers: int, act: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", process.__name__, str(file), str(workers), act]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(one: subprocess.Popen[str]) -> tuple[list[str], str]:
    """Wait until a process has ended; give the lines it said, and what it complained of."""
    try:
        said, complained = one.communicate(timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        one.kill()
        pytest.fail(f"it hangs; it said {one.communicate()}", pytrace=False)
    return said.splitlines(), complained


@pytest.mark.parametrize("workers", [1, 0], ids=["thread", "inline"])
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_another_process_goes_on_at_once(tmp_path: Path, workers: int, how: str) -> None:
    """What ran is lost and counted, what was queued runs, nothing else runs again, and no lease has to run out."""
    file = tmp_path / "runs.db"
    first, complained = ended(launch(file, workers, how))
    begun = time.monotonic()
    second, complained_again = ended(launch(file, workers, "resume"))
    took_s = time.monotonic() - begun

    assert second[-1] == f"{how} SUCCESS ['went on', {list(range(10, 20))}]"
    said = [line for line in [*first, *second[:-1]] if line != f"found {how}"]
    assert Counter(said) == {"ends": 2, **{f"works {number}": 1 for number in range(20)}}
    assert took_s < 25  # of the 30 s of grace and the 60 s of a lease
    assert how == "kill" or "KeyboardInterrupt" in complained
    assert "Exception in thread" not in complained + complained_again
    lost = [it.observation for it in _history(file, how) if isinstance(it.observation, Lost)]
    assert [it.attempt.node for it in lost] == ["ends"]
    assert [it.name for it in tmp_path.iterdir() if "worker" in it.name] == []


def test_what_a_living_process_runs_is_left_to_it(tmp_path: Path) -> None:
    """Two processes on one file: what runs in one is not lost to the other, nor run twice."""
    file = tmp_path / "runs.db"
    first = launch(file, 1, "hold")
    assert first.stdout is not None
    assert first.stdout.readline() == "holds\n"
    second = launch(file, 1, "resume")
    assert second.stdout is not None
    assert second.stdout.readline() == "found hold\n"
    file.with_suffix(".go").touch()

    assert ended(second)[0] == ["hold SUCCESS held"]
    assert ended(first)[0] == ["hold SUCCESS held"]


def test_one_that_lives_takes_over_from_one_that_dies(tmp_path: Path) -> None:
    """Of two processes on one file the other sees at once that one was killed, and goes on with what it held."""
    file = tmp_path / "runs.db"
    living = launch(file, 2, "hold")
    assert living.stdout is not None
    assert living.stdout.readline() == "holds\n"
    ended(launch(file, 1, "kill"))
    begun = time.monotonic()
    journal = open_journal(f"sqlite:///{file}")
    try:
        assert Run.from_id("kill", journal).wait(_LIMIT_S).name == "SUCCESS"
    finally:
        journal.dispose()
    took_s = time.monotonic() - begun
    file.with_suffix(".go").touch()
    said, _ = ended(living)

    assert said[-1] == "hold SUCCESS held"
    assert "ends" in said
    assert took_s < 50  # of the 60 s of a lease; what that did not name yet waits for the grace, 3 s here


def _history(file: Path, workflow_id: str) -> tuple[object, ...]:
    journal = open_journal(f"sqlite:///{file}")
    try:
        return Run.from_id(workflow_id, journal).history()
    finally:
        journal.dispose()
