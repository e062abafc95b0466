"""What one process knows of its workflows, and how it comes to know what it has not seen.

It goes on from the fold that it has at hand; without one from the newest snapshot, which comes with the definition in
one read; and from the first entry where there is no snapshot, where it cannot be used, or where the journal is not the
one that was folded: a store may lose what it held last.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final
from weakref import WeakValueDictionary

from attrs import evolve, field, frozen

from dyrygent_core import Attempt, Definition, Observation, Outcome, State, advance
from dyrygent_core.codec import decode_call, decode_definition
from dyrygent_core.errors import JournalUnavailableError, UnknownWorkflowError, UnsupportedVersionError, quoted
from dyrygent_core.ports import Appended, Entry, Journal, Seen, StoredWorkflow, ValueCodec, WorkflowKey
from dyrygent_core.versions import KNOWN_RULES, Rules
from dyrygent_runtime.cache import FoldCache
from dyrygent_runtime.faults import FaultPoint, Reach
from dyrygent_runtime.fold import Folded, Step, fold
from dyrygent_runtime.routes import Route, route_of
from dyrygent_runtime.settings import CHUNK
from dyrygent_runtime.snapshots import read_snapshot

__all__ = ["CaughtUp", "Folds"]

_LOG = logging.getLogger("dyrygent")
_MOST_GUESSED: Final = 10
"""Calls that are read in case that they are needed, to save a round trip. A call may have a mebibyte; what waits for
more nodes than this is not read, since it would be once for each of them."""
_NO_CALLS: Final[Mapping[int, bytes]] = {}
_UNREAD: Final = Seen(1)
"""No entry is like that, so an append with it is told nothing of what was missed (J2)."""


@frozen
class CaughtUp:
    """A workflow as of now.

    `steps`: those of the caller's own entries. `behind`: of a process that had nothing at hand, how many entries it
    had to fold, so how far the newest snapshot was behind. `calls`: what is at hand of them, by node number.
    """

    folded: Folded
    steps: list[Step]
    behind: int = 0
    calls: Mapping[int, bytes] = field(factory=dict[int, bytes], repr=False)


class Folds:
    """The folds of one process. Threads may share it."""

    def __init__(
        self,
        journal: Journal,
        reach: Reach,
        rules: Mapping[int, Rules] = KNOWN_RULES,
        definitions: MutableMapping[bytes, Definition] | None = None,
    ) -> None:
        self._journal = journal
        self._reach = reach
        self._rules = rules
        self.cache = FoldCache()
        self._definitions = WeakValueDictionary[bytes, Definition]() if definitions is None else definitions

    def now(self, key: WorkflowKey) -> CaughtUp:
        """Fold what this process has not seen; nothing is written. Raises `UnknownWorkflowError`."""
        try:
            cached = self.cache.get(key)
            base, entries = self._tail(cached or self._unfolded(key))
        except UnknownWorkflowError:
            self.cache.drop(key)
            raise
        return self._caught_up(base, entries, is_cold=cached is None)

    def find(self, workflow_id: str) -> WorkflowKey:
        """Return which workflow has this id; keep what was read, for whoever asks something of it next."""
        stored = self._journal.definition(workflow_id)
        if self.cache.get(stored.key) is None:
            with suppress(UnsupportedVersionError):  # who asks something of it is told
                self.cache.put(self._restored(stored))
        return stored.key

    def append(
        self,
        key: WorkflowKey,
        observations: Sequence[Observation],
        results: Mapping[Attempt, bytes],
        nonce: str,
        *,
        is_second_try: bool,
    ) -> CaughtUp:
        """Append under one nonce, unless an earlier try did, and fold all that there is then.

        Raises `UnknownWorkflowError`; `JournalUnavailableError`, and then nobody knows whether it was written;
        `UnsupportedVersionError` for a workflow that this release cannot read: the entry is there, for those that can.
        """
        cached = self.cache.get(key)
        try:
            base = cached or self._unfolded(key)
        except UnsupportedVersionError:
            self._journal.append(key, observations, seen=_UNREAD, nonce=nonce, results=results)
            raise
        try:
            base, entries, calls = self._appended(base, observations, results, nonce, is_second_try=is_second_try)
        except UnknownWorkflowError:
            self.cache.drop(key)
            raise
        return self._caught_up(base, entries, nonce, calls, is_cold=cached is None)

    def begin(self, folded: Folded, first: Entry, calls: Mapping[int, bytes]) -> CaughtUp:
        """Fold a workflow's first entry, which the caller has just written with all its calls."""
        return self._caught_up(folded, [first], first.nonce, calls, is_cold=False)

    def routes(self, folded: Folded, numbers: Sequence[int], values: ValueCodec) -> Mapping[int, Route]:
        """Return where the calls of these nodes go; what was asked before is not read again."""
        wanted = sorted(set(numbers))
        known = self.cache.routes(folded.key, wanted)
        unknown = [number for number in wanted if number not in known]
        if unknown:
            stored = self._journal.calls(folded.key, unknown)
            read = {number: route_of(decode_call(data, values)) for number, data in stored.items()}
            self.cache.learn(folded.key, read)
            known |= read
        return known

    # Before the fold

    def _appended(
        self,
        base: Folded,
        observations: Sequence[Observation],
        results: Mapping[Attempt, bytes],
        nonce: str,
        *,
        is_second_try: bool,
    ) -> tuple[Folded, list[Entry], Mapping[int, bytes]]:
        """Append; give the entries to fold, what they are to be folded into, and calls that were read along.

        If the reply is lost, the journal tells whether the entries are there: every entry with our nonce is ours.
        """
        key = base.key
        if is_second_try and (known := self._written(base, nonce)):
            return *known, {}
        wanted = _likely_to_send(base, observations)

        def append() -> Appended:
            return self._journal.append(key, observations, seen=base.seen, nonce=nonce, results=results, calls=wanted)

        try:
            appended = append()
        except JournalUnavailableError:
            _LOG.warning("workflow %s: the journal's reply was lost; looking whether it wrote", quoted(key.id))
            self._reach(FaultPoint.BEFORE_READ_BACK)
            if known := self._written(base, nonce):
                return *known, {}
            appended = append()
        if appended.has_diverged:
            return *self._anew(base), appended.calls
        return base, [*appended.missed, *_stamped(observations, appended, nonce)], appended.calls

    def _written(self, base: Folded, nonce: str) -> tuple[Folded, list[Entry]] | None:
        """Give what there is to fold if an entry with this nonce was written, else None.

        Another turn of this process may have folded beyond it, so if need be the whole journal is looked through.
        """
        base, entries = self._tail(base)
        if base.seen.position and all(entry.nonce != nonce for entry in entries):
            base, entries = self._anew(base)
        return (base, entries) if any(entry.nonce == nonce for entry in entries) else None

    def _tail(self, base: Folded) -> tuple[Folded, list[Entry]]:
        """Give the entries that follow a fold; all of them, and the beginning, if it is none of this journal."""
        if base.seen.position:
            entries = self._journal.read(base.key, after=base.seen.position - 1)
            if entries and Seen(entries[0].position, entries[0].nonce) == base.seen:
                return base, list(entries[1:])
        return self._anew(base)

    def _anew(self, base: Folded) -> tuple[Folded, list[Entry]]:
        self.cache.drop(base.key)
        return Folded.initial(base.key, base.definition), list(self._journal.read(base.key))

    def _unfolded(self, key: WorkflowKey) -> Folded:
        """Read a workflow that this process has not at hand, up to its newest snapshot."""
        stored = self._journal.definition(key.id)
        if stored.key != key:
            raise UnknownWorkflowError(key.id)
        return self._restored(stored)

    def _restored(self, stored: StoredWorkflow) -> Folded:
        """Give a workflow as of its newest snapshot."""
        key, definition = stored.key, self._definition(stored)
        if stored.snapshot is not None:
            try:
                return read_snapshot(key, definition, stored.snapshot)
            except UnsupportedVersionError as problem:
                _LOG.warning("workflow %s: its snapshot is not used: %s", quoted(key.id), problem)
        return Folded.initial(key, definition)

    def _definition(self, stored: StoredWorkflow) -> Definition:
        """Decode a definition; workflows that are alike share it."""
        name = hashlib.sha256(stored.definition).digest()
        definition = self._definitions.get(name)
        if definition is None:
            definition = self._definitions[name] = decode_definition(stored.definition, self._rules)
        return definition

    # The fold

    def _caught_up(
        self,
        base: Folded,
        entries: list[Entry],
        nonce: str | None = None,
        calls: Mapping[int, bytes] = _NO_CALLS,
        *,
        is_cold: bool,
    ) -> CaughtUp:
        folded, steps = fold(base, entries, nonce)
        self.cache.put(folded)
        return CaughtUp(folded, steps, len(entries) if is_cold else 0, calls)


