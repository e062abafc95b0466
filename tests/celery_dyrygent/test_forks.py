"""Pool processes are forked from the main process, where the sweeper's thread uses Celery's clients: see `no_fork`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from celery_dyrygent import CeleryAdapter
from celery_dyrygent.backend import look_up, store_outcome
from celery_dyrygent.publishing import publish, publish_one
from celery_dyrygent.queues import waiting
from dyrygent_core import Attempt, WorkflowState
from dyrygent_core.codec import JSON_VALUES
from dyrygent_core.errors import AdapterUnavailableError
from dyrygent_core.ports import Submission, WorkflowKey, WorkflowOutcome
from dyrygent_runtime import forks
from dyrygent_runtime.journals import MemoryJournal

SUBMITTED = Submission(Attempt("a"), "1.0.0.1", "a")


class ReachedError(Exception):
    """Tells how many threads were inside the gate when an app was used."""


class App:
    """An app that nobody gets far with."""

    def __getattr__(self, name: str) -> Any:
        raise ReachedError(len(forks._GATE._depths))


def _revoke(app: Any) -> None:
    real = Celery("forks", broker="memory://", set_as_current=False)
    adapter = CeleryAdapter(real, journal=MemoryJournal("forks"))
    real.control.revoke = lambda _: app.revoke
    with pytest.raises(AdapterUnavailableError) as unavailable:
        adapter.revoke([SUBMITTED])
    raise unavailable.value.__cause__ or unavailable.value


@pytest.mark.parametrize(
    "use",
    [
        lambda app: publish(app, []),
        lambda app: publish_one(app, "a", "1", [], {}),
        lambda app: waiting(app, [SUBMITTED]),
        lambda app: look_up(app, [SUBMITTED], JSON_VALUES),
        lambda app: store_outcome(app, WorkflowOutcome(WorkflowKey("w", "1"), WorkflowState.CANCELLED)),
        _revoke,
    ],
    ids=["publish", "publish_one", "waiting", "look_up", "store_outcome", "revoke"],
)
def test_no_pool_process_is_forked_inside_a_client(use: Callable[[Any], object]) -> None:
    """It would find the locks that the thread inside holds, and wait for them for ever."""
    with pytest.raises(ReachedError) as reached:
        use(App())

    assert reached.value.args == (1,)
