"""A slow, obvious model of the core: what must become of a workflow, written from the rules' meaning.

It shares no code with `advance` and reads none of its tables. Rules are plain predicates over the statuses of a
node's dependencies (`model_rules`), what an attempt or a whole comes to is counted from the outcomes (`model_ends`),
and after every observation all nodes below those that have changed are looked at until nothing changes any more.
`final_statuses` needs no order of events at all; `Model` takes observations one by one, as `advance` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from typing import assert_never

from dyrygent_core import (
    Attempt,
    Begin,
    CancelRequested,
    DeadlinePassed,
    Failed,
    Graph,
    Lost,
    Node,
    Observation,
    Outcome,
    RetryDue,
    Skipped,
    Status,
    Succeeded,
    WorkflowState,
)
from dyrygent_core.graph import Mode
from dyrygent_core.observations import (
    PauseRequested,
    RerunRequested,
    ResumeRequested,
    SkipRequested,
    TimedOut,
)
from dyrygent_testing.model_board import Board, Instance, Place
from dyrygent_testing.model_ends import (
    Outcomes,
    final_statuses,
    result_of,
    roles_for,
    whole_of,
    width_of,
)
from dyrygent_testing.model_rules import fate
from dyrygent_testing.subjects import check_kind

__all__ = ["Model", "Outcomes", "fate", "final_statuses", "result_of"]


class Model(Board):
    """One workflow, observed step by step. Not a value: `observe` changes it."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._below: dict[str, list[str]] = {node.id: [] for node in self.graph.nodes}
        for node in self.graph.nodes:
            for edge in node.depends_on:
                self._below[edge.node].append(node.id)
        self._looked_at: dict[str, tuple[Status, tuple[str, ...] | None]] = {}
        """What every place was when it was last looked at whether the waiting ones can be decided."""

    def copy(self) -> Model:
        """Return a model that stands where this one does, and goes its own way."""
        other = copy(self)
        other.places = {name: place.copy() for name, place in self.places.items()}
        return other

    def observe(self, observation: Observation) -> tuple[Attempt, ...]:  # noqa: C901  # a case for each kind
        """Take one observation; return the attempts to schedule, in the order of their release.

        Raises `UsageError` for what is none.
        """
        check_kind("an observation", observation, Observation, "one of dyrygent_core, such as Begin()")
        match observation:
            case Begin():
                self._begin(observation)
            case Succeeded() | Failed() | TimedOut() | Lost() | Skipped():
                self._end(observation)
            case RetryDue(attempt=attempt):
                self._try_again(attempt)
            case CancelRequested() | DeadlinePassed():
                self._stop(observation)
            case PauseRequested():
                if not (self.is_finished or self.is_cancelled or self.is_past_deadline):
                    self.is_paused = True
            case ResumeRequested():
                self.is_paused = False
            case SkipRequested(node=name):
                self._skip(name)
            case RerunRequested():
                self._rerun(observation)
            case _:
                assert_never(observation)
        self._settle()
        emitted = tuple(self._release())
        if self.is_finished:
            self.is_paused = False
        return emitted

    # What observations do

    def _begin(self, fact: Begin) -> None:
        if not self.has_begun and not self.is_cancelled:
            self.has_begun = True
            self.begun_ms = fact.at_ms

    def _end(self, outcome: Outcome) -> None:
        """Let an attempt in flight end, and decide whether its node or instance goes on."""
        attempt = outcome.attempt
        if not self.is_in_flight(attempt):
            return
        place = self.places[attempt.node]
        assert place.instances is not None
        instance = place.instances[attempt.index]
        instance.outcomes.append(outcome)
        result = self._result(place, instance, outcome)
        if result is None:
            delay_ms = _delay_ms(place.node, instance.outcomes, self.begun_ms)
            instance.number += 1
            instance.due_ms = outcome.at_ms + delay_ms if delay_ms else None
        elif result is Status.SUCCEEDED and isinstance(outcome, Succeeded) and place.node.each is None:
            place.sizes = outcome.sizes
            place.branches = outcome.branches
        instance.status = result or Status.READY
        self._sum_up(place)

    def _result(self, place: Place, instance: Instance, outcome: Outcome) -> Status | None:
        """Say what the end of an attempt makes of its instance; None if it is tried again."""
        result = result_of(self.graph, place.node, instance.outcomes)
        if result in (Status.SUCCEEDED, Status.SKIPPED):
            return result
        if place.is_to_skip:
            return Status.SKIPPED if place.node.each is None else Status.CANCELLED
        if self.is_unwanted(place):
            is_stopped = isinstance(outcome, Lost) or (isinstance(outcome, Failed) and outcome.is_revoked)
            return Status.CANCELLED if is_stopped else Status.FAILED
        return result

    def _try_again(self, attempt: Attempt) -> None:
        if attempt in dict(self.delayed):
            instances = self.places[attempt.node].instances
            assert instances is not None
            instances[attempt.index].due_ms = None

    def _stop(self, fact: CancelRequested | DeadlinePassed) -> None:
        if self.is_finished:
            return
        if isinstance(fact, CancelRequested):
            if not self.is_cancelled:
                self.is_cancelled = True
                self.is_paused = False
        elif fact.round == self.round and self.has_begun and not self.is_past_deadline and not self.is_work_over:
            self.is_past_deadline = True
            self.is_paused = False

    def _skip(self, name: str) -> None:
        place = self.places.get(name)
        if place is None or place.status.is_final or (self.is_ending and place.is_ordinary):
            return
        if place.is_on_its_way:
            place.is_to_skip = True
            self._stop_instances(place, Status.SKIPPED if place.node.each is None else Status.CANCELLED)
        else:
            place.status = Status.SKIPPED

    def _rerun(self, request: RerunRequested) -> None:
        is_known = all(name in self.places for name in request.nodes)
        if not self.is_finished or self.workflow_state is WorkflowState.SUCCESS or not is_known:
            return
        repeated = self._repeated(request.nodes)
        self.round += 1
        self.begun_ms = request.at_ms
        self.has_begun = True
        self.is_cancelled = self.is_past_deadline = self.is_failing_fast = False
        self.is_paused = self.is_work_over = False
        for name, place in self.places.items():
            place.is_to_skip = False
            if name in repeated or not place.is_ordinary:
                _reset(place, repeated)

    def _repeated(self, names: Sequence[str]) -> set[str]:
        """Give the ordinary nodes that a rerun repeats: those named, and all below them that did not succeed."""
        ordinary = {name: place.status for name, place in self.places.items() if place.is_ordinary}
        named = names or [name for name, it in ordinary.items() if it in (Status.FAILED, Status.CANCELLED)]
        chosen = {name for name in named if name in ordinary}
        reached = set(chosen)
        for node in self.graph.nodes:  # in topological order, so one look is enough
            if any(edge.node in reached for edge in node.depends_on):
                reached.add(node.id)
        return chosen | {name for name in reached if ordinary[name] is not Status.SUCCEEDED}

    # What follows from that

    def _settle(self) -> None:
        """Decide whatever can be decided, until nothing changes."""
        has_changed = True
        while has_changed:
            if self.is_ending:
                self._cancel_the_rest()
            has_changed = self._decide() or self._start_a_map() or self._start_the_others()

    def _cancel_the_rest(self) -> None:
        """Cancel every ordinary node and instance that is neither in flight nor final; before the beginning, all."""
        for place in self.places.values():
            if place.is_ordinary or not self.has_begun:
                self._stop_instances(place, Status.CANCELLED)
                if place.status is Status.WAITING:
                    place.status = Status.CANCELLED

    def _decide(self) -> bool:
        """Decide every waiting node by its edges, but for mapped ones that may run; say whether there was any."""
        has_changed = False
        for place in self._to_look_at():
            became = self._fate(place)
            if became is None or (became is Status.SCHEDULED and place.node.each is not None):
                continue
            if became is Status.SCHEDULED:
                self._start(place, 1)
            else:
                place.status = became
            has_changed = True
        return has_changed

    def _to_look_at(self) -> list[Place]:
        """Give the places that are not as when this was asked last, those below them and those without edges.

        What is below a place looks at no more than what it ended as.
        """
        before = self._looked_at
        now = {name: (place.status, place.branches) for name, place in self.places.items()}
        names = {name for name, it in now.items() if before.get(name) != it}
        names |= {
            below
            for name in names
            if now[name][0].is_final or name not in before or before[name][0].is_final
            for below in self._below[name]
        }
        self._looked_at = now
        return [it for name, it in self.places.items() if name in names or not it.node.depends_on]

    def _start_a_map(self) -> bool:
        """Start the first mapped node that may run; say whether there was one."""
        for place in self.places.values():
            if place.node.each is not None and self._fate(place) is Status.SCHEDULED:
                above = self.places[place.node.each.node]
                width_above = None if above.instances is None else len(above.instances)
                self._start(place, width_of(self.graph, place.node, above.sizes, width_above))
                return True
        return False

    def _fate(self, place: Place) -> Status | None:
        """Say what the edges of an ordinary node that waits make of it; roots wait for the beginning."""
        if place.status is not Status.WAITING or not place.is_ordinary:
            return None
        if not place.node.depends_on and not self.has_begun:
            return None
        above = [self.places[edge.node] for edge in place.node.depends_on]
        final = {it.node.id: it.status for it in above if it.status.is_final}
        branches = {it.node.id: it.branches for it in above if it.status is Status.SUCCEEDED}
        return fate(self.graph, place.node, final, branches)

    def _start(self, place: Place, width: int | None) -> None:
        """Let a node run: with new instances, or with those that an earlier round left to repeat."""
        if width is None:
            place.status = Status.FAILED
            self._note_failure(place)
            return
        place.status = Status.READY
        if place.instances is None:
            place.instances = [Instance(place.number) for _ in range(width)]
        for at, instance in enumerate(place.instances):
            if instance.status in (Status.FAILED, Status.CANCELLED):
                place.instances[at] = Instance(instance.number + 1)
        self._sum_up(place)

    def _start_the_others(self) -> bool:
        """Once all ordinary nodes are final, start those of the whole workflow that go with what they came to."""
        if self.is_work_over or not self.has_begun:
            return False
        if not all(place.status.is_final or not place.is_ordinary for place in reversed(self.places.values())):
            return False
        self.is_work_over = True
        roles = roles_for(self.come_to(place for place in self.places.values() if place.is_ordinary))
        for place in self.places.values():
            if place.status is Status.WAITING and place.node.role in roles:
                self._start(place, 1)
            elif place.status is Status.WAITING:
                place.status = Status.SKIPPED
        return True

    def _release(self) -> Iterator[Attempt]:
        """Put in flight what is held, in its order, as far as pause and limit allow."""
        if not self.has_begun or self.is_paused:
            return
        for attempt in self.held:
            if self.graph.max_in_flight is not None and len(self.in_flight) >= self.graph.max_in_flight:
                return
            place = self.places[attempt.node]
            assert place.instances is not None
            place.instances[attempt.index].status = Status.SCHEDULED
            self._sum_up(place)
            yield attempt

    # Small steps

    def _stop_instances(self, place: Place, status: Status) -> None:
        """End every instance of a node on its way that is not in flight."""
        if place.is_on_its_way:
            for _, instance in list(place.of_status(Status.READY)):
                instance.status = status
                instance.due_ms = None
            self._sum_up(place)

    def _sum_up(self, place: Place) -> None:
        """Say what a node on its way is, from its instances."""
        assert place.instances is not None
        statuses = [instance.status for instance in place.instances]
        if Status.SCHEDULED in statuses:
            place.status = Status.SCHEDULED
        elif Status.READY in statuses:
            place.status = Status.READY
        elif place.node.each is None:
            place.status = statuses[0]
        else:
            whole = whole_of(statuses)
            place.status = Status.SKIPPED if place.is_to_skip and whole is not Status.SUCCEEDED else whole
        self._note_failure(place)

    def _note_failure(self, place: Place) -> None:
        is_bad = place.is_ordinary and place.status is Status.FAILED and not place.node.allow_failure
        if is_bad and self.graph.mode is Mode.FAIL_FAST:
            self.is_failing_fast = True


