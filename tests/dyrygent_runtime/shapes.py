"""Workflows of plain shapes."""

from __future__ import annotations

from dyrygent_core import Workflow, call


def chain(*targets: str) -> Workflow:
    """Build a chain in which each call gets the result of the one before."""
    workflow = Workflow("chain")
    before = None
    for target in targets:
        before = workflow.add(call(target) if before is None else call(target, before.result))
    return workflow


def fan(width: int) -> Workflow:
    """Build a root with `width` dependents."""
    workflow = Workflow("fan")
    root = workflow.add(call("root"))
    for number in range(width):
        workflow.add(call("leaf", number), id=f"leaf-{number}", after=root)
    return workflow
