"""Every exception of ours, sorted by who must act.

The class tells the reader whose move it is: `UsageError` the caller's, `AdapterError` the engine adapter's,
`JournalError` the store's, `InvariantError` ours.
Each also subclasses the built-in that an unsuspecting `except` would name, and each pickles, because workers
send exceptions to each other.
The texts follow one recipe: what happened, with the user's own values, and what to write instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

__all__ = [
    "AdapterError",
    "AdapterUnavailableError",
    "AttemptLostError",
    "CycleError",
    "DuplicateNodeError",
    "DyrygentError",
    "EncodingError",
    "InvariantError",
    "JournalError",
    "JournalUnavailableError",
    "LimitError",
    "ResultMissingError",
    "ResultNotKeptError",
    "ResultPathError",
    "UnknownNodeError",
    "UnknownWorkflowError",
    "UnsupportedVersionError",
    "UpstreamFailedError",
    "UsageError",
    "WorkflowExistsError",
    "WorkflowFailedError",
]

_MOST_SHOWN = 8
_LONGEST_SHOWN = 80
_MOST_COMPARED = 1_000
"""Ids looked at for a suggestion: comparing two long ones takes up to a millisecond."""


class DyrygentError(Exception):
    """Base of every exception that this library raises on purpose."""


class UsageError(DyrygentError, ValueError):
    """The call cannot be right as it stands; the caller must change it. Nothing was changed."""


class CycleError(UsageError):
    """The dependencies form a circle, given as the ids along it, the first repeated at the end."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        shown = [quoted(node) for node in self.path]
        if len(shown) > _MOST_SHOWN:
            middle = f"… {len(shown) - _MOST_SHOWN} more …"
            shown = [*shown[: _MOST_SHOWN // 2], middle, *shown[-_MOST_SHOWN // 2 :]]
        return f"the dependencies form a cycle: {' -> '.join(shown)}; remove one of these edges"


class DuplicateNodeError(UsageError):
    """Two nodes share one id."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node

    def __str__(self) -> str:
        return f"node {quoted(self.node)} is already in the workflow; give one of the two another id"


class UnknownNodeError(UsageError, KeyError):
    """A node is named that is not there."""

    def __init__(self, node: str, wanted_by: str | None = None, known: Iterable[str] = ()) -> None:
        close = tuple(difflib.get_close_matches(node, islice(known, _MOST_COMPARED), n=1))
        super().__init__(node, wanted_by, close)
        self.node = node
        self.wanted_by = wanted_by

    def __str__(self) -> str:
        subject = (
            f"node {quoted(self.wanted_by)} waits for {quoted(self.node)}, which"
            if self.wanted_by is not None
            else f"node {quoted(self.node)}"
        )
        close = self.args[2]
        hint = f"; did you mean {quoted(close[0])}?" if close else "; add that node first"
        return f"{subject} is not in the graph{hint}"


class LimitError(UsageError):
    """Something is larger than the documented limit; it was measured before anything was copied."""


class EncodingError(UsageError, TypeError):
    """A value cannot be written down in the engine's serialisation."""


class WorkflowExistsError(UsageError):
    """A workflow with this id exists already, with another definition or in spite of `on_conflict="error"`."""


class ResultPathError(UsageError, LookupError):
    """A reference picks an item or a key that the result does not have."""


class AdapterError(DyrygentError, RuntimeError):
    """An adapter broke a numbered clause of its port, or its engine refuses the whole request."""


class AdapterUnavailableError(AdapterError, ConnectionError):
    """The engine cannot be reached now; nothing failed, the sweep sends what was not sent."""


class JournalError(DyrygentError, RuntimeError):
    """The journal cannot do what was asked."""


class JournalUnavailableError(JournalError, ConnectionError):
    """The journal's store cannot be reached now; whether the last write happened is unknown."""


class UnknownWorkflowError(JournalError, LookupError):
    """The journal holds no such workflow, or one of another incarnation. Nothing was written."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"workflow {quoted(self.workflow_id)} is not in this journal; it was deleted, or another journal holds it"
        )


class UnsupportedVersionError(JournalError):
    """Written by a release that this one cannot read. Nothing was changed; run the newer release."""


class ResultNotKeptError(DyrygentError, LookupError):
    """The node ran, but no later node asks for its value, so the journal did not keep it."""


class ResultMissingError(DyrygentError, LookupError):
    """The engine says that an attempt succeeded, but its value, which others need, is gone."""


class WorkflowFailedError(DyrygentError, RuntimeError):
    """The workflow ended, but not in SUCCESS, and the node's own exception cannot be rebuilt here."""


class AttemptLostError(DyrygentError, RuntimeError):
    """The node's worker died, or its message vanished, as often as the node's `max_losses` allows."""


class UpstreamFailedError(DyrygentError, RuntimeError):
    """The node never ran, because something that it depends on failed or was cancelled."""


class InvariantError(DyrygentError, AssertionError):
    """A promise of ours is broken: a bug here, or a journal that somebody else wrote to."""


def quoted(text: str) -> str:
    """Show foreign text in a message: quoted, without control characters, cut to a readable length."""
    shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    return ascii(shown) if not shown.isprintable() else repr(shown)
