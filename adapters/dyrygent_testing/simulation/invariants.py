"""Whether all that is promised held in a simulation: the invariants I1 to I9, and that everything came to its end.

I0  nothing happened that nobody foresaw: no exception that the product logged, or let out
I1  no attempt runs before the outcomes that its node waits for are recorded
I2  an attempt is emitted once, under an id of its own, and ends once; outcomes, results and final statuses last
I3  what counts was run; it was run again only if a fault touched it, and given up only then
I4  the end is the one that the slow model gives for the outcomes that counted
I5  the journal is one line, written by turns; what every process took the workflow to be is a fold of it
I6  what an entry emits is sent by whoever appended it, within half the grace; later by the sweep alone
I7  after a cancel nothing is emitted but for the nodes of the whole workflow
I8  an attempt gets the results of its own workflow that counted, and nothing else
I9  sendings and entries are bounded by what happened
L1  every workflow ends, in no more time than the longest wait that applies (P3)
L2  then nothing of it is left: it is closed, and the engine knows its end
"""

from __future__ import annotations

from dyrygent_testing.simulation.check_journal import check_journal
from dyrygent_testing.simulation.check_progress import check_progress
from dyrygent_testing.simulation.check_running import check_running
from dyrygent_testing.simulation.check_sending import check_sending
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.touched import touched
from dyrygent_testing.simulation.trace import Trace
from dyrygent_testing.simulation.violations import Violation
from dyrygent_testing.subjects import check_kind

__all__ = ["check_invariants", "violations_in"]

_MOST_SHOWN = 10


def check_invariants(trace: Trace) -> None:
    """Raise `AssertionError`, with what was violated, the faults that repeat it and all that happened, if anything was.

    Cost: about that of the simulation itself.
    """
    found = violations_in(trace)
    if found:
        plan = ", ".join(f"Fault({it.place!r}, {it.hit}, {it.kind.value!r}, {it.ms})" for it in trace.plan)
        shown = "\n".join(map(str, found[:_MOST_SHOWN]))
        message = f"{len(found)} violations\n{shown}\nrepeat with seed={trace.seed}, faults=[{plan}]\n{trace}"
        raise AssertionError(message)


def violations_in(trace: Trace) -> tuple[Violation, ...]:
    """Give all that was violated; raises `UsageError` for what is no trace."""
    check_kind("the trace", trace, Trace, "what simulate() returns")
    found = [Violation("I0", problem) for problem in trace.problems]
    if not trace.histories:
        return (*found, Violation("L1", f"no workflow has started after {trace.ended_ms} ms"))
    replays = [Replay.of(history) for history in trace.histories]
    touches = touched(trace, replays)
    for replay in replays:
        found += check_journal(trace, replay)
        found += check_sending(trace, replay, touches)
        found += check_running(trace, replay, touches)
        found += check_progress(trace, replay)
    return tuple(dict.fromkeys(found))
