"""What there is to know of one workflow: how it stands, why, how it came about, and its picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import click

from celery_dyrygent.command_line.asking import adapter_here, command, run_of
from celery_dyrygent.command_line.glance import Glance, Looker
from celery_dyrygent.command_line.texts import echo_json, escaped, instant, shown, took
from dyrygent_core import Attempt, Observation, Outcome, Status
from dyrygent_core.codec import encode_observation
from dyrygent_core.diagrams import dot, mermaid, tree
from dyrygent_core.phrases import clock, counted
from dyrygent_runtime import Run
from dyrygent_runtime.runs import listed

__all__ = ["explain_command", "graph_command", "history_command", "show_command"]

_LEAST_WIDTH: Final = 20
_WIDTH: Final = 120
"""Where it is no terminal."""


@command("show")
@click.argument("id")
@click.option(
    "--lines", type=click.IntRange(2, 10_000), default=40, show_default=True, help="Lines of the tree at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the status of every node.")
def show_command(context: Any, id: str, *, lines: int, as_json: bool) -> None:  # noqa: A002  # the argument's name
    """Tell how a workflow stands: its state, its nodes, and why nodes failed."""
    run = run_of(context, id)
    conductor = adapter_here(context).conductor
    glance = Looker(conductor, run.key).look()
    item = listed(conductor.journal, run.key)
    state = run.state
    if as_json:
        echo_json({**_as_json(glance, list(item.tags), item.created_ms), "nodes": _nodes(run)})
        return
    for line in _told(glance, item.tags, item.created_ms):
        click.echo(line)
    width = max(_LEAST_WIDTH, shutil.get_terminal_size((_WIDTH, 1)).columns)
    click.echo()
    click.echo(tree(state.graph, state, max_lines=lines, width=width))


def _told(glance: Glance, tags: tuple[str, ...], created_ms: int) -> Iterator[str]:
    paused = ", paused" if glance.is_paused and not glance.state.is_final else ""
    yield f"workflow  {shown(glance.key.id)}"
    if glance.name:
        yield f"name      {shown(glance.name)}"
    if tags:
        yield f"tags      {' '.join(map(shown, tags))}"
    yield f"state     {glance.state.name}{paused}{f', round {glance.round}' if glance.round > 1 else ''}"
    yield f"created   {instant(created_ms)}"
    yield f"took      {took(glance.elapsed_ms)}{'' if glance.state.is_final else ' so far'}"
    counts = ", ".join(f"{number:,} {status.name}" for status, number in glance.whole.counts.items())
    yield f"nodes     {glance.whole.done:,} of {glance.whole.total:,} are final: {counts}"
    for node in glance.running:
        yield f"running   {shown(node.attempt.node)}  {took(node.for_ms)} on {shown(node.worker)}"
    for failed in glance.failed:
        yield f"failed    {shown(failed.node)}  {shown(failed.reason)}"
    more = glance.whole.counts.get(Status.FAILED, 0) - len(glance.failed)
    if more > 0:
        yield f"failed    and {more:,} more"


def _as_json(glance: Glance, tags: list[str], created_ms: int) -> dict[str, Any]:
    return {
        "id": glance.key.id,
        "name": glance.name,
        "tags": tags,
        "state": glance.state.name,
        "round": glance.round,
        "is_paused": glance.is_paused,
        "created_ms": created_ms,
        "elapsed_ms": glance.elapsed_ms,
        "counts": {status.name: number for status, number in glance.whole.counts.items()},
        "failed": [{"node": it.node, "reason": it.reason} for it in glance.failed],
    }


def _nodes(run: Run) -> dict[str, str]:
    return {node: status.name for node, status in run.statuses.items()}


@command("explain")
@click.argument("id")
@click.argument("node")
@click.option("--story", "with_story", is_flag=True, help="Also all that was observed of it, in order.")
def explain_command(context: Any, id: str, node: str, *, with_story: bool) -> None:  # noqa: A002  # as above
    """Say why a node has or has not run."""
    run = run_of(context, id)
    click.echo(escaped(run.explain(node)))
    for line in run.story(node) if with_story else ():
        click.echo(escaped(line))


@command("history")
@click.argument("id")
@click.option("--node", help="Only what was observed of this node, and what came of it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: position, nonce, observation.")
def history_command(context: Any, id: str, *, node: str | None, as_json: bool) -> None:  # noqa: A002  # as above
    """Print the journal of a workflow: everything that was observed, in order."""
    run = run_of(context, id)
    if node is not None and not as_json:
        for line in run.story(node):
            click.echo(escaped(line))
        return
    if node is not None:
        run.status(node)  # which refuses one that is not there
    entries = run.history()
    begun_ms = entries[0].observation.at_ms if entries else 0
    for entry in entries:
        fact = entry.observation
        if node is not None and _node_of(fact) not in (None, node):
            continue
        if as_json:
            written = json.loads(encode_observation(fact))
            echo_json({"position": entry.position, "nonce": entry.nonce, "observation": written})
        else:
            click.echo(f"#{entry.position} {clock(fact.at_ms - begun_ms)} {_said(fact)}")


def _node_of(fact: Observation) -> str | None:
    attempt: Attempt | None = getattr(fact, "attempt", None)
    return attempt.node if attempt is not None else getattr(fact, "node", None)


def _said(fact: Observation) -> str:
    """Say an observation in one line: its kind, the attempt, and the reason."""
    parts = [type(fact).__name__]
    if isinstance(fact, Outcome):
        attempt = fact.attempt
        index = f"[{attempt.index}]" if attempt.index else ""
        parts.append(f"{shown(attempt.node)}{index} attempt {attempt.number}")
        ran = getattr(fact, "ran", None)
        if ran is not None:
            parts.append(f"after {took(ran.duration_ms)} on {shown(ran.worker)}")
    elif (node := _node_of(fact)) is not None:
        parts.append(shown(node))
    why = getattr(fact, "reason", "") or str(getattr(fact, "failure", "") or "")
    nodes: tuple[str, ...] = getattr(fact, "nodes", ())
    if nodes:
        parts.append(counted(len(nodes), "node"))
    return f"{' '.join(parts)}{f': {shown(why)}' if why else ''}"


@command("graph")
@click.argument("id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "tree"]),
    default="mermaid",
    show_default=True,
    help="mermaid for Markdown, dot for Graphviz, tree for a terminal.",
)
@click.option("--max-nodes", type=click.IntRange(4), help="Nodes drawn at most; a larger graph is folded.")
@click.option("--no-status", is_flag=True, help="The graph alone.")
def graph_command(context: Any, id: str, *, form: str, max_nodes: int | None, no_status: bool) -> None:  # noqa: A002  # as above
    """Draw a workflow, with what has become of its nodes."""
    state = run_of(context, id).state
    seen = None if no_status else state
    if form == "tree":
        click.echo(tree(state.graph, seen, max_lines=max_nodes or 200))
        return
    draw = mermaid if form == "mermaid" else dot
    click.echo(draw(state.graph, seen) if max_nodes is None else draw(state.graph, seen, max_nodes=max_nodes))
