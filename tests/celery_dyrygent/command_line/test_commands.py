"""What each command prints, changes and refuses."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from celery import Celery

from celery_dyrygent.command_line import workflow as command
from dyrygent_core import Begin, PauseRequested, Status, Workflow, WorkflowState, call
from dyrygent_core.codec import decode_observation
from tests.celery_dyrygent.command_line.conftest import HOSTILE, Terminal, terminal_over

# List


def test_list_finds_by_state_name_tag_and_time(terminal: Terminal) -> None:
    """All that is given must match; the newest is first."""
    terminal.start("first", name="a", tags=("eu", "daily"))
    terminal.start("second", name="b", tags=("daily",)).cancel()
    terminal.adapter.conductor.finish(terminal.adapter.conductor.refresh(terminal.start("third").key))

    def ids(*words: str) -> list[str]:
        return [item["id"] for item in terminal.read("list", *words)["workflows"]]

    assert ids() == ["third", "second", "first"]
    assert ids("--tag", "daily", "--tag", "eu") == ["first"]
    assert ids("--name", "b") == ["second"]
    assert ids("--state", "running", "--since", "1h") == ["third", "second", "first"]
    assert ids("--state", "SUCCESS", "--state", "FAILURE") == []
    assert ids("--until", "2020-01-31") == []


def test_list_goes_on_where_a_page_ended(terminal: Terminal) -> None:
    """A page that is not the last says how to read the next, apart from the table."""
    for number in range(3):
        terminal.start(f"w-{number}")

    first = terminal.read("list", "--limit", "2")
    assert [item["id"] for item in first["workflows"]] == ["w-2", "w-1"]
    second = terminal.read("list", "--limit", "2", "--after", first["following"])
    assert ([item["id"] for item in second["workflows"]], second["following"]) == (["w-0"], None)
    shown = terminal.say("list", "--limit", "2")
    assert shown.stderr == f"more: add --after {first['following']}\n"
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["ID", "STATE"],
        ["w-2", "RUNNING"],
        ["w-1", "RUNNING"],
    ]


# Show, explain, history, graph


def test_show_tells_state_nodes_and_why_they_failed(terminal: Terminal) -> None:
    """A person reads it as a page, a script as one JSON object."""
    run = terminal.start(tags=("eu",))
    terminal.end(run, "load", failing="no such file")

    text = terminal.told("show", "w-1")
    assert "state     FAILURE" in text
    assert "failed    load  ValueError: no such file" in text
    assert text.endswith("✗ FAILED load\n↓ ⊘ UPSTREAM_FAILED clean\n↓ ⊘ UPSTREAM_FAILED report\n")
    read = terminal.read("show", "w-1")
    assert (read["state"], read["tags"], read["round"]) == ("FAILURE", ["eu"], 1)
    assert read["failed"] == [{"node": "load", "reason": "ValueError: no such file"}]
    assert read["nodes"] == {"load": "FAILED", "clean": "UPSTREAM_FAILED", "report": "UPSTREAM_FAILED"}
    assert read["counts"] == {"FAILED": 1, "UPSTREAM_FAILED": 2}


def test_show_tells_what_runs_and_a_pause(terminal: Terminal) -> None:
    """What is in flight is no more than that until a worker has marked its start."""
    run = terminal.start()
    run.pause()

    text = terminal.told("show", "w-1")

    assert "state     RUNNING, paused" in text
    assert "nodes     0 of 3 are final: 2 WAITING, 1 SCHEDULED" in text


def test_explain_says_why_and_tells_the_story(terminal: Terminal) -> None:
    """One sentence, and on request all that was observed."""
    terminal.start()

    assert terminal.told("explain", "w-1", "report") == "'report' is WAITING: it waits for 'clean' (WAITING)\n"
    story = terminal.told("explain", "w-1", "load", "--story").splitlines()
    assert story[1:] == ["#1 +0:00:00.000 the workflow began -> SCHEDULED, attempt 1"]


def test_history_prints_the_journal(terminal: Terminal) -> None:
    """Line by line for a person, each entry whole for a script, and of one node with what came of it."""
    run = terminal.start()
    terminal.end(run, "load")
    run.pause("lunch")

    lines = [line.split(" ", 2)[2] for line in terminal.told("history", "w-1").splitlines()]
    assert lines == ["Begin", "Succeeded load attempt 1", "PauseRequested: lunch"]
    written = [json.loads(line) for line in terminal.told("history", "w-1", "--json").splitlines()]
    facts = [decode_observation(json.dumps(it["observation"]).encode()) for it in written]
    assert (type(facts[0]), type(facts[-1])) == (Begin, PauseRequested)
    assert [it["position"] for it in written] == [1, 2, 3]
    assert terminal.told("history", "w-1", "--node", "clean").splitlines()[1].endswith("-> SCHEDULED, attempt 1")


@pytest.mark.parametrize(
    ("words", "begin"), [((), "flowchart"), (("--format", "dot"), "digraph"), (("--format", "tree"), "▶ SCHEDULED")]
)
def test_graph_draws_in_each_format(terminal: Terminal, words: tuple[str, ...], begin: str) -> None:
    """The picture is all that is printed, so it can be piped; without statuses it is the graph alone."""
    terminal.start()

    assert terminal.told("graph", "w-1", *words).startswith(begin)
    assert "SCHEDULED" not in terminal.told("graph", "w-1", *words, "--no-status")


# Steer


def test_a_workflow_is_paused_resumed_and_cancelled(terminal: Terminal) -> None:
    """Each request is recorded with its reason, and the answer tells how the workflow is now."""
    run = terminal.start()
    terminal.end(run, "load")

    assert terminal.told("pause", "w-1", "--reason", "lunch") == "workflow 'w-1' is RUNNING, paused\n"
    assert run.state.is_paused
    assert terminal.told("resume", "w-1") == "workflow 'w-1' is RUNNING\n"
    assert terminal.told("cancel", "w-1", "--reason", "wrong day") == "workflow 'w-1' is RUNNING, stopping\n"
    assert run.status("report") is Status.CANCELLED
    terminal.end(run, "clean")
    assert terminal.told("pause", "w-1") == "workflow 'w-1' is CANCELLED\n"
    reasons = [getattr(entry.observation, "reason", None) for entry in run.history()]
    assert [reason for reason in reasons if reason] == ["lunch", "wrong day"]


def test_a_node_is_skipped(terminal: Terminal) -> None:
    """The workflow goes on without it."""
    run = terminal.start()

    assert terminal.told("skip", "w-1", "clean") == "node 'clean' of workflow 'w-1' is SKIPPED\n"
    terminal.end(run, "load")
    assert run.workflow_state is WorkflowState.SUCCESS


def test_what_failed_runs_again(terminal: Terminal) -> None:
    """All of it, or the nodes that are named."""
    run = terminal.start()
    terminal.end(run, "load", failing="once")

    assert terminal.told("rerun", "w-1") == "workflow 'w-1' is RUNNING, round 2\n"
    terminal.end(run, "load", failing="twice")
    assert terminal.told("rerun", "w-1", "load") == "workflow 'w-1' is RUNNING, round 3\n"
    assert run.state.attempt("load").number == 3


def test_a_workflow_is_deleted_after_a_question(terminal: Terminal) -> None:
    """Without a yes nothing is deleted; one that has not ended takes another word."""
    run = terminal.start()

    assert terminal.say("delete", "w-1").exit_code == 1  # nobody answers
    assert "cancel it and wait" in terminal.refused("delete", "w-1", "--yes")
    assert run.workflow_state is WorkflowState.RUNNING
    assert terminal.told("delete", "w-1", "--yes", "--unfinished") == "workflow 'w-1' is deleted\n"
    assert terminal.read("list")["workflows"] == []


def test_old_workflows_are_purged(terminal: Terminal) -> None:
    """What is closed for so long is deleted; what is open stays."""
    run = terminal.start("ended")
    for node in ("load", "clean", "report"):
        terminal.end(run, node)
    terminal.start("open")

    assert terminal.told("purge", "--closed-for", "1d", "--yes") == "0 deleted\n"
    assert terminal.told("purge", "--closed-for", "0s", "--yes") == "1 deleted\n"
    assert [item["id"] for item in terminal.read("list")["workflows"]] == ["open"]


# Which workflow


def test_the_beginning_of_an_id_is_enough_where_no_other_begins_so(terminal: Terminal) -> None:
    """A whole id is always itself; a beginning that several have is refused, naming them."""
    for workflow_id in ("order-7", "order-77", "stock-1"):
        terminal.start(workflow_id)

    assert terminal.read("show", "sto")["id"] == "stock-1"
    assert terminal.read("show", "order-7")["id"] == "order-7"
    said = terminal.refused("cancel", "order")
    assert "2 workflows have ids that begin with 'order': 'order-77', 'order-7'; write more of it" in said
    assert [item["state"] for item in terminal.read("list")["workflows"]] == ["RUNNING"] * 3


# Refusals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "w-2"], "no workflow 'w-2' is in the journal of namespace 'shop'; 'workflow list'"),
        (["explain", "w-1", "lod"], "the workflow has no node 'lod'; did you mean 'load'?"),
        (["skip", "w-1", "xyz"], "the workflow has no node 'xyz'; 'workflow show' tells its nodes"),
        (["history", "w-1", "--node", "xyz", "--json"], "has no node 'xyz'"),
        (["show", ""], "1 to 255 characters"),
        (["rerun", "w-1"], "is in RUNNING; only one that has ended"),
        (["cancel", "w-1", "--terminate", "--signal", "SIGFOO"], "'SIGFOO' is no signal of this system"),
        (["cancel", "w-1", "--reason", "x" * 10_001], "a reason has at most 10,000 characters"),
        (["list", "--since", "yesterday"], "'yesterday' is no time; write how long ago (2h, 7d)"),
        (["list", "--since", "999999999w"], "'999999999w' is no length of time"),
        (["list", "--after", "nowhere"], "nowhere"),
        (["list", "--state", "LOST"], "'LOST' is not one of"),
        (["purge", "--closed-for", "soon"], "'soon' is no length of time; write 90s, 15m, 2h, 7d or 1w"),
        (["show", HOSTILE], "no workflow 'a\\x1b[31m[bold red]b"),
    ],
)
def test_what_cannot_be_right_changes_nothing(terminal: Terminal, words: list[str], said: str) -> None:
    """Exit code 2, one message that tells the repair, nothing on standard output, no new entry."""
    run = terminal.start()

    message = terminal.refused(*words)

    assert said in " ".join(message.split())
    assert "Traceback" not in message
    assert len(run.history()) == 1


def test_an_app_without_a_journal_is_told_which_setting_to_add() -> None:
    """Whoever forgot to name the app at all is told that."""
    assert "set app.conf.dyrygent_journal = 'redis://…' or 'sqlite:///…'" in terminal_over(None).refused("list")
    nameless = Terminal(Celery(broker="memory://", set_as_current=False))
    assert "name your app: celery -A proj workflow" in nameless.refused("list")


def test_a_store_that_is_away_has_an_exit_code_of_its_own() -> None:
    """A script can tell it from a mistake, and no password is printed."""
    result = terminal_over("redis://:secret@127.0.0.1:1/0").say("list")

    assert (result.exit_code, result.stdout) == (69, "")
    assert "127.0.0.1:1" in result.stderr
    assert "secret" not in result.stderr


# Foreign text


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", HOSTILE],
        ["explain", HOSTILE, HOSTILE, "--story"],
        ["history", HOSTILE],
        ["history", HOSTILE, "--node", HOSTILE],
        ["graph", HOSTILE],
        ["graph", HOSTILE, "--format", "dot"],
        ["graph", HOSTILE, "--format", "tree"],
        ["pause", HOSTILE],
        ["skip", HOSTILE, HOSTILE],
        ["watch", HOSTILE, "--timeout", "0"],
    ],
    ids=lambda words: words[0],
)
def test_no_control_character_of_an_id_or_an_error_is_printed(terminal: Terminal, words: list[str]) -> None:
    """Ids, names, tags, reasons and errors come out printable, whatever they hold; brackets stay as they are."""
    workflow = Workflow(HOSTILE)
    workflow.add(call("load"), id=HOSTILE)
    workflow.add(call("load"), id="other")
    run = terminal.adapter.start(workflow, id=HOSTILE, tags=[HOSTILE])
    terminal.end(run, HOSTILE, failing=HOSTILE)

    result = terminal.say(*words)  # which looks at every character

    assert result.exit_code == (124 if words[0] == "watch" else 0), result.output
    assert "[bold red]b" in html.unescape(result.output.replace("#", "&#"))  # in which Mermaid writes brackets


# On other stores


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_commands_work_on_a_store_that_lasts(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """What one process started is found, told and watched by another."""
    url = f"sqlite:///{tmp_path}/journal.db" if store == "sqlite" else request.getfixturevalue("redis_url")
    there, here = terminal_over(url), terminal_over(url)
    run = there.start("lasting-1", tags=("eu",))
    for node in ("load", "clean"):
        there.end(run, node)

    assert [it["id"] for it in here.read("list", "--tag", "eu", "--name", "nightly")["workflows"]] == ["lasting-1"]
    assert here.read("show", "last")["counts"] == {"SCHEDULED": 1, "SUCCEEDED": 2}
    there.end(run, "report", failing="no paper")
    assert here.say("watch", "lasting-1").exit_code == 1
    assert here.told("rerun", "lasting-1") == "workflow 'lasting-1' is RUNNING, round 2\n"
    assert here.told("delete", "lasting-1", "--yes", "--unfinished") == "workflow 'lasting-1' is deleted\n"
    assert there.read("list", "--tag", "eu")["workflows"] == []


# As Celery's command


def test_celery_has_the_command() -> None:
    """It is found by its entry point, and tells of itself without an app."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "workflow", "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name}" in done.stdout for name in command.commands)


def test_every_command_and_option_says_what_it_is_for() -> None:
    """Help is the reference."""
    silent = [
        f"{name} {parameter.opts}"
        for name, it in command.commands.items()
        for parameter in it.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []
    assert all(it.help for it in command.commands.values())
