"""References from one node's arguments to another node's result.

While a call is written down, a `ResultRef` may stand anywhere inside its arguments. `detach` takes the references
out and notes beside the arguments where each stood, so that no stored value is ever a marker, and a value that
merely looks like one stays a value. `resolve` puts results in their places again.
Walks are iterative: arguments may be nested as deeply as the serialiser can bear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, Final, NoReturn, TypeAlias, cast

from attrs import evolve, field, frozen

from dyrygent_core.checks import is_key, shown
from dyrygent_core.errors import LimitError, ResultMissingError, ResultPathError, UsageError, quoted

__all__ = [
    "ITEM",
    "NO_DEFAULT",
    "NO_VALUE",
    "SUMMARY",
    "Default",
    "HasResult",
    "Key",
    "Reference",
    "ResultRef",
    "detach",
    "resolve",
]

Key: TypeAlias = str | int
"""A key of a mapping, or an index into a sequence."""


_Container: TypeAlias = "list[Any] | tuple[Any, ...] | dict[Any, Any]"


class _NoValue:
    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE: Final = _NoValue()
"""What a look-up of results answers for a node that has none."""


@frozen
class Default:
    """What to use where the node has no value."""

    value: Any


NO_DEFAULT: Final = None

ITEM: Final = "\0item"
"""Stands in a reference where a node's id does: the element that a mapped node's instance is for."""
SUMMARY: Final = "\0summary"
"""What became of the workflow, for a node of the whole workflow. No id contains NUL."""

MAX_ITEMS: Final = 1 << 20
"""Most items in all containers of one value: written down, each takes a byte or more of a mebibyte."""
MAX_NESTING: Final = 500
"""Deepest nesting of lists and dicts in arguments; the standard library's JSON writer gives up near 1,000."""


@frozen
class ResultRef:
    """Stands for a node's result, or a part of it, inside the arguments of a later node's call.

    Made by `NodeHandle.result`; `ref["key"]` and `ref[0]` pick parts, `ref.default(value)` says what to use where
    the node may have no value.
    """

    node: str
    path: tuple[Key, ...] = ()
    fallback: Default | None = field(default=NO_DEFAULT, hash=False)

    def __getitem__(self, key: Key) -> ResultRef:
        """Pick an item or a key of the result."""
        if not is_key(key):
            message = (
                f"the result of {quoted(self.node)} is not known yet, so it can be indexed by str and int only, "
                f"not by {type(key).__name__}: {shown(key)}; do the rest in a task"
            )
            raise UsageError(message)
        return evolve(self, path=(*self.path, key))

    def __iter__(self) -> NoReturn:
        message = (
            f"the result of {quoted(self.node)} is not known yet, so it cannot be iterated or unpacked; "
            f"pass it whole, or pick items of it by index"
        )
        raise UsageError(message)

    def default(self, value: Any) -> ResultRef:  # a payload
        """Use `value` where the node has no result: it was skipped, or failed and that is allowed.

        Raises `UsageError` if there are references in `value`: a default is there for when a result is not.
        """
        copy, references = detach(value)
        if references:
            message = (
                f"the default for the result of {quoted(self.node)} contains the result of "
                f"{quoted(references[0].node)}; a default must be a plain value"
            )
            raise UsageError(message)
        return evolve(self, fallback=Default(copy))


class HasResult:
    """Stands for a node, and not for its result: it says which by its `id`."""

    __slots__ = ()

    id: str


@frozen
class Reference:
    """A reference taken out of its arguments: the place it belongs to, and what belongs there."""

    at: tuple[Key, ...]
    node: str
    path: tuple[Key, ...] = ()
    fallback: Default | None = field(default=NO_DEFAULT, hash=False)


