"""A workflow's life in virtual time: the real conductor, sweep and outbox, over a simulated engine that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from attrs import field, frozen
from attrs.validators import optional

from dyrygent_core import Attempt, Observation, Workflow
from dyrygent_core.checks import check_int, check_whole, whole
from dyrygent_runtime import Settings
from dyrygent_testing.simulation.arguments import (
    functions_of,
    journals_of,
    lengths_of,
    ordering_of,
    outcomes_of,
    requests_of,
)
from dyrygent_testing.simulation.engine import Order
from dyrygent_testing.simulation.faults import Fault, Faults, planned
from dyrygent_testing.simulation.hearing import overheard
from dyrygent_testing.simulation.made_up import what_is_read
from dyrygent_testing.simulation.names import ids_of
from dyrygent_testing.simulation.process import Room
from dyrygent_testing.simulation.scene import MakeJournal, Scene
from dyrygent_testing.simulation.tasks import Functions, Outcomes, Tasks
from dyrygent_testing.simulation.trace import Trace
from dyrygent_testing.subjects import check_kind, check_workflow_kind

__all__ = ["Durations", "Workers", "simulate"]

_Length: TypeAlias = int | timedelta
Durations: TypeAlias = _Length | Mapping[str, _Length] | Mapping[str, int] | Callable[[Attempt], _Length]
"""How long executions take, as a `timedelta` or in milliseconds: all, each node's, or as a function says."""

_USUAL_MS: Final = 1_000


@frozen
class Workers:
    """The processes that run attempts and sweep.

    `slots`: attempts that each runs at a time. `prefetch`: messages that each holds beside. `send_limit`: attempts
    of a turn that each sends itself before it hands the rest over; None sends all.
    """

    count: int = field(default=2, validator=whole(1))
    slots: int = field(default=1, validator=whole(1))
    prefetch: int = field(default=1, validator=whole(0))
    send_limit: int | None = field(default=None, validator=optional(whole(1)))


def simulate(
    workflow: Workflow,
    *,
    functions: Functions | Callable[[], Functions] | None = None,
    outcomes: Outcomes | None = None,
    order: Order | str | Sequence[str] = Order.FIFO,
    durations: Durations = _USUAL_MS,
    workers: Workers | int = 2,
    faults: Faults | Sequence[Fault] = (),
    requests: Sequence[tuple[int | timedelta, Observation]] = (),
    copies: int = 1,
    journal: MakeJournal | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> Trace:
    """Start a workflow, let it run among faults, and return all that happened. No real time passes.

    `functions`: your tasks by target name, called as an engine would; a value that is no function stands for what the
    task returns; what is not named succeeds. A function that makes them lets every simulation begin with a world of its
    own. A task is called when its execution ends, in no time; a coroutine is run to its end.
    Nodes are named by id; those of a Celery canvas, whose ids are made up, by what they call: `Trace.ids`.
    `outcomes`: what executions come to, by default success; what is said here to fail, or not to come to its end, is
    not called. `order`: which message is delivered next, or node ids: of
    those that wait, the one that stands first is next, and what is not named comes last. With one worker that is the
    order in which nodes run, as far as their edges allow it.
    `workers`: how many processes run attempts, or `Workers`. A number stands for one slot each and one message held
    beside, or none where `order` names nodes. `requests`: what somebody asks for, and when, as a `timedelta` or in
    milliseconds: `CancelRequested()`, `PauseRequested()`, …; what is paused then is resumed when the faults are over.
    `copies`: how many workflows of this kind run side by side. `seed`: all chance comes from it.
    `journal`: makes the one that it all runs over, given the store's clock; it has to be empty, and to take every time
    from that clock (J4). By default that is a memory journal.

    The simulation goes on until everything is over, or nothing has changed for longer than any wait could be; the
    trace tells which (`has_settled`), and `check_invariants` judges all of it. It does nothing outside, but for what a
    `journal` does: no thread, no clock, no file. Equal arguments give traces of equal `digest`, in any process and over
    any journal.

    Raises `UsageError` as `start` does for a workflow that cannot be built, for faults that cannot happen, for names of
    nodes and targets that are not there, and for values that are none of what is said here.
    """
    check_workflow_kind(workflow)
    built = workflow.build()  # raises what `start` would, before anything happens
    definition, calls = built
    ids = ids_of(workflow, *built)
    ordering = ordering_of(order, definition.graph, ids)
    if outcomes is not None and not callable(outcomes):
        outcomes = outcomes_of(outcomes, definition.graph, ids)
    asked = requests_of(requests, definition.graph, ids)
    check_whole("copies", copies, 1)
    check_int("seed", seed)
    if settings is not None:
        check_kind("settings", settings, Settings, "Settings of dyrygent_runtime")
    if not isinstance(workers, Workers):
        check_whole("workers", workers, 1)
        workers = Workers(workers, prefetch=int(isinstance(ordering, Order)))
    scene = Scene(
        workflow,
        built,
        tasks=Tasks(outcomes, functions_of(functions, calls, outcomes), what_is_read(*built)),
        order=ordering,
        length_ms=lengths_of(durations, definition.graph, _USUAL_MS, ids),
        rooms=[Room(workers.slots, workers.prefetch, workers.send_limit)] * workers.count,
        faults=planned(faults),
        requests=asked,
        copies=copies,
        journal=None if journal is None else journals_of(journal),
        settings=settings or Settings(),
        seed=seed,
    )
    with overheard(scene.recorder.problems):
        return scene.play()
