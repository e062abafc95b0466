"""What tests of the sweep share: a workflow, a worker's lease, and the passing of time."""

from __future__ import annotations

from collections.abc import Callable

from dyrygent_core import Workflow, call
from dyrygent_core.ports import Lease
from dyrygent_runtime import Conductor, Run, Sweeper
from tests.dyrygent_runtime.conftest import World

WORKER, BOOT = "w1", "boot-1"


def one(**policies: int | str) -> Workflow:
    """Build a workflow of one node that something else waits for."""
    workflow = Workflow()
    a = workflow.add(call("a"), **policies)  # type: ignore[arg-type]
    workflow.add(call("b"), after=a)
    return workflow


def renew(
    world: World,
    run: Run,
    active: set[str] = frozenset(),  # type: ignore[assignment]
    reserved: set[str] = frozenset(),  # type: ignore[assignment]
    worker: str = WORKER,
) -> None:
    """Renew a worker's lease, naming first attempts of these nodes."""
    graph = run.state.graph
    ids = {node: f"{run.key.incarnation}.{graph.number(node)}.0.1" for node in active | reserved}
    lease = Lease(worker, BOOT, frozenset(ids[it] for it in active), frozenset(ids[it] for it in reserved))
    world.journal.renew_lease(lease, ttl_ms=world.settings.lease_ms)


def wait_and_sweep(world: World, milliseconds: int) -> None:
    world.clock.advance(milliseconds)
    world.sweep()


def watching(world: World, conductor: Conductor | None = None, *, lease: Callable[[], Lease] | None = None) -> Sweeper:
    """Give the sweeper of another process that has just watched the journal for long enough to judge by silence."""
    sweeper = Sweeper(conductor or world.process(), lease=lease)
    sweeper.skip_round()
    world.clock.advance(world.settings.renewal_ms)
    return sweeper


def resend_after_ms(world: World) -> int:
    assert world.settings.resend_after_ms is not None
    return world.settings.resend_after_ms
