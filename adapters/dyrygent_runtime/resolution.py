"""From stored calls to calls that can be sent: arguments with the results they refer to put in place.

A node that succeeded stands for its result, a mapped one for the list of its instances' results in order, with None
for those that were skipped; every other node for nothing, so that the reference's default is taken. `ITEM` is that
element, of the list that the instance's node maps over, which the instance is for, and `SUMMARY` is `summary`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final, TypeAlias

from dyrygent_core import Attempt, Call, DyrygentError, Status
from dyrygent_core.calls import Template
from dyrygent_core.codec import MAX_RESULT_BYTES, decode_call
from dyrygent_core.errors import AdapterUnavailableError, LimitError, quoted
from dyrygent_core.nodes import Each, Path
from dyrygent_core.ports import Journal, Refusal, ValueCodec
from dyrygent_core.refs import ITEM, NO_VALUE, SUMMARY, resolve
from dyrygent_runtime.at_hand import AtHand
from dyrygent_runtime.elements import block_of, blocks_of, list_at
from dyrygent_runtime.failures import failure_of
from dyrygent_runtime.fold import Folded
from dyrygent_runtime.summary import summary

__all__ = ["MAX_RESOLVED_BYTES", "Results", "fill", "readable_calls", "resolved_calls"]

MAX_RESOLVED_BYTES: Final = MAX_RESULT_BYTES
"""The arguments of one call with the results in place that they refer to: as much as one result."""


def resolved_calls(
    journal: Journal,
    values: ValueCodec,
    folded: Folded,
    attempts: Sequence[Attempt],
    at_hand: AtHand,
) -> tuple[dict[Attempt, Call], list[Refusal]]:
    """Give the calls of attempts ready to be sent, and refusals for those that cannot be read or resolved.

    `at_hand`: what need not be read.
    """
    graph = folded.definition.graph
    numbers = [graph.number(attempt.node) for attempt in attempts]
    stored = {number: at_hand.calls[number] for number in numbers if number in at_hand.calls}
    if unread := sorted(set(numbers) - stored.keys()):
        stored |= journal.calls(folded.key, unread)
    calls: dict[Attempt, Call] = {}
    refusals: list[Refusal] = []
    for attempt, number in zip(attempts, numbers, strict=True):
        try:
            calls[attempt] = decode_call(stored[number], values)
        except AdapterUnavailableError:  # another process can read it
            raise
        except DyrygentError as problem:
            refusals.append(Refusal(attempt, failure_of(problem)))
    results = Results(journal, values, folded, at_hand.results)
    results.read((attempt, reference.node) for attempt, call in calls.items() for reference in call.inputs.references)
    ready: dict[Attempt, Call] = {}
    for attempt, call in calls.items():
        try:
            ready[attempt] = Call(call.target, Template(_resolved(values, results, attempt, call)), call.options)
        except AdapterUnavailableError:
            raise
        except DyrygentError as problem:
            refusals.append(Refusal(attempt, failure_of(problem)))
    return ready, refusals


def readable_calls(values: ValueCodec, stored: Mapping[int, bytes]) -> dict[int, Call]:
    """Decode stored calls by node number, and leave out those that this process cannot read."""
    calls: dict[int, Call] = {}
    for number, data in stored.items():
        with suppress(DyrygentError):
            calls[number] = decode_call(data, values)
    return calls


def _resolved(values: ValueCodec, results: Results, attempt: Attempt, call: Call) -> Any:
    """Put results in place; raises as `refs.resolve` does, and `LimitError` for what is too large then.

    What is stored tells how large it can be at most, so hardly ever anything is written down to be measured; and
    what is too large for certain is not even decoded.
    """
    template = call.inputs
    whole = [it.node for it in template.references if not it.path and it.node != ITEM]
    _check_size(attempt, results.size_of(attempt, whole))
    value = resolve(template.value, template.references, results.seen_by(attempt))
    if results.size_of(attempt, [it.node for it in template.references]) > MAX_RESOLVED_BYTES:
        _check_size(attempt, len(values.encode(value)))
    return value


def _check_size(attempt: Attempt, size: int) -> None:
    if size > MAX_RESOLVED_BYTES:
        message = (
            f"the arguments of node {quoted(attempt.node)} take {size:,} bytes with the results that they refer to, "
            f"more than {MAX_RESOLVED_BYTES:,}; refer to the parts that it needs (node.result['key']), or let those "
            f"nodes store their data elsewhere and return where it lies"
        )
        raise LimitError(message)


def fill(
    journal: Journal,
    values: ValueCodec,
    folded: Folded,
    template: Template,
    fresh: Mapping[Attempt, bytes] | None = None,
) -> Any:
    """Return a template's value with results in place; raises as `refs.resolve` does.

    `fresh`: results that this process has just appended, so need not be read.
    """
    results = Results(journal, values, folded, fresh)
    results.read((None, reference.node) for reference in template.references)
    own = deepcopy(template.value)  # workflows of equal definitions share it
    return resolve(own, template.references, results.seen_by(None))


_Names: TypeAlias = tuple[list[Attempt], Attempt | None]
"""Under which names a value is stored: its blocks, or else the whole that it is, or is in."""


class Results:
    """The results that some calls refer to: read together, decoded for each place anew.

    What is decoded for one place belongs to it: the function that gets it may change it.
    """

    def __init__(
        self, journal: Journal, values: ValueCodec, folded: Folded, fresh: Mapping[Attempt, bytes] | None = None
    ) -> None:
        self._journal = journal
        self._values = values
        self._folded = folded
        self._data: dict[Attempt, bytes] = {}
        self._bytes = 0
        self._keep(fresh or {})
        self._statuses: dict[str, tuple[Status, ...]] = {}
        self._opened: dict[tuple[Attempt, Path], dict[int, Any]] = {}

    def read(self, wanted: Iterable[tuple[Attempt | None, str]]) -> None:
        """Read what attempts refer to, in one go, or in two if lists were not stored in blocks."""
        names = [self._names(attempt, node) for attempt, node in dict.fromkeys(wanted)]
        self._load(name for blocks, whole in names for name in blocks or ([] if whole is None else [whole]))
        self._load(whole for blocks, whole in names if whole is not None and not self._data.keys() >= set(blocks))

    def seen_by(self, attempt: Attempt | None) -> Callable[[str], Any]:
        """Give the look-up of results for the references of one attempt, after `read`."""
        return lambda node: self._result(attempt, node)

    def of(self, node: str) -> Any:
        """Return one node's result, after `read`, or `NO_VALUE`."""
        return self._result(None, node)

    def size_of(self, attempt: Attempt | None, nodes: Sequence[str]) -> int:
        """Return how many bytes these results take, each as often as it is named; 0 if they must be few. After `read`.

        Of the item of a mapped node it is what is stored with it.
        """
        if self._bytes * len(nodes) <= MAX_RESOLVED_BYTES:
            return 0  # whichever they are
        sizes = {node: self._size(*self._names(attempt, node)) for node in set(nodes)}
        return sum(sizes[node] for node in nodes)

    # What is stored, and where

    def _names(self, attempt: Attempt | None, node: str) -> _Names:
        state = self._folded.state
        if node == SUMMARY:
            return [], None
        if node == ITEM:
            return self._names_of_item(attempt)
        if state.status(node) is not Status.SUCCEEDED:
            return [], None
        if self._is_mapped(node):
            return [name for name in self._instances(node) if name is not None], None
        winner = state.attempt(node)
        place = self._place(node, ())
        return ([] if place is None else blocks_of(winner, state.sizes(node), place)), winner

    def _names_of_item(self, attempt: Attempt | None) -> _Names:
        each = self._each(attempt)
        if attempt is None or each is None:
            return [], None
        if self._is_mapped(each.node):
            name = self._instance(each.node, attempt.index)
            return ([] if name is None else [name]), None
        winner = self._folded.state.attempt(each.node)
        block = self._block(winner, each, attempt.index)
        return ([] if block is None else [block[0]]), winner

    def _block(self, winner: Attempt, each: Each, index: int) -> tuple[Attempt, int] | None:
        place = self._place(each.node, each.path)
        return None if place is None else block_of(winner, self._folded.state.sizes(each.node), place, index)

    def _place(self, node: str, path: Path) -> int | None:
        """Give which of a node's measured lists the one at this path is."""
        paths = self._folded.definition.graph.measured_paths(node)
        place = paths.index(path) if path in paths else None
        return place if place is not None and place < len(self._folded.state.sizes(node)) else None

    def _instances(self, node: str) -> list[Attempt | None]:
        """Give the attempts that decided the instances of a mapped node, None for one that was skipped."""
        return [self._instance(node, index) for index in range(self._folded.state.width(node) or 0)]

    def _instance(self, node: str, index: int) -> Attempt | None:
        state = self._folded.state
        statuses = self._statuses.get(node)
        if statuses is None:
            statuses = self._statuses[node] = state.instance_statuses(node)
        return state.attempt(node, index) if statuses[index] is Status.SUCCEEDED else None

    def _each(self, attempt: Attempt | None) -> Each | None:
        return None if attempt is None else self._folded.definition.graph.node(attempt.node).each

    def _is_mapped(self, node: str) -> bool:
        return self._folded.definition.graph.node(node).each is not None

    def _load(self, names: Iterable[Attempt]) -> None:
        missing = [name for name in dict.fromkeys(names) if name not in self._data]
        if missing:
            self._keep(self._journal.results(self._folded.key, missing))

    def _keep(self, data: Mapping[Attempt, bytes]) -> None:
        self._data |= data
        self._bytes += sum(map(len, data.values()))

    def _size(self, blocks: Sequence[Attempt], whole: Attempt | None) -> int:
        names = blocks if self._data.keys() >= set(blocks) and blocks else [] if whole is None else [whole]
        return sum(len(self._data[name]) for name in names if name in self._data)

    # What it means

    def _result(self, attempt: Attempt | None, node: str) -> Any:
        if node == SUMMARY:
            return summary(self._folded)
        if node == ITEM:
            return NO_VALUE if attempt is None else self._item(attempt)
        if self._folded.state.status(node) is not Status.SUCCEEDED:
            return NO_VALUE
        if self._is_mapped(node):
            return self._list_of_instances(node)
        blocks, whole = self._names(None, node)
        if blocks and self._data.keys() >= set(blocks):
            return [element for block in blocks for element in self._values.decode(self._data[block])]
        return self._decoded(whole)

    def _list_of_instances(self, node: str) -> Any:
        found = [None if name is None else self._decoded(name) for name in self._instances(node)]
        return NO_VALUE if any(value is NO_VALUE for value in found) else found

    def _item(self, attempt: Attempt) -> Any:
        each = self._each(attempt)
        if each is None:
            return NO_VALUE
        if self._is_mapped(each.node):
            name = self._instance(each.node, attempt.index)
            return None if name is None else self._decoded(name)
        winner = self._folded.state.attempt(each.node)
        block = self._block(winner, each, attempt.index)
        if block is not None and block[0] in self._data:
            return self._element(block[0], (), block[1])
        return self._element(winner, each.path, attempt.index) if winner in self._data else NO_VALUE

    def _element(self, name: Attempt, path: Path, index: int) -> Any:
        """Take one element out of a decoded list; who wants it again gets it decoded anew."""
        opened = self._opened.get((name, path), {})
        if index not in opened:
            elements = list_at(self._values.decode(self._data[name]), path) or ()
            opened = self._opened[name, path] = dict(enumerate(elements))
        return opened.pop(index, NO_VALUE)

    def _decoded(self, name: Attempt | None) -> Any:
        return self._values.decode(self._data[name]) if name is not None and name in self._data else NO_VALUE
