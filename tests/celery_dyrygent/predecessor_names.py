"""`python predecessor_names.py`: print the public names and signatures of the `celery_dyrygent` that is installed.

Run with a Python that has the predecessor it gives `tests/golden/celery_dyrygent-0.8.0.json`; it imports nothing else,
so it runs where that does. What a class has of its own attributes only an instance tells, so those are listed here.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import types
from typing import Any

MODULES = (
    "celery_dyrygent",
    "celery_dyrygent.celery",
    "celery_dyrygent.celery.entities",
    "celery_dyrygent.celery.inspect",
    "celery_dyrygent.tasks",
    "celery_dyrygent.tasks.processor",
    "celery_dyrygent.workflows",
    "celery_dyrygent.workflows.exceptions",
    "celery_dyrygent.workflows.node",
    "celery_dyrygent.workflows.workflow",
)


def public_names() -> dict[str, Any]:
    """Return for each module what it defines or takes from another of its own: names, parameters, attributes."""
    names = {name: _of_module(importlib.import_module(name)) for name in MODULES}
    return {**names, "instances": {type(it).__name__: _attributes(it) for it in instances()}}


def instances() -> tuple[Any, Any]:
    """Make a workflow and a node."""
    workflows = importlib.import_module("celery_dyrygent.workflows")
    signature = importlib.import_module("celery").signature("task").set(task_id="an id")
    return workflows.Workflow(), workflows.WorkflowNode(signature)


def _attributes(value: Any) -> list[str]:
    return sorted(name for name in vars(value) if not name.startswith("_"))


def _of_module(module: types.ModuleType) -> dict[str, Any]:
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and _is_own(module, value)}
    return {name: _described(value) for name, value in sorted(own.items())}


def _is_own(module: types.ModuleType, value: Any) -> bool:
    """Tell a name that is offered from one that is merely imported: `entities` offers what is Celery's."""
    where = getattr(value, "__module__", None) or ""
    is_offered = module.__name__.endswith(".entities") and isinstance(value, type)
    return is_offered or (where.startswith("celery_dyrygent") and not isinstance(value, types.ModuleType))


def _described(value: Any) -> Any:
    if not isinstance(value, type):
        return described_parameters(value)
    if not value.__module__.startswith("celery_dyrygent"):
        return f"{value.__module__}.{value.__qualname__}"
    members = {
        name: described_parameters(member) if callable(member) else None
        for name, member in sorted(inspect.getmembers(value))
        if not name.startswith("_") and not hasattr(Exception, name)
    }
    is_exception = issubclass(value, Exception)
    return {"parameters": [] if is_exception else described_parameters(value), "members": members}


def described_parameters(function: Any) -> list[str]:
    """Return each parameter's name, with "=" behind it if it may be left out; stars stand for the rest."""
    found = inspect.signature(function).parameters.values()
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(it.kind, it.name + ("" if it.default is it.empty else "=")) for it in found]


if __name__ == "__main__":
    json.dump(public_names(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
