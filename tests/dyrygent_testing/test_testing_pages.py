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
PYTEST: Final = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
TUTORIAL: Final = (ROOT / "docs" / "tutorial" / "find-a-bug.md").read_text(encoding="utf-8")


def run(folder: Path, files: Mapping[str, str], *command: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def reports(printed: str) -> list[str]:
    """Give what pytest prints of each error, without its margin."""
    lines = [line.removeprefix("E").removeprefix("   ").rstrip() for line in printed.splitlines() if line[:1] == "E"]
    _, *found = "".join(f"{line}\n" for line in lines).split("    AssertionError: ")
    return [f"    AssertionError: {text}" for text in found]


def test_the_readme_s_workflow_is_tested_in_less_than_twenty_lines(tmp_path: Path) -> None:
    """The file as it stands there passes."""
    files = dict(FILE.findall((ROOT / "README.md").read_text(encoding="utf-8")))

    printed = run(tmp_path, files, *PYTEST, "test_onboarding.py")

    assert len(files["test_onboarding.py"].splitlines()) < 20
    assert "1 passed" in printed


def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    """Each bug is found by the test as it stands there, and reported as it says; repaired, the test passes."""
    files = dict(FILE.findall(TUTORIAL))
    looked, *told = TEXT.findall(TUTORIAL)
    test = files["test_shop.py"]
    repaired = {
        "test_1.py": test,
        "test_2.py": test.replace("shop import", "shop_with_an_edge import"),
        "test_3.py": test.replace("shop import", "shop_that_charges_once import"),
        "test_4.py": files["test_promises.py"],
    }

    assert run(tmp_path, files, "look.py") == looked
    printed = run(tmp_path, repaired, *PYTEST, *repaired)
    assert reports(printed) == told
    assert "3 failed, 1 passed" in printed
