"""Ten processes over two hundred workflows and a wide one: one outcome for each node, one dispatch for each attempt."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from collections import Counter
from queue import Empty
from typing import Any, Final

import pytest

from dyrygent_core import State, WorkflowState, advance
from dyrygent_core.codec import decode_definition
from dyrygent_core.ports import Journal, Query
from dyrygent_runtime.journals import open_journal
from tests.dyrygent_runtime.journals.racing import NODES, WIDE, WIDE_NODES, Queues, race

PROCESSES: Final = 10
WORKFLOWS: Final = 200
LIMIT_S: Final = 90.0
RUNNING: Final = Query(states=frozenset({WorkflowState.RUNNING}))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ["postgresql", "redis"])
def test_ten_processes_race_over_two_hundred_workflows(store: str, request: pytest.FixtureRequest) -> None:
    """Whoever comes first, every workflow ends in SUCCESS, without a gap, a second outcome or a second dispatch."""
    url: str = request.getfixturevalue(f"{store}_url")
    namespace = f"race-{secrets.token_hex(4)}"
    ids = [*(f"raced {number}" for number in range(WORKFLOWS)), WIDE]
    dispatches = WORKFLOWS * NODES + WIDE_NODES
    context = multiprocessing.get_context("spawn")
    queues = Queues(context.Queue(), context.Queue(), context.Queue())
    arguments = (url, namespace, ids, queues)
    processes = [context.Process(target=race, args=arguments, daemon=True) for _ in range(PROCESSES)]
    journal = open_journal(url, namespace)
    for process in processes:
        process.start()
    try:
        sent = Counter[tuple[str, str, int]]()
        end = time.monotonic() + LIMIT_S
        while sent.total() < dispatches or _is_running(journal):
            with_limit(queues.dispatched, sent)
            assert queues.problems.empty(), queues.problems.get()
            assert time.monotonic() < end, f"{sent.total()} dispatches, and {journal.list(RUNNING, limit=3)}"
        for _ in processes:
            queues.attempts.put(None)
        for process in processes:
            process.join(LIMIT_S)
            assert process.exitcode == 0

        while not queues.dispatched.empty():
            with_limit(queues.dispatched, sent)
        assert set(sent.values()) == {1}
        assert len(sent) == dispatches
        for workflow_id in ids:
            _check_story(journal, workflow_id, WIDE_NODES if workflow_id == WIDE else NODES)
    finally:
        for process in processes:
            process.kill()
        for item in journal.list(Query(), limit=WORKFLOWS + 2).items:
            journal.delete(item.key)
        journal.dispose()


def with_limit(dispatched: Any, sent: Counter[tuple[str, str, int]]) -> None:
    """Count what was dispatched, if anything comes soon."""
    try:
        sent[dispatched.get(timeout=0.05)] += 1
    except Empty:
        return


def _is_running(journal: Journal) -> bool:
    return bool(journal.list(RUNNING, limit=1).items)


def _check_story(journal: Journal, workflow_id: str, nodes: int) -> None:
    """Replay one journal: gap-free, every outcome counts once, and both copies of each came."""
    stored = journal.definition(workflow_id)
    entries = journal.read(stored.key)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    graph = decode_definition(stored.definition).graph
    state, counted = State.initial(graph), 0
    for entry in entries:
        after, _ = advance(graph, state, [entry.observation])
        counted += after is not state
        state = after
    assert state.workflow_state is WorkflowState.SUCCESS
    assert counted == 1 + nodes
    assert len(entries) <= 1 + 2 * nodes
