"""What a task replaces itself by: who is a part of it, and which of its tasks ends the attempt.

`Task.replace` sends a signature whose last task has the id of the task that it replaces, and stops. Celery runs that
signature by its own means, in the messages of its tasks; the headers of the replaced task are lost. So whatever a task
of ours sends is looked at while it is sent. The task that has the attempt's id gets its identity: its end is the end of
the attempt. Those that come before it, of which Celery sends some now and holds some in the first messages, get the
same identity as steps (`Identity.replaces`): a failure among them is the attempt's failure. What else a task sends is
none of ours, and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from attrs import evolve

from celery_dyrygent.identity import HEADER
from dyrygent_runtime.identity import Identity

__all__ = ["inherit"]

_UNLOCK: Final = "celery.chord_unlock"
"""Waits for a header where the result backend cannot; the body is among its arguments."""
_PARTS: Final = ("tasks", "header", "body")


def inherit(identity: Identity, attempt_id: str, name: str, headers: MutableMapping[str, Any], body: Any) -> None:
    """Give an identity to a message that a task of ours sends, and to what it holds, if it is what replaces the task.

    `attempt_id`: that of the attempt, of which the sending task is either the own task or a step.
    """
    if HEADER in headers:
        return
    own = evolve(identity, replaces=None).as_text()
    if headers.get("id") == attempt_id:
        headers[HEADER] = own
        return
    held = list(_held(name, body))
    if all(_options(signature).get("task_id") != attempt_id for signature in held):
        return
    as_step = evolve(identity, replaces=attempt_id).as_text()
    headers[HEADER] = as_step
    for signature in held:
        options = dict(_options(signature))
        is_last = options.get("task_id") == attempt_id
        options["headers"] = {**(options.get("headers") or {}), HEADER: own if is_last else as_step}
        signature["options"] = options


def _held(name: str, body: Any) -> Iterator[MutableMapping[str, Any]]:
    """Give the tasks' signatures that a message holds because they follow it."""
    if not isinstance(body, tuple | list) or len(body) != 3:  # noqa: PLR2004  # args, kwargs, embed: protocol 2
        return
    args, _, embed = body
    todo: list[Any] = [embed.get("chain"), embed.get("chord")]
    if name == _UNLOCK:
        todo.append(args)
    while todo:
        item = todo.pop()
        if not isinstance(item, Mapping):
            if isinstance(item, Iterable) and not isinstance(item, str | bytes):
                todo += item
            continue
        if not isinstance(item.get("task"), str) or "options" not in item:
            continue
        kwargs = item.get("kwargs") or {}
        parts = [kwargs[key] for key in _PARTS if item.get("subtask_type") and key in kwargs]
        todo += [*parts, _options(item).get("chord"), _options(item).get("chain")]
        if not parts and isinstance(item, MutableMapping):
            yield item


def _options(signature: Mapping[str, Any]) -> Mapping[str, Any]:
    return signature.get("options") or {}
