"""Read a graph from a JSON file: {"nodes": [{"id": "b", "deps": ["a"], "runtime_s": 1.5}, …]}, gzip or not.

`runtime_s` may be left out. Other keys are ignored. Nodes may stand in any order. That ids are unique, known and
form no cycle is checked where the workflow is built, by the library itself.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from dyrygent_core import UsageError
from dyrygent_core.errors import quoted

__all__ = ["GraphFile", "GraphNode", "read_graph"]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_MOST_BYTES: Final = 256 * 1024 * 1024
_LONGEST_S: Final = 1_000_000_000
_LONGEST_SHOWN: Final = 60
_FORM: Final = '{"nodes": [{"id": "b", "deps": ["a"], "runtime_s": 1.5}, …]}'


@frozen
class GraphNode:
    """One node of the file."""

    id: str
    deps: tuple[str, ...]
    runtime_s: float = 0.0


@frozen
class GraphFile:
    """A file that could be read."""

    name: str
    nodes: tuple[GraphNode, ...]


def read_graph(path: Path) -> GraphFile:
    """Read a graph; raises `UsageError` that names what is wrong and what to write instead."""
    content = _parsed(_read(path))
    if not isinstance(content, dict) or "nodes" not in content:
        kind = f"an object with the keys {_listed(content)}" if isinstance(content, dict) else _kind(content)
        message = f'has no "nodes": it holds {kind}; write {_FORM}'
        raise UsageError(message)
    nodes = content["nodes"]
    if not isinstance(nodes, list) or not nodes:
        message = f'must list at least one node in "nodes", not {_kind(nodes)}; write {_FORM}'
        raise UsageError(message)
    return GraphFile(path.name, tuple(_node(number, node) for number, node in enumerate(nodes)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if is_gzip else file).read(_MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        message = f"looks like gzip, but cannot be unpacked: {problem}; pack it again"
        raise UsageError(message) from None
    except (OSError, ValueError) as problem:  # ValueError: a path with NUL
        reason = getattr(problem, "strerror", None) or str(problem)
        message = f"cannot be read: {reason}; give the path of a JSON file"
        raise UsageError(message) from None
    if len(data) > _MOST_BYTES:
        message = f"holds more than {_MOST_BYTES // 1024**2} MiB; cut it down"
        raise UsageError(message)
    return data


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except json.JSONDecodeError as problem:
        reason = f"{problem.msg} at line {problem.lineno}, column {problem.colno}"
    except UnicodeDecodeError as problem:
        reason = f"byte {problem.start} is no {problem.encoding}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as problem:  # a number with thousands of digits
        reason = str(problem)
    message = f"is not JSON: {reason}; write {_FORM}"
    raise UsageError(message)


def _node(number: int, node: Any) -> GraphNode:
    where = f'entry {number} of "nodes"'
    if not isinstance(node, dict):
        message = f'{where} is {_kind(node)}; write an object such as {{"id": "b", "deps": ["a"]}}'
        raise UsageError(message)
    if "id" not in node:
        message = f'{where} has no "id", only {_listed(node)}; give it one'
        raise UsageError(message)
    node_id = node["id"]
    if not isinstance(node_id, str) or not node_id:
        message = f'{where} has the "id" {_shown(node_id)}; an id is a string that is not empty'
        raise UsageError(message)
    return GraphNode(node_id, _deps(node_id, node), _runtime_s(node_id, node.get("runtime_s", 0.0)))


def _deps(node_id: str, node: dict[str, Any]) -> tuple[str, ...]:
    if "deps" not in node:
        message = f'node {quoted(node_id)} has no "deps"; write "deps": [] if it waits for nothing'
        raise UsageError(message)
    deps = node["deps"]
    if not isinstance(deps, list) or not all(isinstance(it, str) for it in deps):
        message = f'node {quoted(node_id)} has the "deps" {_shown(deps)}; write a list of ids, such as ["a"]'
        raise UsageError(message)
    return tuple(deps)


def _runtime_s(node_id: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LONGEST_S:
        message = f'node {quoted(node_id)} has the "runtime_s" {_shown(value)}; write seconds, from 0 to {_LONGEST_S:,}'
        raise UsageError(message)
    return float(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _kind(value: Any) -> str:
    match value:
        case []:
            return "an empty list"
        case dict() | list():
            return f"a JSON {'object' if isinstance(value, dict) else 'array'}"
        case _:
            return _shown(value)


def _listed(content: dict[str, Any]) -> str:
    return ", ".join(quoted(key) for key in list(content)[:5]) or "nothing"
