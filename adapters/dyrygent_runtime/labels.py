"""What a workflow is found by beside its id: its name and its tags, and what they may be.

They are written with the workflow and never change. Which workflows have them is asked in `runs`.
"""

from __future__ import annotations

from typing import Any, Final

from dyrygent_core.checks import check_id, items_of

__all__ = ["MAX_TAGS", "check_name", "tags_of"]

MAX_TAGS: Final = 32
"""Tags of one workflow: each is a row, or an index entry, of the journal's store."""


def check_name(name: object) -> str:
    """Return a workflow's name: empty, or what may be an id. Raises `UsageError`."""
    return "" if name == "" else check_id(name, "a workflow's name")


def tags_of(tags: Any) -> tuple[str, ...]:
    """Return tags in their order, each once: at most `MAX_TAGS`, and each what may be an id.

    Raises `UsageError`, and `LimitError` for too many.
    """
    return tuple(dict.fromkeys(check_id(tag, "a tag") for tag in items_of("tags", tags, "tags", MAX_TAGS)))
