"""What the README and the tutorial say of testing is run, and prints what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FILE: Final = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXT: Final = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TUTORIAL: Final = (ROOT / "docs" / "tutorial" / "find-a-bug.md").read_text(encoding="utf-8")


def run(folder: Path, files: Mapping[str, str], *command: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def report(folder: Path, files: Mapping[str, str], test: str) -> str:
    """Run a test, and give what pytest prints of its error, without the margin."""
    printed = run(folder, files, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    margin = [line.removeprefix("E").removeprefix("   ").rstrip() for line in printed.splitlines() if line[:1] == "E"]
    return "".join(f"{line}\n" for line in margin)


def test_the_readme_s_workflow_is_tested_in_less_than_twenty_lines(tmp_path: Path) -> None:
    """The file as it stands there passes."""
    files = dict(FILE.findall((ROOT / "README.md").read_text(encoding="utf-8")))

    assert len(files["test_onboarding.py"].splitlines()) < 20
    assert report(tmp_path, files, "test_onboarding.py") == ""
    assert "1 passed" in run(tmp_path, {}, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_onboarding.py")


def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    """Each bug is found by the test as it stands there, and reported as it says; repaired, the test passes."""
    files = dict(FILE.findall(TUTORIAL))
    looked, first, second, third = TEXT.findall(TUTORIAL)
    test = files["test_shop.py"]

    assert run(tmp_path, files, "look.py") == looked
    assert report(tmp_path, {}, "test_shop.py") == first
    assert (
        report(tmp_path, {"test_2.py": test.replace("shop import", "shop_with_an_edge import")}, "test_2.py") == second
    )
    assert (
        report(tmp_path, {"test_3.py": test.replace("shop import", "shop_that_charges_once import")}, "test_3.py") == ""
    )
    assert report(tmp_path, {}, "test_promises.py") == third
