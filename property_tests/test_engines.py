"""One workflow, any engine: the same end and the same results, which are the ones that the pure model foretells.

Many workflows are drawn at a time and run side by side, for engines are slow to answer and idle most of the time.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol

import dramatiq
import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from celery_dyrygent import CeleryAdapter, register_workflow_processor
from dramatiq_dyrygent import DramatiqAdapter
from dyrygent_core import Workflow
from dyrygent_runtime import Run, Settings
from dyrygent_runtime.journals import MemoryJournal
from local_dyrygent import LocalAdapter
from property_tests.acting import TARGET, Acted, Play, acting, plays

SIDE_BY_SIDE: Final = 20
_LIMIT_S: Final = 60
_QUICK: Final = Settings(poll_ms=20, sweep_interval_ms=2_000)


class Starting(Protocol):
    """What every adapter has."""

    def start(self, workflow: Workflow) -> Run: ...


@contextmanager
def _threads() -> Iterator[Starting]:
    with LocalAdapter({TARGET: acting()}, settings=_QUICK) as adapter:
        yield adapter


@contextmanager
def _inline() -> Iterator[Starting]:
    with LocalAdapter({TARGET: acting()}, workers=0, settings=_QUICK) as adapter:
        yield adapter


@contextmanager
def _celery() -> Iterator[Starting]:
    app = Celery("engines", broker="memory://engines", backend="cache+memory://")
    app.conf.update(
        broker_transport_options={"polling_interval": 0.01},
        dyrygent_journal=MemoryJournal("engines"),
        dyrygent_settings=_QUICK,
    )
    register_workflow_processor(app)
    app.task(acting(), name=TARGET)
    signals.setup_logging.connect(_no_logging)  # without a receiver Celery sets the root logger's level, for good
    try:
        with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False):
            yield CeleryAdapter(app)
    finally:
        signals.setup_logging.disconnect(_no_logging)
        logging.captureWarnings(capture=False)


def _no_logging(**_: object) -> None:
    """Leave logging as it is."""


@contextmanager
def _dramatiq() -> Iterator[Starting]:
    broker = StubBroker()
    adapter = DramatiqAdapter(broker, journal=MemoryJournal("engines"), settings=_QUICK)
    dramatiq.actor(acting(), actor_name=TARGET, broker=broker)
    worker = Worker(broker, worker_timeout=20, worker_threads=4)
    worker.start()
    try:
        yield adapter
    finally:
        worker.stop()
        broker.close()


ENGINES: Final[dict[str, Callable[[], Any]]] = {
    "threads": _threads,
    "inline": _inline,
    "celery": _celery,
    "dramatiq": _dramatiq,
}


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Starting]]:
    """Give every engine, with its worker running; what comes after is logged as before."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    with ExitStack() as stack:
        yield {name: stack.enter_context(engine()) for name, engine in ENGINES.items()}
    assert (root.level, root.handlers) == before


_ENOUGH: Final = 200
_DRAWN: Final = Counter[str]()
_TOKENS: Final = map(str, itertools.count())


@pytest.fixture(scope="module", autouse=True)
def _tally() -> Iterator[Counter[str]]:
    """Hold what was drawn, where that is enough to tell, to what is worth comparing.

    In about 35 % something fails, half have mapped nodes, and in a quarter one of these comes to have instances.
    """
    _DRAWN.clear()
    yield _DRAWN
    if _DRAWN["all"] < _ENOUGH:
        return
    assert _DRAWN["with failures"] >= 0.25 * _DRAWN["all"], _DRAWN
    assert _DRAWN["with mapped nodes"] >= 0.3 * _DRAWN["all"], _DRAWN
    assert _DRAWN["with instances"] >= 0.15 * _DRAWN["all"], _DRAWN


@settings(
    max_examples=max(2, settings().max_examples // SIDE_BY_SIDE),
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # what fails is named; shrinking would run engines for minutes
)
@given(st.lists(plays(token=lambda: next(_TOKENS)), min_size=SIDE_BY_SIDE, max_size=SIDE_BY_SIDE))
def test_every_engine_comes_to_what_the_model_foretells(engines: dict[str, Starting], together: list[Play]) -> None:
    """The same workflow value, started on each engine, ends in the same statuses and with the same results."""
    runs = {name: [engine.start(play.workflow) for play in together] for name, engine in engines.items()}
    foretold = [play.foretold() for play in together]

    _DRAWN.update(
        {
            "all": len(foretold),
            "with failures": sum(it.has_failures for it in foretold),
            "with mapped nodes": sum(any(node.each for node in play.graph.nodes) for play in together),
            "with instances": sum(it.has_maps for it in foretold),
            "nodes": sum(len(it.statuses) for it in foretold),
        }
    )
    for name, its in runs.items():
        for play, run, expected in zip(together, its, foretold, strict=True):
            assert _acted(run) == expected, (name, play)


def _acted(run: Run) -> Acted:
    run.wait(_LIMIT_S)
    state = run.state
    names = state.statuses
    return Acted(state.workflow_state, dict(names), {name: state.width(name) for name in names}, run.results())
