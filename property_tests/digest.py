"""Print the digest of one simulation, for a test that runs this in several processes."""

from __future__ import annotations

import sys

from dyrygent_core import Attempt, CancelRequested, Failed, NodeHandle, Workflow, call
from dyrygent_testing import Faults, Workers, simulate


def wide() -> Workflow:
    """Build a map between two chains, with a node that follows everything."""
    workflow = Workflow(max_in_flight=4)
    source = workflow.add(call("list"), id="source")
    mapped = workflow.add(call("one", workflow.item), each=source, id="mapped", max_attempts=2)
    before: list[NodeHandle] = [mapped]
    for place in range(6):
        inputs = before[place // 2].result.default(None)
        before.append(workflow.add(call("more", inputs), id=f"n{place}", after=before[-1].done))
    workflow.finally_(call("state", workflow.summary["state"]), id="last")
    return workflow


def digest(seed: int) -> str:
    """Run it among faults of every kind that strike by chance."""
    rates = Faults(
        crash=0.01, pause=0.05, stop=0.01, unavailable=0.02, lost_reply=0.02, lose=0.1, duplicate=0.1, delay=0.1,
        redeliver=0.5, flush=0.01, blind=0.05, step=0.01,
    )  # fmt: skip
    trace = simulate(
        wide(),
        outcomes={"mapped": [Failed(Attempt("mapped", 1))]},
        order="random",
        workers=Workers(3, slots=2, send_limit=2),
        requests=[(200_000, CancelRequested())],
        copies=2,
        faults=rates,
        seed=seed,
    )
    return f"{trace.digest} {len(trace.struck)}"


if __name__ == "__main__":
    print(digest(int(sys.argv[1])))  # noqa: T201  # what this is for