def _reset(place: Place, repeated: Collection[str]) -> None:
    """Let a node wait again; a mapped one keeps its instances if what it maps over stays as it is."""
    each = place.node.each
    is_kept = each is not None and each.node not in repeated and place.status is not Status.SUCCEEDED
    if not is_kept or place.instances is None:
        place.number = place.newest_number + 1
        place.instances = None
    place.status = Status.WAITING
    place.sizes = ()
    place.branches = None


def _delay_ms(node: Node, outcomes: Sequence[Outcome], begun_ms: int) -> int:
    """Multiply the first delay by the factor for every failure after the first, up to the longest.

    Nothing after a loss. Chance takes its share, and comes out the same whenever the same is observed.
    """
    last = outcomes[-1]
    if isinstance(last, Lost):
        return 0
    failures = sum(isinstance(outcome, Failed | TimedOut) for outcome in outcomes)
    delay = float(node.retry.delay_ms)
    for _ in range(failures - 1):
        delay *= node.retry.factor
    longest = int(min(delay, node.retry.max_delay_ms))
    seed = f"{begun_ms}:{last.at_ms}:{last.attempt.index}:{last.attempt.number}:{last.attempt.node}"
    chance = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "big") / 2**64
    return longest - int(longest * node.retry.jitter * chance)
