"""Who a task is: the header that travels with each message, read wherever Celery lets us see the task.

`Task.replace` loses headers, so they are given to what it sends (`replacing`). Some signals of the main process
have none; such a task's end is found by the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from dyrygent_core import Attempt
from dyrygent_core.nodes import Path
from dyrygent_core.ports import Dispatch, WorkflowKey

__all__ = ["HEADER", "Identity"]

HEADER: Final = "dyrygent"
_VERSION: Final = 1


@frozen
class Identity:
    """The workflow and the attempt that a message belongs to.

    `is_kept`: its value is to be stored. `first_id`: its outcome is to be seen under this task id too. `measure`: where
    the lists in its value are whose lengths are to be told. `replaces`: of a step of what the attempt's task replaced
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

    def as_header(self) -> str:
        """Write it as one plain text header, which every transport carries."""
        attempt = [self.attempt.node, self.attempt.index, self.attempt.number]
        workflow = [self.workflow.id, self.workflow.incarnation, self.namespace]
        rest: list[Any] = [attempt, int(self.is_kept), self.first_id, self.measure]
        if self.replaces is not None:
            rest.append(self.replaces)
        return json.dumps([_VERSION, *workflow, *rest], separators=(",", ":"))

    @classmethod
    def read(cls, headers: Mapping[str, Any] | None) -> Identity | None:
        """Read it from a message's headers or a task's request.

        None if the task is not of ours, or of a release that writes it otherwise: its end is found by the sweep.
        """
        written = (headers or {}).get(HEADER)
        if written is None and headers:  # a task that is applied here and now (celery/app/task.py, `apply`)
            written = (headers.get("headers") or {}).get(HEADER)
        try:
            version, workflow_id, incarnation, namespace, *rest = json.loads(written or "")
            if version != _VERSION:
                return None
            attempt, is_kept, first_id, measure, *more = rest
            (replaces,) = more or (None,)
            key, paths = WorkflowKey(workflow_id, incarnation), tuple(map(tuple, measure))
            return cls(key, namespace, Attempt(*attempt), bool(is_kept), first_id, paths, replaces)
        except (TypeError, ValueError):
            return None
