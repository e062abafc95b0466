"""Which attempts a fault may have touched: only those may be sent, or run, more than once.

A fault touches what it names, what the process held that it hit, and all that the act under way dealt with, or had
emitted. A port that is away for a while touches what all acts meanwhile dealt with or had emitted, but for what they
ran: that runs on, and its outcome waits, however long it is. A clock that jumps touches everything. Some faults touch
nothing, for they have to be borne without any trace: a pause shorter than half the grace, and one lost answer to an
append.

One thing touches an attempt though nothing went wrong with it: that its message waits for longer than
`resend_after_ms` while later ones overtake it, or for twice as long. Nobody can tell it from a message that is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dyrygent_testing.simulation.faults import FaultKind
from dyrygent_testing.simulation.replay import Replay
from dyrygent_testing.simulation.trace import Act, ActKind, Named, Sent, Struck, Trace

__all__ = ["touched"]

_ON_MESSAGES: Final = (FaultKind.LOSE, FaultKind.DUPLICATE, FaultKind.DELAY, FaultKind.REDELIVER)
_BORNE: Final = ("journal.append", "journal.create")


def touched(trace: Trace, replays: Sequence[Replay]) -> Counter[Named]:
    """Count, for each attempt, the faults that may have touched it."""
    emissions = _emissions(trace, replays)
    everything = {named for its in emissions.values() for named in its}
    acts = {act.number: act for act in trace.acts}
    in_acts = Counter(it.act for it in trace.struck)
    counts: Counter[Named] = Counter()
    for struck in trace.struck:
        if not _is_harmless(trace, struck, acts, in_acts):
            counts.update(everything if _is_global(struck) else set(_touched(trace, struck, acts, emissions)))
    counts.update(_given_up_waiting(trace, acts))
    return counts


def _is_harmless(trace: Trace, struck: Struck, acts: Mapping[int, Act], in_acts: Counter[int | None]) -> bool:
    """Tell whether a fault has to be borne without a trace."""
    act = None if struck.act is None else acts[struck.act]
    if act is None:
        return False
    if struck.fault.kind is FaultKind.PAUSE:
        return act.ended_ms - act.began_ms < trace.settings.owner_ms
    is_single = in_acts[act.number] == 1
    is_answer = struck.fault.kind in (FaultKind.LOST_REPLY, FaultKind.UNAVAILABLE) and not struck.fault.ms
    return is_single and is_answer and struck.fault.place in _BORNE


def _given_up_waiting(trace: Trace, acts: Mapping[int, Act]) -> Iterator[Named]:
    """Give each attempt as often as a sweep has sent it again because its message waited for too long."""
    after_ms = trace.settings.resend_after_ms
    if after_ms is None:
        return
    began_ms: dict[Named, int] = {}
    for it in trace.executed:
        began_ms.setdefault((it.workflow, it.attempt), it.started_ms)
    before: dict[Named, Sent] = {}
    for sent in trace.sent:
        name = sent.workflow, sent.attempt
        first = before.get(name)
        if first is not None and acts[sent.act].kind is ActKind.SWEEP:
            waited_ms = sent.at_ms - first.at_ms
            is_overdue = waited_ms > after_ms and _is_overtaken(before, began_ms, first, sent.at_ms)
            if is_overdue or waited_ms > 2 * after_ms:
                yield name
        before[name] = sent


def _is_overtaken(sent: Mapping[Named, Sent], began_ms: Mapping[Named, int], first: Sent, at_ms: int) -> bool:
    """Tell whether something of the same workflow that was sent later, or together with this, had begun by then."""
    return any(
        it.at_ms >= first.at_ms and began_ms.get(name, at_ms) < at_ms
        for name, it in sent.items()
        if it.workflow == first.workflow and it.attempt != first.attempt
    )


def _emissions(trace: Trace, replays: Sequence[Replay]) -> Mapping[str, list[Named]]:
    """Give what was emitted by the entries of each nonce."""
    emissions: dict[str, list[Named]] = {}
    by_id = {replay.id: replay for replay in replays}
    for wrote in trace.wrote:
        replay = by_id[wrote.workflow]
        steps = replay.steps[wrote.first - 1 : wrote.first - 1 + len(wrote.observations)]
        its = [(wrote.workflow, attempt) for step in steps for attempt in step.emitted]
        emissions.setdefault(wrote.nonce, []).extend(its)
    return emissions


def _is_outage(struck: Struck) -> bool:
    return struck.fault.kind is FaultKind.UNAVAILABLE and struck.fault.ms > 0


def _is_global(struck: Struck) -> bool:
    return struck.fault.kind is FaultKind.STEP


def _touched(
    trace: Trace, struck: Struck, acts: Mapping[int, Act], emissions: Mapping[str, Sequence[Named]]
) -> Iterator[Named]:
    yield from struck.names
    yield from struck.held
    kind = struck.fault.kind
    if struck.names and kind in _ON_MESSAGES:
        return
    is_outage = _is_outage(struck)
    for act in _hit(trace, struck, acts):
        is_borne = is_outage and act.kind in (ActKind.RUN, ActKind.REPORT)  # of the first, which is the one it runs
        yield from act.attempts[is_borne:]
        for nonce in act.nonces:
            yield from emissions.get(nonce, ())
        if act.kind is ActKind.HAND_OVER:
            yield from (named for its in emissions.values() for named in its if named[0] == act.workflow)
    is_lease = struck.act is not None and acts[struck.act].kind is ActKind.LEASE
    if (is_lease and not is_outage) or kind in (FaultKind.CRASH, FaultKind.STOP):
        until_ms = struck.until_ms + trace.settings.lease_ms
        for held in trace.held:
            if held.life == struck.life and held.from_ms <= until_ms and held.until_ms >= struck.at_ms:
                yield held.workflow, held.attempt


def _hit(trace: Trace, struck: Struck, acts: Mapping[int, Act]) -> Iterator[Act]:
    """Give the acts that a fault hit: the one under way, and all others of who died, stood still, or missed a port."""
    if struck.act is not None:
        yield acts[struck.act]
    is_outage = _is_outage(struck)
    until_ms = struck.until_ms - is_outage  # the end of which is the first moment after it
    if is_outage or struck.fault.kind in (FaultKind.CRASH, FaultKind.STOP):
        for act in trace.acts:
            is_then = act.began_ms <= until_ms and act.ended_ms >= struck.at_ms
            if is_then and (is_outage or act.life == struck.life) and act.number != struck.act:
                yield act
