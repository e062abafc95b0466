"""Graphs from files, and what is said of those that are none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from graph_files import GraphFile, GraphNode, read_graph
from workflows import replay_graph

from dyrygent_core import CycleError, DuplicateNodeError, UnknownNodeError, UsageError

NODES = {"note": "ignored", "nodes": [{"id": "b ['x']", "deps": ["a"], "runtime_s": 1.5}, {"id": "a", "deps": []}]}
READ = (GraphNode("b ['x']", ("a",), 1.5), GraphNode("a", ()))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_graph_is_read(tmp_path: Path, pack: Any) -> None:
    """Packed or not, whatever the file is called; a node may stand before those that it waits for."""
    path = tmp_path / "graph"
    path.write_bytes(pack(json.dumps(NODES).encode()))

    assert read_graph(path) == GraphFile("graph", READ)


def test_the_workflow_has_the_files_nodes_edges_and_scaled_times() -> None:
    """Each node sleeps for its run time times the scale."""
    job = replay_graph(GraphFile("graph", READ), scale=0.01)

    _, calls = job.workflow.build()
    assert job.deps == {"a": (), "b ['x']": ("a",)}
    assert [it.inputs.value["args"] for it in calls] == [[0.0], [0.015]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"nope", "is not JSON: Expecting value at line 1, column 1"),
        (b"\xff\xfe\x00", "is not JSON: byte 2"),
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (gzip.compress(b"{}" * 1000)[:-9], "looks like gzip, but cannot be unpacked"),
        (b"[1]", 'has no "nodes": it holds a JSON array'),
        (b'{"nods": []}', "has no \"nodes\": it holds an object with the keys 'nods'"),
        (b'{"nodes": []}', "at least one node"),
        (b'{"nodes": {"a": []}}', "not a JSON object"),
        (b'{"nodes": ["a"]}', "entry 0 of \"nodes\" is 'a'; write an object"),
        (b'{"nodes": [{"name": "a"}]}', 'entry 0 of "nodes" has no "id", only \'name\''),
        (b'{"nodes": [{"id": 3, "deps": []}]}', 'has the "id" 3; an id is a string'),
        (b'{"nodes": [{"id": "a"}]}', "node 'a' has no \"deps\""),
        (b'{"nodes": [{"id": "a", "deps": "b"}]}', "node 'a' has the \"deps\" 'b'; write a list"),
        (b'{"nodes": [{"id": "a", "deps": [null]}]}', "node 'a' has the \"deps\" [null]; write a list"),
        (b'{"nodes": [{"id": "a", "deps": [], "runtime_s": -1}]}', "node 'a' has the \"runtime_s\" -1;"),
        (b'{"nodes": [{"id": "a", "deps": [], "runtime_s": NaN}]}', "node 'a' has the \"runtime_s\" NaN;"),
        (b'{"nodes": [{"id": "a", "deps": [], "runtime_s": true}]}', "node 'a' has the \"runtime_s\" true;"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """The message names the value that is wrong."""
    path = tmp_path / "graph.json"
    path.write_bytes(content)

    with pytest.raises(UsageError) as refusal:
        read_graph(path)
    assert told in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As is a folder."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_graph(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_graph(tmp_path)


@pytest.mark.parametrize(
    ("nodes", "error", "told"),
    [
        ((GraphNode("load", ("extrakt",)), GraphNode("extract", ())), UnknownNodeError, "did you mean 'extract'"),
        ((GraphNode("a", ()), GraphNode("a", ())), DuplicateNodeError, "node 'a' is already in the workflow"),
        ((GraphNode("a", ("b",)), GraphNode("b", ("a",))), CycleError, "'a' -> 'b' -> 'a'"),
        ((GraphNode("\ud800", ()),), UsageError, "lone surrogate"),
    ],
)
def test_a_graph_that_is_none_is_refused(nodes: tuple[GraphNode, ...], error: type[UsageError], told: str) -> None:
    """The library itself says what is wrong, before anything is started."""
    with pytest.raises(error) as refusal:
        replay_graph(GraphFile("graph", nodes), scale=1)
    assert told in str(refusal.value)
