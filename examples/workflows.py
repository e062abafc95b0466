"""The two workflows, built the same way for every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen
from condensing import Component, condense
from distributions import Environment
from graph_files import GraphFile

from dyrygent_core import Definition, NodeHandle, Workflow, call
from dyrygent_core.errors import LimitError
from dyrygent_runtime.settings import MAX_NODES

__all__ = ["Job", "replay_graph", "verify_environment"]

_TOTAL = "totals of the environment"
"""No distribution's name has a space."""


@frozen
class Job:
    """A workflow that can be built and started, and what to say of it beforehand."""

    workflow: Workflow
    definition: Definition
    remarks: tuple[str, ...] = ()
    deps: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])
    """For each node those that it waits for."""

    @classmethod
    def of(cls, workflow: Workflow, remarks: Sequence[str] = ()) -> Job:
        """Build the workflow, so that whatever is wrong with it is known before anything is started."""
        if len(workflow) > MAX_NODES:
            message = f"a workflow has at most {MAX_NODES:,} nodes at run time, this one {len(workflow):,}; split it"
            raise LimitError(message)
        definition, _ = workflow.build()
        deps = {node.id: tuple(edge.node for edge in node.depends_on) for node in definition.graph.nodes}
        return cls(workflow, definition, tuple(remarks), deps)


def verify_environment(environment: Environment) -> Job:
    """One node for each distribution, after those that it requires; a last one for the totals."""
    components = condense({name: one.requires for name, one in environment.distributions.items()})
    workflow = Workflow("verify-environment")
    handles: dict[str, NodeHandle] = {}
    for it in components:
        members = [_told(environment, name) for name in it.members]
        required = [handles[name].result for name in it.requires]
        handles[it.id] = workflow.add(call("environment.verify", it.id, members, required), id=it.id)
    workflow.add(call("environment.total", [handle.result for handle in handles.values()]), id=_TOTAL)
    return Job.of(workflow, [*map(_cycle_remark, _cycles(components)), *environment.notices])


def _told(environment: Environment, name: str) -> dict[str, str]:
    one = environment.distributions[name]
    return {"name": name, "version": one.version, "folder": one.folder}


def _cycles(components: Sequence[Component]) -> list[Component]:
    return [it for it in components if len(it.members) > 1]


def _cycle_remark(component: Component) -> str:
    return f"{' and '.join(component.members)} require each other, so one node verifies them together"


def replay_graph(graph: GraphFile, scale: float) -> Job:
    """One node for each of the file's, which sleeps for its run time times `scale`."""
    workflow = Workflow(graph.name)
    for node in graph.nodes:
        workflow.add(call("graph.replay", node.runtime_s * scale), id=node.id, after=node.deps)
    workflow.returns(None)
    return Job.of(workflow)
