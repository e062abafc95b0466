"""Which workflows there are, and how to get rid of old ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from celery_dyrygent.command_line.asking import adapter_here, command, run_of
from celery_dyrygent.command_line.texts import echo_json, instant, rows, shown, took
from dyrygent_core import WorkflowState
from dyrygent_core.errors import quoted
from dyrygent_core.ports import Listed
from dyrygent_runtime import OnUnfinished, page_of_runs, purge

__all__ = ["delete_command", "list_command", "purge_command"]

_LENGTHS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH: Final = re.compile(rf"(\d{{1,9}})([{''.join(_LENGTHS)}])")
_MOST_OF_A_LABEL: Final = 60


def _length(_context: click.Context, _option: click.Parameter, value: str) -> timedelta:
    """Read a length of time, or tell how it is written."""
    found = _LENGTH.fullmatch(value)
    try:
        if found is not None:
            return timedelta(**{_LENGTHS[found[2]]: int(found[1])})
    except OverflowError:
        pass
    message = f"{quoted(value)} is no length of time; write 90s, 15m, 2h, 7d or 1w"
    raise click.BadParameter(message)


def _instant(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """Read how long ago something was, or an ISO 8601 time, in this machine's zone unless it says another."""
    if value is None:
        return None
    try:
        if _LENGTH.fullmatch(value) is not None:
            return datetime.now(UTC) - _length(context, option, value)
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError):
        message = f"{quoted(value)} is no time; write how long ago (2h, 7d) or the time itself (2030-01-31T12:00)"
        raise click.BadParameter(message) from None


@command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(
        [state.name for state in WorkflowState if state is not WorkflowState.INITIAL], case_sensitive=False
    ),
    help="Only these; RUNNING stands for all that are not closed. May be given several times.",
)
@click.option("--name", help="Only workflows of exactly this name; '' for those without one.")
@click.option("--tag", "tags", multiple=True, help="Only workflows with this tag. May be given several times.")
@click.option(
    "--since", metavar="WHEN", callback=_instant, help="Only those created since: 2h, 7d, or an ISO 8601 time."
)
@click.option("--until", metavar="WHEN", callback=_instant, help="Only those created before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: workflows, following.")
def list_command(context: Any, *, limit: int, after: str | None, as_json: bool, **filters: Any) -> None:
    """List workflows, newest first."""
    page = page_of_runs(
        adapter_here(context).journal,
        limit=limit,
        after=after,
        states=filters["states"],
        name=filters["name"],
        tags=filters["tags"],
        created_from=filters["since"],
        created_to=filters["until"],
    )
    if as_json:
        echo_json({"workflows": list(map(_as_json, page.items)), "following": page.following})
        return
    for line in rows(["ID", "STATE", "CREATED", "TOOK", "NAME", "TAGS"], map(_row, page.items)):
        click.echo(line)
    if page.following is not None:
        click.echo(f"more: add --after {shown(page.following)}", err=True)


def _row(item: Listed) -> list[str]:
    lasted = "-" if item.closed_ms is None else took(item.closed_ms - item.created_ms)
    tags = " ".join(shown(tag, _MOST_OF_A_LABEL) for tag in item.tags)
    label = shown(item.name, _MOST_OF_A_LABEL) or "-"
    return [shown(item.key.id), item.state.name, instant(item.created_ms), lasted, label, tags or "-"]


def _as_json(item: Listed) -> dict[str, Any]:
    return {
        "id": item.key.id,
        "name": item.name,
        "tags": list(item.tags),
        "state": item.state.name,
        "created_ms": item.created_ms,
        "closed_ms": item.closed_ms,
    }


@command("delete")
@click.argument("id")
@click.option("--unfinished", is_flag=True, help="Even if it has not ended; what the engine holds of it still runs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(context: Any, id: str, *, unfinished: bool, yes: bool) -> None:  # noqa: A002  # the argument's name
    """Delete all that the journal holds of a workflow that has ended."""
    run = run_of(context, id)
    if not yes:
        click.confirm(f"Delete workflow {quoted(run.id)}?", abort=True)
    run.delete(on_unfinished=OnUnfinished.DELETE if unfinished else OnUnfinished.ERROR)
    click.echo(f"workflow {quoted(run.id)} is deleted")


@command("purge")
@click.option(
    "--closed-for",
    metavar="LENGTH",
    required=True,
    callback=_length,
    help="How long ago they must have ended: 12h, 30d.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge_command(context: Any, *, closed_for: timedelta, yes: bool) -> None:
    """Delete all workflows that have been closed for so long."""
    journal = adapter_here(context).journal
    if not yes:
        ago = took(int(closed_for.total_seconds() * 1000))
        click.confirm(
            f"Delete all workflows of namespace {quoted(journal.namespace)} that ended {ago} ago or earlier?",
            abort=True,
        )
    click.echo(f"{purge(journal, closed_for):,} deleted")
