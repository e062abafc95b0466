"""The page on asking why, and the docstrings of what it tells of, print what they say."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "ask-why.md"


def test_the_page_prints_what_it_says() -> None:
    """Its example is run."""
    script, printed = re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", printed)


@pytest.mark.parametrize("module", ["critical_path", "explain", "story"])
def test_the_examples_of_the_docstrings_are_true(module: str) -> None:
    """They are run."""
    done = doctest.testmod(importlib.import_module(f"dyrygent_core.{module}"))

    assert (done.failed, done.attempted > 0) == (0, True)
