"""A rule machine that runs arbitrary workflows on a real engine, and steers them while they run.

Where the suite shows each clause by itself, this looks for moments in which they get in each other's way: workflows
side by side, paused, cancelled, skipped in and run again at any time. What was observed is then told to the slow model,
which must stand where the run stands, and have emitted all that has run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from dyrygent_core import Attempt, NodeHandle, ResultRef, UsageError, Workflow
from dyrygent_runtime import Run
from dyrygent_testing.adapter_basis import AdapterEngine, Case
from dyrygent_testing.agreement import check_agreement
from dyrygent_testing.model import Model

__all__ = ["AdapterMachine"]

_CONDITIONS: Final = ("succeeded", "done", "failed", "not_failed", "skipped")
_ENDS: Final = st.sampled_from([("give", None)] * 4 + [("fail", "drawn"), ("skip", "drawn")])


@frozen
class _Drawn:
    """One node: which earlier nodes it waits for, and how; over which it is mapped; what its attempts come to.

    `width`: how long the list is that it returns when it succeeds; None for no list.
    """

    after: tuple[tuple[int, str], ...]
    each: int | None
    width: int | None
    ends: tuple[tuple[str, Any], ...]
    max_attempts: int
    allow_failure: bool

    @property
    def script(self) -> list[tuple[str, Any]]:
        """What its executions do, one after the other, for the task `act`."""
        success = ("give", None) if self.width is None else ("spread", self.width)
        return [success if kind == "give" else (kind, what) for kind, what in self.ends]


@st.composite
def _nodes(draw: st.DrawFn) -> tuple[_Drawn, ...]:
    drawn: list[_Drawn] = []
    for at in range(draw(st.integers(1, 5))):
        lists = [before for before in range(at) if drawn[before].width is not None and not drawn[before].allow_failure]
        each = draw(st.sampled_from([None, *lists]))
        others = [before for before in range(at) if before != each]
        above = draw(st.lists(st.sampled_from(others), unique=True, max_size=2)) if others else []
        drawn.append(
            _Drawn(
                tuple((before, draw(st.sampled_from(_CONDITIONS))) for before in above),
                each,
                draw(st.sampled_from([None, None, 0, 2])) if each is None else None,
                tuple(draw(st.lists(_ENDS, min_size=1, max_size=2))),
                draw(st.integers(1, 2)),
                draw(st.booleans()) and each is None,
            )
        )
    return tuple(drawn)


class AdapterMachine(RuleBasedStateMachine):
    """Steers workflows on an engine. A subclass overrides `make_engine`.

    Engines are slow, so few examples are tried: the class attribute `TestCase.settings` says how many.
    """

    running = Bundle("running")

    def make_engine(self) -> AbstractContextManager[AdapterEngine]:
        """Return the engine, as a context; it may be the same for all examples: `nullcontext(engine)`."""
        message = "override make_engine: it returns a context manager that gives an AdapterEngine"
        raise NotImplementedError(message)

    @initialize(target=running, nodes=_nodes())
    def begin(self, nodes: tuple[_Drawn, ...]) -> Run:
        """Have a worker run, and a workflow."""
        self.cleanup = ExitStack()
        engine = self.cleanup.enter_context(self.make_engine())
        place = Path(tempfile.mkdtemp(prefix="dyrygent-"))
        self.cleanup.callback(shutil.rmtree, place)
        self.case = Case(engine, place)
        self.runs: list[Run] = []
        engine.start_worker()
        return self._started(nodes, has_end=False, limit=None)

    def teardown(self) -> None:
        """Let everything end, and compare each run with the model."""
        try:
            for run in self.runs:
                run.resume()
                self.case.ended(run)
                self._check(run)
            for run in self.runs:
                run.delete()
        finally:
            self.cleanup.close()

    @rule(target=running, nodes=_nodes(), has_end=st.booleans(), limit=st.sampled_from([None, 1]))
    def start(self, *, nodes: tuple[_Drawn, ...], has_end: bool, limit: int | None) -> Run:
        """Start a workflow beside the others."""
        return self._started(nodes, has_end=has_end, limit=limit)

    def _started(self, nodes: tuple[_Drawn, ...], *, has_end: bool, limit: int | None) -> Run:
        number = len(self.runs)
        workflow, handles = Workflow(max_in_flight=limit), list[NodeHandle]()
        for at, drawn in enumerate(nodes):
            after = [handles[before] for before, _ in drawn.after]
            edges = [_edge(handles[before], condition) for before, condition in drawn.after]
            each = None if drawn.each is None else handles[drawn.each]
            item = None if each is None else workflow.item
            script = drawn.script if each is None else [drawn.script] * 2
            inputs = [ResultRef(handle.id).default(None) for handle in after]
            handles.append(
                workflow.add(
                    self.case.here("act", f"{number}.{at}", script, inputs, item),
                    id=str(at),
                    after=edges,
                    each=each,
                    max_attempts=drawn.max_attempts,
                    allow_failure=drawn.allow_failure,
                )
            )
        if has_end:
            workflow.finally_(self.case.here("act", f"{number}.end", [["give", None]], []), id="end")
        workflow.returns([handle.result for handle in handles])
        self.runs.append(self.case.start(workflow))
        return self.runs[-1]

    @rule(run=running)
    def pause(self, run: Run) -> None:
        """Let nothing more of it start."""
        run.pause()

    @rule(run=running)
    def resume(self, run: Run) -> None:
        """Let it go on."""
        run.resume()

    @rule(run=running)
    def cancel(self, run: Run) -> None:
        """Stop it."""
        run.cancel()

    @rule(run=running, node=st.integers(0, 4))
    def skip(self, run: Run, node: int) -> None:
        """Go on without one of its nodes."""
        names = list(run.statuses)
        run.skip(names[node % len(names)])

    @rule(run=running)
    def rerun(self, run: Run) -> None:
        """Let it end, and run it again if it did not succeed."""
        run.resume()
        self.case.ended(run)
        try:
            run.rerun()
        except UsageError:
            return

    # What is compared

    def _check(self, run: Run) -> None:
        """Raise `AssertionError` unless the model, told what was observed, stands where the run does."""
        folded = self.case.adapter.conductor.refresh(run.key)
        graph, number = folded.definition.graph, self.runs.index(run)
        model = Model(graph)
        emitted = [attempt for entry in run.history() for attempt in model.observe(entry.observation)]
        try:
            check_agreement(run.state, model)
        except AssertionError as problem:
            raise AssertionError(f"{problem}\n{self.case.story()}") from problem
        for node in graph.nodes:
            self._check_executions(f"{number}.{node.id}", [it for it in emitted if it.node == node.id])
        for name, value in run.results().items():
            is_mapped = graph.node(name).each is not None
            its = value if is_mapped else [value]
            made = [it[:2] for it in its if it and it != [0, 1]]  # that is a list to map over
            expected = [[f"{number}.{name}", at if is_mapped else None] for at in range(2 if is_mapped else 1)]
            assert [it for it in made if it not in expected] == [], f"{name} has {value!r}\n{self.case.story()}"

    def _check_executions(self, name: str, emitted: Sequence[Attempt]) -> None:
        """Nothing has run that was not emitted, and nothing more often."""
        for index in {it.index for it in emitted}:
            wanted = sum(it.index == index for it in emitted)
            names = {name, f"{name}.{index}"}
            assert sum(self.case.count(it) for it in names) <= wanted, f"{name}: {wanted} attempts\n{self.case.story()}"


def _edge(handle: NodeHandle, condition: str) -> Any:
    return handle if condition == "succeeded" else getattr(handle, condition)


AdapterMachine.TestCase.settings = settings(max_examples=10, stateful_step_count=10, deadline=None)
