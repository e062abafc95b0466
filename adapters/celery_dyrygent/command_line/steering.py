"""What a workflow can be asked to do: each command is one request of its `Run`."""

from __future__ import annotations

from typing import Any

import click

from celery_dyrygent.command_line.asking import adapter_here, command, run_of
from celery_dyrygent.control import cancel
from dyrygent_core.errors import quoted
from dyrygent_runtime import Run

__all__ = ["cancel_command", "pause_command", "rerun_command", "resume_command", "skip_command"]

_reason = click.option("--reason", default="", help="Why; it is kept in the journal.")


@command("cancel")
@click.argument("id")
@_reason
@click.option("--terminate", is_flag=True, help="Also signal the processes that run its tasks (prefork and gevent).")
@click.option("--signal", "signal_name", default="SIGTERM", show_default=True, help="Which, with --terminate.")
def cancel_command(context: Any, id: str, *, reason: str, terminate: bool, signal_name: str) -> None:  # noqa: A002  # the argument's name
    """Stop a workflow: nothing more of it starts, and what Celery holds is revoked as best effort."""
    run = run_of(context, id)
    cancel(adapter_here(context), run, reason, terminate=signal_name if terminate else None)
    _tell(run)


@command("pause")
@click.argument("id")
@_reason
def pause_command(context: Any, id: str, *, reason: str) -> None:  # noqa: A002  # as above
    """Let nothing more start until `resume`; what runs goes on."""
    run = run_of(context, id)
    run.pause(reason)
    _tell(run)


@command("resume")
@click.argument("id")
def resume_command(context: Any, id: str) -> None:  # noqa: A002  # as above
    """End a pause."""
    run = run_of(context, id)
    run.resume()
    _tell(run)


@command("skip")
@click.argument("id")
@click.argument("node")
@_reason
def skip_command(context: Any, id: str, node: str, *, reason: str) -> None:  # noqa: A002  # as above
    """Let a workflow go on without one of its nodes."""
    run = run_of(context, id)
    run.skip(node, reason)
    click.echo(f"node {quoted(node)} of workflow {quoted(run.id)} is {run.status(node).name}")


@command("rerun")
@click.argument("id")
@click.argument("nodes", nargs=-1)
def rerun_command(context: Any, id: str, nodes: tuple[str, ...]) -> None:  # noqa: A002  # as above
    """Run again what failed or was cancelled, or these NODES, and what follows from them."""
    run = run_of(context, id)
    run.rerun(nodes)
    _tell(run)


def _tell(run: Run) -> None:
    """Say how the workflow is now: a request that came too late has changed nothing."""
    state = run.state
    paused = ", paused" if state.is_paused else ""
    again = f", round {state.round}" if state.round > 1 else ""
    stopping = ", stopping" if state.is_ending and not state.is_finished else ""
    click.echo(f"workflow {quoted(run.id)} is {state.workflow_state.name}{paused}{stopping}{again}")