def _likely_to_send(base: Folded, observations: Sequence[Observation]) -> list[int]:
    """Give the nodes whose calls are likely to be sent next, so that the append reads them along.

    If nothing was missed, which shows only later, it is those that these observations emit, of which the first chunk
    is wanted. If that is nothing, as in a process that has not seen the last entries, it may be what waits for the
    nodes that have ended. What was guessed wrong is read later.
    """
    graph, state = base.state.graph, base.state
    _, emitted = advance(graph, state, observations)
    if emitted:
        return sorted({graph.numbers[attempt.node] for attempt in emitted[:CHUNK]})
    ended = (graph.numbers.get(it.attempt.node) for it in observations if isinstance(it, Outcome))
    below = islice(
        (child for number in ended if number is not None for child in graph.successors[number]), _MOST_GUESSED
    )
    return sorted({child for child in below if _is_likely(state, child)})


def _is_likely(state: State, child: int) -> bool:
    node = state.graph.nodes[child]
    return len(node.depends_on) <= _MOST_GUESSED and not state.status(node.id).is_final


def _stamped(observations: Sequence[Observation], appended: Appended, nonce: str) -> list[Entry]:
    return [
        Entry(appended.first + place, nonce, evolve(observation, at_ms=appended.at_ms))
        for place, observation in enumerate(observations)
    ]
