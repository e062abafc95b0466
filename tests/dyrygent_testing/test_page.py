"""The page on simulations prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from dyrygent_runtime.faults import FaultPoint
from dyrygent_testing import Fault, kinds_at

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-a-workflow.md"
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


FILES: Final = re.findall(
    r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_the_page_prints_what_it_says(tmp_path: Path) -> None:
    """Each of its files prints the text that follows it."""
    texts = [text for language, text in BLOCKS if language == "text"]
    for name, code in FILES:
        (tmp_path / name).write_text(code, encoding="utf-8")

    for (name, _), text in zip(FILES, texts, strict=True):
        done = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.stdout == text


def test_every_single_crash_of_the_page_is_survived() -> None:
    """The loop over all places holds for the workflow of the page."""
    first, loop = (text for language, text in BLOCKS if language == "python" and "FaultKind.CRASH" in text)

    exec(compile(first + loop, str(PAGE), "exec"), {"print": lambda *_: None})  # noqa: S102  # it is ours


def test_places_have_the_kinds_of_the_table() -> None:
    """A row for each sort of place names what can happen there."""
    rows = dict(re.findall(r"^\| `(\w+\.[\w…]+)` \| .*? \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    told = {place: set(re.findall(r"`(\w+)`", cell)) for place, cell in rows.items()}

    assert told["point.…"] == _kinds(f"point.{FaultPoint.AFTER_APPEND.value}")
    assert told["journal.…"] == _kinds("journal.append")
    assert told["journal.…"] | {"flush"} == _kinds("engine.dispatch")
    assert _kinds("engine.dispatch") | {"blind"} == _kinds("engine.lookup")
    assert told["message.sent"] == _kinds("message.sent")
    assert told["message.held"] == _kinds("message.held")
    assert told["worker.…"] == _kinds("worker.ran")


def test_every_fault_point_of_the_product_is_a_place() -> None:
    """A fault point that is added later can be struck at once."""
    assert all(
        Fault(f"point.{point.value}", 1, kind) for point in FaultPoint for kind in kinds_at("point.after_append")
    )


def _kinds(place: str) -> set[str]:
    return {kind.value for kind in kinds_at(place)}
