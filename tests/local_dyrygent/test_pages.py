"""What the pages for users tell to write, run here: it prints what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

HOW_TO: Final = Path(__file__).parents[2] / "docs" / "how-to"
_EXAMPLE: Final = re.compile(r"^```python\n(# \w+\.py\n.*?)^```\n+```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page",
    [
        "map-over-a-list",
        "branch-and-skip",
        "clean-up-at-the-end",
        "follow-a-workflow",
        "wait-for-a-workflow",
        "list-and-delete-runs",
        "run-in-this-process",
        "change-the-engine",
    ],
)
def test_the_pages_print_what_they_say(
    page: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file of a page that is followed by what it prints does print that."""
    examples = _EXAMPLE.findall((HOW_TO / f"{page}.md").read_text(encoding="utf-8"))
    assert examples
    monkeypatch.chdir(tmp_path)  # where those that keep a file may

    for code, printed in examples:
        exec(compile(code, page, "exec"), {"__name__": "__main__"})  # noqa: S102  # our own page
        assert capsys.readouterr().out == printed
