"""Names for nodes whose ids were made up, as those of a Celery canvas are: others at each import, and hard to read.

Such a node has the name of what it calls, and `#2`, `#3`, … if others call the same, as the builder names its own.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import count

__all__ = ["Ids", "free_name", "named_in"]

Ids = Mapping[str, str]
"""The ids that names stand for."""


def free_name(base: str, *taken: Container[str]) -> str:
    """Give the name that the next node of these gets."""
    numbered = (base if at == 1 else f"{base}#{at}" for at in count(1))
    return next(it for it in numbered if not any(it in names for names in taken))


def named_in(text: str, ids: Ids) -> str:
    """Put names in the place of ids."""
    for name, node in ids.items():
        text = text.replace(node, name)
    return text
