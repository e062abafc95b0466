"""A workflow, and the functions that its nodes run: nothing here knows of an engine.

It counts the words of the Markdown pages in a folder: finds the pages, counts each of them on its own, and sums up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dyrygent_core import SkipNode, Take, Workflow, call

__all__ = ["FUNCTIONS", "count_words"]

_WORD: Final = re.compile(r"[^\W\d_]+")


def find_pages(folder: str) -> Take:
    """Find the pages; where there are many, only the summary is wanted."""
    pages = sorted(str(path) for path in Path(folder).rglob("*.md"))
    if not pages:
        message = f"there is no page in {folder}"
        raise FileNotFoundError(message)
    return Take({"folder": folder, "pages": pages}, branches=["count", "sum up"])


def count_page(page: str) -> dict[str, Any]:
    """Count one page; one that is nothing but a list of others is left out."""
    text = Path(page).read_text(encoding="utf-8")
    if Path(page).name == "index.md":
        message = f"{page} is an index"
        raise SkipNode(message)
    return {"page": Path(page).name, "words": len(_WORD.findall(text))}


def sum_up(folder: str, counts: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Sum up what was counted."""
    counted = [it for it in counts if it is not None]
    return {
        "folder": Path(folder).name,
        "pages": len(counted),
        "left out": len(counts) - len(counted),
        "words": sum(it["words"] for it in counted),
        "longest": max(counted, key=lambda it: it["words"])["page"],
    }


def tell_nobody(folder: str) -> None:
    """Stand for what is not wanted this time."""


def sign_off(state: str) -> str:
    """Say how it ended."""
    return f"the pages are counted: {state}"


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "words.find": find_pages,
    "words.count": count_page,
    "words.sum": sum_up,
    "words.tell": tell_nobody,
    "words.sign_off": sign_off,
}
"""By the names that calls use: the same on every engine."""


def count_words(folder: Path) -> Workflow:
    """Build the workflow for one folder."""
    workflow = Workflow("count words", max_in_flight=8)
    found = workflow.add(call("words.find", str(folder.resolve())), id="find")
    counts = workflow.add(call("words.count"), each=found.result["pages"], id="count", max_attempts=2)
    total = workflow.add(call("words.sum", found.result["folder"], counts.result), id="sum up")
    workflow.add(call("words.tell", found.result["folder"]), id="tell somebody")
    last = workflow.finally_(call("words.sign_off", workflow.summary["state"]), id="sign off")
    workflow.returns([total.result, last.result])
    return workflow
