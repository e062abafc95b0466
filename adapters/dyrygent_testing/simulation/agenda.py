"""When a store has to be asked what is due: what follows from the calls that were made of it, by the clause J5.

So a round of a sweeper that would find nothing costs nothing. It is a bound, and decides nothing: when its time has
come the store itself is asked, and whatever it gives then is swept. Whether what a sweeper has claimed is given to
nobody else is for the store to show: it is asked at once, and then each time that the claim has become twice as old.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dyrygent_core.ports import Created, WorkflowKey

__all__ = ["Agenda"]

_HEARD: Final = frozenset({"create", "append", "due", "rest", "remind", "close"})


class Agenda:
    """Listens to the calls of all processes."""

    def __init__(self, store_ms: Callable[[], int]) -> None:
        self._store_ms = store_ms
        self._due_ms: dict[str, int] = {}
        self._next_ms: float = math.inf
        self._claims: dict[str, tuple[int, int]] = {}
        """Since when something is claimed, and when the store is to show next that it is."""
        self.changes = 0
        """How often something was done by which a workflow may have been opened or closed."""

    @property
    def is_free(self) -> bool:
        """Whether nothing can be due now."""
        return self._next_ms > self._store_ms()

    def note(self, call: str, args: Sequence[Any], kwargs: Mapping[str, Any], answer: Any) -> None:
        """Note a call that was made, and its answer."""
        if call not in _HEARD:
            return
        now_ms, due_ms = self._store_ms(), self._due_ms
        name = _name(args, answer)
        match call:
            case "create":
                self.changes += 1
                due_ms.setdefault(name, now_ms + kwargs["due_in_ms"])
            case "append":
                self.changes += 1
                due_ms.setdefault(name, now_ms)
            case "due":
                self._claims |= {at: (since_ms, 2 * now_ms - since_ms) for at, (since_ms, _) in self._claims.items()}
                self._claims |= {due.key.id: (now_ms, now_ms) for due in answer}
                due_ms |= {due.key.id: now_ms + kwargs["claim_ms"] for due in answer}
            case "rest" if name in due_ms:
                due_ms[name] = now_ms + kwargs["in_ms"]
                self._claims.pop(name, None)
            case "remind" if name in due_ms:
                due_ms[name] = min(due_ms[name], now_ms + kwargs["in_ms"])
            case "close":
                self.changes += 1
                if answer:
                    due_ms.pop(name, None)
                    self._claims.pop(name, None)
            case _:
                pass
        self._next_ms = min([*due_ms.values(), *(at_ms for _, at_ms in self._claims.values())], default=math.inf)


def _name(args: Sequence[Any], answer: object) -> str:
    if isinstance(answer, Created):
        return answer.key.id
    return args[0].id if args and isinstance(args[0], WorkflowKey) else ""
