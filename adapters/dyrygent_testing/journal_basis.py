"""What the rules of the journal suite share: where journals come from, and the workflows that are put in them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import pytest

from dyrygent_core import Attempt, Observation
from dyrygent_core.ports import Appended, Entry, Journal, NewWorkflow, Seen, WorkflowKey

__all__ = ["HOSTILE", "LATER_MS", "LIMIT_S", "JournalBasis", "add", "at_once", "eventually", "new_workflow"]

T = TypeVar("T")

LATER_MS: Final = 600_000
"""A due time that no test lives to see."""
LIMIT_S: Final = 20.0
"""How long a test waits for what must come."""

HOSTILE: Final = (
    "'; DROP TABLE workflows; --",
    '"quoted" \\back\\slash',
    "{dy:1}:{}",
    "}{",
    "a:b",
    "a::b",
    "2:a:b",
    "line\nbreak\r\n\ttab",
    " leading and trailing ",
    "* ? [a-z] %s %(x)s :name $1 _",
    "caf\u00e9",  # composed ...
    "cafe\u0301",  # ... and decomposed: two texts
    "CAF\u00c9",
    "\U0001f3bb\u202e\u0001",
    "x" * 255,
    "\U0001f3bb" * 255,
)
"""Texts that are fine ids and names, and that a careless store takes for something else, or for one another."""


class JournalBasis:
    """The fixtures of the suite. A subclass overrides `make_journal`, and no other."""

    @pytest.fixture
    def make_journal(self) -> Callable[[str], Journal]:
        """Give a function from a namespace to a journal in it, all of one store that lasts for the test.

        Called twice with one namespace it gives what two processes have: two journals over the same workflows.
        Only a journal that ends with its process may give the same one twice.
        """
        message = "override the fixture make_journal: it returns a function from a namespace to a journal"
        raise NotImplementedError(message)

    @pytest.fixture
    def namespace(self) -> str:
        """Give a namespace for this test alone, since the store may be shared."""
        return f"suite-{secrets.token_hex(6)}"

    @pytest.fixture
    def journal(self, make_journal: Callable[[str], Journal], namespace: str) -> Iterator[Journal]:
        """Give the journal under test."""
        journal = make_journal(namespace)
        yield journal
        journal.dispose()

    @pytest.fixture
    def other(self, make_journal: Callable[[str], Journal], namespace: str) -> Iterator[Journal]:
        """Give the same journal, as another process has it."""
        journal = make_journal(namespace)
        yield journal
        journal.dispose()

    @pytest.fixture
    def key(self, journal: Journal) -> Iterator[WorkflowKey]:
        """Give an open workflow that has only begun, and is not due."""
        workflow = new_workflow()
        journal.create(workflow, nonce="begin", due_in_ms=LATER_MS)
        yield workflow.key
        journal.delete(workflow.key)


def new_workflow(
    id: str = "w",  # noqa: A002  # as in `WorkflowKey`
    calls: Sequence[bytes] = (b"call 0", b"call 1"),
    digest: str = "d",
    *,
    name: str = "",
    tags: tuple[str, ...] = (),
) -> NewWorkflow:
    """Return a workflow of a new incarnation. To a journal its definition and calls are just bytes."""
    key = WorkflowKey(id, secrets.token_hex(8))
    return NewWorkflow(key, digest, b"\x00\xff definition of " + id.encode(), tuple(calls), name, tags)


def add(journal: Journal, key: WorkflowKey, *observations: Observation, nonce: str = "n") -> Appended:
    """Append without having seen anything."""
    return journal.append(key, observations, seen=Seen(), nonce=nonce)


def last_seen(entries: Sequence[Entry]) -> Seen:
    """Return what a process has seen that folded these entries."""
    return Seen(entries[-1].position, entries[-1].nonce) if entries else Seen()


def attempts(count: int) -> tuple[Attempt, ...]:
    """Return the first attempts of so many nodes."""
    return tuple(Attempt(f"node {number}") for number in range(count))


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Call `work` with 0, 1, … in as many threads, which set off together; give what they return."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait(LIMIT_S)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=LIMIT_S * 3))


def eventually(probe: Callable[[], T]) -> T:
    """Ask until the answer is true, and return it; the test fails when the limit is hit."""
    end = time.monotonic() + LIMIT_S
    pause = threading.Event()
    while not (answer := probe()):
        if time.monotonic() > end:
            pytest.fail(f"{probe} was still {answer!r} after {LIMIT_S} s")
        pause.wait(0.002)
    return answer
