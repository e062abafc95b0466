"""Custom payloads as annotations beside the journal: one for each key of the workflow's, and one for each node's.

So handlers that change different keys at the same time do not undo each other's work. The values are written as Celery
would write them, so whatever may be an argument of a task may be here.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from attrs import define, field
from kombu.utils.json import dumps, loads

from dyrygent_core import UsageError
from dyrygent_core.errors import quoted

__all__ = ["Payloads"]

_OF_WORKFLOW: Final = "custom_payload:"
_OF_NODE: Final = "custom_payload_of:"


@define
class Payloads:
    """The payload of a workflow, and those of its nodes that have any."""

    workflow: dict[str, Any] = field(factory=dict[str, Any])
    nodes: dict[str, dict[str, Any]] = field(factory=dict[str, dict[str, Any]])

    @classmethod
    def read(cls, annotations: Mapping[str, Any]) -> Payloads:
        """Find them among a workflow's annotations."""
        found = cls()
        for name, written in annotations.items():
            if name.startswith(_OF_WORKFLOW):
                found.workflow[name.removeprefix(_OF_WORKFLOW)] = loads(written)
            elif name.startswith(_OF_NODE):
                found.nodes[name.removeprefix(_OF_NODE)] = loads(written)
        return found

    def copy(self) -> Payloads:
        """Return them as they are now."""
        return Payloads(deepcopy(self.workflow), deepcopy(self.nodes))

    def notes(self) -> dict[str, str]:
        """Write them as annotations; raises `UsageError` for what cannot be written, naming it."""
        notes = {_OF_WORKFLOW + str(key): _written("the workflow", value) for key, value in self.workflow.items()}
        for node, payload in self.nodes.items():
            if payload:
                notes[_OF_NODE + node] = _written(f"node {quoted(node)}", payload)
        return notes

    def changes_since(self, before: Payloads) -> dict[str, str | None]:
        """Return the annotations that have changed, None for those that are gone; raises as `notes`."""
        now, was = self.notes(), before.notes()
        changed: dict[str, str | None] = {name: value for name, value in now.items() if was.get(name) != value}
        return {**changed, **dict.fromkeys(was.keys() - now.keys())}


def _written(whose: str, value: Any) -> str:
    try:
        return dumps(value)
    except (TypeError, ValueError, RecursionError) as problem:
        message = f"the custom_payload of {whose} cannot be written as JSON: {problem}; keep there what Celery can send"
        raise UsageError(message) from problem
