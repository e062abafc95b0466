"""`celery -A proj workflow …`: look at workflows and steer them from a terminal, as a plug-in of Celery's command.

Each command asks one question of a `Run`, or makes one request; what that means is decided in the runtime. Here it is
decided how things are said: foreign text on one line without control characters, and numbers that a script can rely on.

    exit code   0     done; with `watch`, the workflow has ended in SUCCESS
                1     with `watch` only: it has ended otherwise
                2     the command cannot be right as it stands, and nothing was changed
                69    the journal or the broker cannot be reached (EX_UNAVAILABLE, as Celery's own commands)
                124   with `watch --timeout`: it has not ended in time (as of `timeout` in coreutils)
                130   interrupted
"""

from __future__ import annotations

import click

from celery_dyrygent.command_line.listing import delete_command, list_command, purge_command
from celery_dyrygent.command_line.showing import explain_command, graph_command, history_command, show_command
from celery_dyrygent.command_line.steering import (
    cancel_command,
    pause_command,
    rerun_command,
    resume_command,
    skip_command,
)
from celery_dyrygent.command_line.watching import watch_command

__all__ = ["workflow"]


@click.group()
def workflow() -> None:
    """List, watch, explain and steer the workflows of an app.

    ID is a workflow's id, or the beginning of one if only one begins so.
    """


for _command in (
    list_command,
    show_command,
    watch_command,
    explain_command,
    history_command,
    graph_command,
    cancel_command,
    pause_command,
    resume_command,
    skip_command,
    rerun_command,
    delete_command,
    purge_command,
):
    workflow.add_command(_command)
