"""What an app configures beside its journal, and what is done when one of its processes ends in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery, signals

from celery_dyrygent import register_workflow_processor
from celery_dyrygent.adapter import CeleryAdapter, adapter_of
from dyrygent_core import Attempt, UsageError
from dyrygent_core.ports import Mark, MarkKind
from dyrygent_runtime.listeners import Notification
from dyrygent_testing.journal_basis import new_workflow


@pytest.fixture
def app() -> Iterator[Celery]:
    """Give an app that keeps its workflows in memory, and has no broker."""
    app = Celery("configured", set_as_current=False)
    app.conf.dyrygent_journal = "memory://"
    register_workflow_processor(app)
    yield app
    app.close()


def test_listeners_are_those_of_the_configuration_and_those_that_are_given(app: Celery) -> None:
    """Both are told of what a turn of this process changes."""
    heard: list[Notification] = []
    more: list[Notification] = []
    app.conf.dyrygent_listeners = [heard.append]
    adapter = CeleryAdapter(app, listeners=[more.append])

    assert list(adapter_of(app).conductor.listeners) == [heard.append]
    assert list(adapter.conductor.listeners) == [heard.append, more.append]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("print", "must be a list of functions, not str"),
        (print, "must be a list of functions, not builtin_function_or_method"),
        (["print"], "holds a value of type str; put the function itself there"),
    ],
)
def test_listeners_that_are_no_functions_are_refused(app: Celery, wrong: object, said: str) -> None:
    """An unusable setting is an error when a workflow starts."""
    app.conf.dyrygent_listeners = wrong

    with pytest.raises(UsageError, match=said):
        CeleryAdapter(app)


@pytest.mark.parametrize("signal", [signals.worker_process_shutdown, signals.worker_shutdown], ids=["child", "main"])
def test_a_process_that_ends_in_order_records_what_it_has_not_yet(app: Celery, signal: signals.Signal) -> None:
    """Nothing waits in its outbox any more, and marks that may be late are written."""
    adapter = adapter_of(app)
    key = adapter.journal.create(new_workflow(), nonce="n", due_in_ms=600_000).key
    adapter.marks.add(key, [Mark(MarkKind.SENT, Attempt("a"))])

    signal.send(sender="a process")

    assert len(adapter.marks) == 0
    assert len(adapter.outbox) == 0
    assert adapter.journal.marks(key, [Attempt("a")])[Attempt("a")].sent == 1
