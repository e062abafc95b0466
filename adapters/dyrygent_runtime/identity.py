"""Who a message is: the text that travels with each, by which any process knows whose outcome it has."""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import frozen

from dyrygent_core import Attempt
from dyrygent_core.nodes import Path
from dyrygent_core.ports import Dispatch, WorkflowKey

__all__ = ["Identity"]

_VERSION: Final = 1


@frozen
class Identity:
    """The workflow and the attempt that a message belongs to.

    `is_kept`: its value is to be stored. `first_id`: its outcome is to be seen under this id too. `measure`: where the
    lists in its value are whose lengths are to be told. `replaces`: of a step of what the attempt's task replaced
    itself by, the id of that attempt: if the step fails the attempt has failed, and if it succeeds nothing is decided.
    """

    workflow: WorkflowKey
    namespace: str
    attempt: Attempt
    is_kept: bool
    first_id: str | None = None
    measure: tuple[Path, ...] = ()
    replaces: str | None = None

    @classmethod
    def of(cls, item: Dispatch) -> Identity:
        """Return the identity of what is being sent."""
        return cls(item.workflow, item.namespace, item.attempt, item.is_kept, item.first_id, item.measure)

    @classmethod
    def from_text(cls, text: object) -> Identity | None:
        """Read what `as_text` wrote.

        None for anything else, so also for what another release writes otherwise: its end is found by the sweep.
        """
        try:
            version, workflow_id, incarnation, namespace, *rest = json.loads(text if isinstance(text, str) else "")
            if version != _VERSION:
                return None
            attempt, is_kept, first_id, measure, *more = rest
            (replaces,) = more or (None,)
            key = WorkflowKey(workflow_id, incarnation)
            paths: tuple[Path, ...] = tuple(tuple(path) for path in measure)
            return cls(key, namespace, Attempt(*attempt), bool(is_kept), first_id, paths, replaces)
        except (TypeError, ValueError):
            return None

    def as_text(self) -> str:
        """Write it as one line of plain ASCII, which every transport carries."""
        attempt = [self.attempt.node, self.attempt.index, self.attempt.number]
        workflow = [self.workflow.id, self.workflow.incarnation, self.namespace]
        rest: list[Any] = [attempt, int(self.is_kept), self.first_id, self.measure]
        if self.replaces is not None:
            rest.append(self.replaces)
        return json.dumps([_VERSION, *workflow, *rest], separators=(",", ":"))