def detach(value: Any) -> tuple[Any, tuple[Reference, ...]]:  # a payload
    """Copy lists, tuples and dicts of `value`, with None for every `ResultRef` in them, and give the references.

    Tuples become lists, as they do in JSON. Other objects are taken as they are.
    Raises `UsageError` for a reference that is a key or stands under one that is no str, for a container that
    contains itself, and for nesting beyond `MAX_NESTING`; `LimitError` beyond `MAX_ITEMS`, which a small value can
    have if it contains the same containers again and again.
    """
    if isinstance(value, ResultRef):
        return None, (Reference((), value.node, value.path, value.fallback),)
    references: list[Reference] = []
    items = 0
    top: list[Any] = [value]
    todo: list[tuple[Any, Key, tuple[Key, ...], frozenset[int]]] = [(top, 0, (), frozenset())]
    while todo:
        holder, key, at, inside = todo.pop()
        item = holder[key]
        if isinstance(item, ResultRef):
            _check_keys(item, at)
            holder[key] = None
            references.append(Reference(at, item.node, item.path, item.fallback))
            continue
        if not isinstance(item, list | tuple | dict):
            _check_leaf(item, at)
            continue
        container: _Container = item  # pyright: ignore[reportUnknownVariableType]  # narrowed from Any
        if id(container) in inside:
            message = f"the arguments contain themselves at {_shown(at)}; only trees can be written down"
            raise UsageError(message)
        if len(at) > MAX_NESTING:
            message = f"the arguments are nested more than {MAX_NESTING} levels deep; pass flatter ones"
            raise UsageError(message)
        items += len(container)
        if items > MAX_ITEMS:
            message = f"the arguments have more than {MAX_ITEMS:,} items; store the data elsewhere and pass where it is"
            raise LimitError(message)
        copy = _copied(container, at)
        holder[key] = copy
        deeper = inside | {id(container)} if copy else inside
        if isinstance(copy, dict):
            todo += [(copy, name, (*at, _as_key(name)), deeper) for name in copy]
        else:
            todo += [(copy, place, (*at, place), deeper) for place in range(len(copy))]
    references.sort(key=lambda reference: tuple(map(str, reference.at)))
    return top[0], tuple(references)


def resolve(
    value: Any,  # a payload
    references: Sequence[Reference],
    result_of: Callable[[str], Any],
) -> Any:
    """Put results into the places that `references` name; `value` is changed and returned.

    `result_of` gives a node's result, or `NO_VALUE`.
    Raises `ResultPathError` where a result lacks the part that is asked for, `ResultMissingError` where there is
    no result and no default.
    """
    for reference in references:
        found = _pick(result_of(reference.node), reference)
        if not reference.at:
            return found
        holder = value
        for key in reference.at[:-1]:
            holder = holder[key]
        holder[reference.at[-1]] = found
    return value


def _pick(result: Any, reference: Reference) -> Any:  # payloads
    if result is NO_VALUE:
        if reference.fallback is None:
            message = f"node {quoted(reference.node)} has no result to refer to, and the reference no default"
            raise ResultMissingError(message)
        return reference.fallback.value
    for depth, key in enumerate(reference.path):
        try:
            result = result[key]
        except (LookupError, TypeError):
            message = (
                f"the result of node {quoted(reference.node)} has nothing at {_shown(reference.path[: depth + 1])}: "
                f"that part of it is {_kind(result)}"
            )
            raise ResultPathError(message) from None
    return result


def _is_of_a_result(item: object) -> bool:
    return isinstance(item, ResultRef | HasResult)


def _check_leaf(item: object, at: tuple[Key, ...]) -> None:
    """Refuse what stands for a result, and is none: it would fail only when it is written down."""
    if isinstance(item, HasResult):
        message = f"node {quoted(item.id)} itself stands in the arguments at {_shown(at)}; write .result for its result"
        raise UsageError(message)
    if isinstance(item, set | frozenset) and any(map(_is_of_a_result, item)):  # pyright: ignore[reportUnknownArgumentType]
        message = f"a result stands in a set at {_shown(at)}, where it has no place of its own; write a list"
        raise UsageError(message)


def _copied(item: _Container, at: tuple[Key, ...]) -> list[Any] | dict[Any, Any]:
    if not isinstance(item, dict):
        return list(item)
    for key in item:
        if isinstance(key, ResultRef):
            message = f"the result of {quoted(key.node)} stands as a key at {_shown(at)}; it can only be a value"
            raise UsageError(message)
    return dict(item)


@frozen
class _OddKey:
    """A key of a mapping that JSON cannot write; it may stand there, but not above a reference."""

    key: Any = field(hash=False)


def _as_key(name: Any) -> Any:  # a payload
    return name if isinstance(name, str) else _OddKey(name)


def _check_keys(ref: ResultRef, at: tuple[Any, ...]) -> None:
    odd = next((key for key in at if isinstance(key, _OddKey)), None)
    if odd is not None:
        message = (
            f"the result of {quoted(ref.node)} stands under the key {shown(odd.key)}; JSON has str keys only, "
            f"so write that key as a str"
        )
        raise UsageError(message)


def _shown(path: Sequence[object]) -> str:
    keys = (key.key if isinstance(key, _OddKey) else key for key in path)
    return "".join(f"[{quoted(key) if isinstance(key, str) else shown(key)}]" for key in keys) or "the top"


def _kind(value: Any) -> str:  # a payload
    """Say what a payload is without showing any of it."""
    if isinstance(value, Mapping):
        return f"a mapping of {len(cast('Sized', value))} keys"
    if isinstance(value, list | tuple | str):
        return f"a {type(cast('object', value)).__name__} of length {len(cast('Sized', value))}"
    return f"a {type(value).__name__}"
