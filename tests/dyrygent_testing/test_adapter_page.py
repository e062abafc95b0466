"""The adapter on the page that teaches to write one passes the suite, run as the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from dyrygent_core.ports import Capability
from dyrygent_testing import AdapterEngine, AdapterSuite

PAGE: Final = (Path(__file__).parents[2] / "docs" / "how-to" / "write-an-adapter.md").read_text(encoding="utf-8")
_FILE: Final = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_adapter_of_the_page_passes(tmp_path: Path) -> None:
    """All files are written, and the suite holds; its table has every clause."""
    files = dict(_FILE.findall(PAGE))
    assert list(files) == ["queue_adapter.py", "test_queue_adapter.py", "test_queue_machine.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "t")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-3_000:]
    assert "clauses of the adapter port: TestQueueAdapter" in done.stdout
    assert re.findall(r"^(A\d+|whole|all) ", done.stdout, re.MULTILINE) == [
        *(f"A{number}" for number in range(1, 12)),
        "whole",
        "all",
    ]
    assert re.search(r"^A1 +dispatch +held +\d+ held +0 failed", done.stdout, re.MULTILINE)
    assert "the engine has no hook kill_worker" in done.stdout


def test_the_page_names_every_hook() -> None:
    """Each public method of the engine has its row, and each capability that rules ask for is named."""
    hooks = {name for name in vars(AdapterEngine) if not name.startswith("_") and callable(vars(AdapterEngine)[name])}

    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)) == hooks
    assert {it.name for it in Capability if f"`{it.name}`" not in PAGE} == set()


def test_the_page_names_every_clause_that_has_a_rule() -> None:
    """A row for each number that the suite's tests carry."""
    numbers = {found[1].upper() for name in dir(AdapterSuite) if (found := re.match(r"test_(a\d+)_", name))}

    assert set(re.findall(r"^\| (A\d+) ", PAGE, re.MULTILINE)) == numbers
