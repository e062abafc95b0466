"""Histories of real runs: saved, folded again, and held against the workflow as it is written today."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from celery import Celery, chain, group

from celery_dyrygent import register_workflow_processor
from celery_dyrygent.workflows import Workflow as CeleryWorkflow
from dyrygent_core import Entry, History, UnsupportedVersionError, UsageError, Workflow, WorkflowState, call
from dyrygent_testing import DivergenceError, Fault, RulesOf, replay, save_history, simulate
from local_dyrygent import LocalAdapter
from tests.later_rules import LATER

SECRET: Final = "jane@example.com"


def pages(
    *, load: str = "load", target: str = "load", tries: int = 2, told: str = "success", more: bool = False
) -> Workflow:
    """Build a workflow with a map that retries, a node that fails at first, and one that follows everything."""
    wf = Workflow("pages")
    find = wf.add(call("find", SECRET), id="find")
    fetch = wf.add(call("fetch", wf.item), id="fetch", each=find, max_attempts=tries)
    loaded = wf.add(call(target, fetch.result), id=load)
    wf.add(call("tell"), id="tell", after=[loaded if told == "success" else loaded.done])
    if more:
        wf.add(call("audit"), id="audit", after=[find])
    wf.finally_(call("unlock"), id="unlock")
    wf.returns({"for": SECRET, "sum": loaded.result})
    return wf


@pytest.fixture(scope="module")
def history() -> History:
    """Run it: one instance fails and is tried again, `load` fails, and a rerun repairs that."""
    todo = {"fetch": 1, "load": 1}

    def failing_once(name: str, value: Any) -> Any:
        if todo[name]:
            todo[name] -= 1
            raise ValueError(SECRET)
        return value

    functions: dict[str, Callable[..., Any]] = {
        "find": lambda _: [1, 2, 3],
        "fetch": lambda page: failing_once("fetch", page),
        "load": lambda numbers: failing_once("load", sum(numbers)),
        "tell": lambda: None,
        "unlock": lambda: None,
    }
    with LocalAdapter(functions) as adapter:
        run = adapter.start(pages(), id="pages-7")
        assert run.wait(timeout=10) is WorkflowState.FAILURE
        run.rerun()
        assert run.wait(timeout=10) is WorkflowState.SUCCESS
        assert run.result() == {"for": SECRET, "sum": 6}
        return run.history()


@pytest.fixture
def saved(history: History, tmp_path: Path) -> Path:
    """Save it."""
    path = tmp_path / "pages.json"
    save_history(history, path)
    return path


def test_a_history_is_the_sequence_of_its_entries(history: History) -> None:
    """Whoever asked a run for its entries goes on as before."""
    assert isinstance(history[0], Entry)
    assert len(history[1:]) == len(history) - 1 == len(list(history)) - 1
    assert [entry.position for entry in history] == list(range(1, len(history) + 1))


@pytest.mark.parametrize("detail", ["structure", "everything"])
@pytest.mark.parametrize("rules", list(RulesOf))
def test_a_saved_history_leads_to_the_same_again(history: History, tmp_path: Path, detail: str, rules: RulesOf) -> None:
    """By this release, and by the workflow as it was written."""
    save_history(history, tmp_path / "h.json", detail=detail)

    replayed = replay(tmp_path / "h.json", pages(), rules=rules)

    assert replayed.state.workflow_state is WorkflowState.SUCCESS
    assert replayed.changes == ()
    assert str(replayed) == f"'pages-7': {len(history)} entries lead to the same again, under rules 1"
    assert replay(history, pages()).state == replayed.state


def test_no_secret_is_saved_unless_it_is_asked_for(history: History, tmp_path: Path, saved: Path) -> None:
    """Neither arguments, nor what failures say, nor constants of the result, nor who ran it."""
    whole = tmp_path / "whole.json"
    save_history(history, whole, detail="everything")

    assert SECRET not in saved.read_text()
    assert "local@" not in saved.read_text()
    assert whole.read_text().count(SECRET) > 3
    assert json.loads(saved.read_text())["targets"] == ["find", "fetch", "load", "tell", "unlock"]


# What differs


def test_the_first_entry_that_emits_something_else_is_told(saved: Path) -> None:
    """With what was observed, what it emitted, what it emits today, why, and what was changed."""
    with pytest.raises(DivergenceError) as caught:
        replay(saved, pages(told="done"))

    text = str(caught.value).splitlines()
    assert text[0].startswith("replay of 'pages-7' diverges at entry ")
    assert text[0].endswith(": Failed 'load' with 'ValueError'")
    assert text[1:] == [
        "  it emitted 'unlock'",
        "  this workflow emits 'tell'",
        "  today: 'unlock' is WAITING: it waits until every ordinary node has ended; 1 has not",
        "  then: 'tell' is UPSTREAM_FAILED: it needs the success of 'load', which FAILED",
        "what differs in the workflow:",
        "  'tell': it waited for 'load', and waits for 'load' (done)",
    ]
    assert [it.node for it in caught.value.expected] == ["unlock"]
    assert [it.node for it in caught.value.emitted] == ["tell"]
    assert pickle.loads(pickle.dumps(caught.value)).position == caught.value.position  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("today", "told"),
    [
        (pages(load="load_all"), "node 'load' is gone; 'load_all', which calls the same, may be its new name"),
        (pages(load="sum", target="sum"), "node 'load' is gone"),
        (pages(load="sum", target="sum"), "node 'sum', which calls 'sum', is new"),
        (pages(more=True), "node 'audit', which calls 'audit', is new"),
        (pages(target="sum"), "'load' called 'load' then, and calls 'sum' today"),
        (pages(tries=1), "'fetch': max_attempts was 2, and is 1"),
    ],
)
def test_what_was_changed_is_named(saved: Path, today: Workflow, told: str) -> None:
    """Nodes that are new, gone or renamed, other tasks, other policies."""
    with pytest.raises(DivergenceError, match="what differs in the workflow") as caught:
        replay(saved, today)

    assert told in str(caught.value)


def test_what_changes_nothing_is_told_and_accepted(saved: Path) -> None:
    """A change that this history did not meet is listed."""
    replayed = replay(saved, pages(tries=3))

    assert replayed.changes == ("'fetch': max_attempts was 2, and is 3",)
    assert str(replayed).endswith("\n  without effect: 'fetch': max_attempts was 2, and is 3")


def failed_alone(*, allow_failure: bool = False) -> Workflow:
    wf = Workflow()
    wf.add(call("fail"), id="a", allow_failure=allow_failure)
    return wf


def test_another_end_is_a_difference(tmp_path: Path) -> None:
    """What is emitted may be the same while what becomes of the whole is not."""
    with LocalAdapter({"fail": lambda: 1 / 0}) as adapter:
        run = adapter.start(failed_alone(), id="w")
        run.wait(timeout=10)
        save_history(run.history(), tmp_path / "h.json")

    with pytest.raises(DivergenceError, match="the workflow was FAILURE then, and is SUCCESS today"):
        replay(tmp_path / "h.json", failed_alone(allow_failure=True))


# By another release


def test_what_an_earlier_release_emitted_is_what_counts(saved: Path) -> None:
    """A release that emits anything else, even in another order, is found out; so is one that ends otherwise."""
    written = saved.read_text()
    saved.write_text(written.replace('["fetch", 0, 1], ["fetch", 1, 1]', '["fetch", 1, 1], ["fetch", 0, 1]'))
    with pytest.raises(DivergenceError, match=r"(?s)entry 2 of .*this release emits 'fetch', 'fetch'\[1\]"):
        replay(saved)

    saved.write_text(written.replace('"state": "SUCCESS"', '"state": "FAILURE"'))
    with pytest.raises(DivergenceError, match="the workflow was FAILURE, and by this release is SUCCESS"):
        replay(saved)


def test_rules_to_come_can_be_tried(tmp_path: Path) -> None:
    """Under rules that decide otherwise, the first entry at which they do is told; the pinned ones still hold."""
    wf = Workflow()
    first = wf.add(call("first"), id="first")
    wf.add(call("repair"), id="repair", after=[first.failed])
    wf.add(call("last"), id="last", after=[first.done])
    with LocalAdapter({"first": int, "last": int, "repair": int}) as adapter:
        run = adapter.start(wf, id="w")
        run.wait(timeout=10)
        save_history(run.history(), tmp_path / "h.json")

    assert replay(tmp_path / "h.json", wf).state.graph.rules.version == 1
    with pytest.raises(DivergenceError, match=r"(?s)entry 2 .*this release, under rules 2 emits nothing.*'last' is"):
        replay(tmp_path / "h.json", rules=LATER)


# What cannot be read


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"v": 1,\n', '"v": 2,\n', "format '2'; this release reads format 1"),
        ('"rules":1', '"rules":9', "follows rules 9; this release knows rules 1 to 1"),
        ('{"v":1,"t":"begin"}', '{"v":1,"t":"begun"}', "of the kind 'begun'"),
        ('"emitted":[["find"', '"emitted":[["fnd"', "emits 'fnd', which is no node"),
        ('"statuses": ["SUCCEEDED", ', '"statuses": [', "damaged"),
        ('"targets": ["find", ', '"targets": [', "damaged"),
        ('"state": "SUCCESS"', '"state": "GOOD"', "damaged"),
        ('"state":', '"stale":', "no field 'stale'"),
        ('"entries": [', '"entries": {', "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(saved: Path, old: str, new: str, told: str) -> None:
    """Another version, or a damaged one: the message names the file and what is wrong with it."""
    written = saved.read_text()
    assert old in written
    saved.write_text(written.replace(old, new, 1))

    with pytest.raises(UnsupportedVersionError, match=r"pages\.json") as caught:
        replay(saved)

    assert told in str(caught.value)


def test_half_a_file_is_refused(saved: Path) -> None:
    """Wherever it was cut."""
    written = saved.read_bytes()
    for end in range(0, len(written) - 2, 97):
        saved.write_bytes(written[:end])
        with pytest.raises(UnsupportedVersionError):
            replay(saved)


def test_what_is_no_history_is_refused(history: History, tmp_path: Path) -> None:
    """With what to write instead; and nothing is written."""
    with pytest.raises(UsageError, match=r"what run.history\(\) or trace.history gives"):
        save_history(history.entries, tmp_path / "h.json")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"trace.history gives, not <Trace"):
        save_history(simulate(pages()), tmp_path / "h.json")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="none of 'structure', 'everything'"):
        save_history(history, tmp_path / "h.json", detail="all")
    with pytest.raises(UsageError, match="the path of a saved history"):
        replay(history.entries)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="leave it out"):
        replay(history, pages)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="none of 'pinned', 'newest'"):
        replay(history, rules="old")
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "none.json")
    assert not (tmp_path / "h.json").exists()


# Elsewhere


def imported(app: Celery, *, more: bool = False) -> CeleryWorkflow:
    """Import a canvas, whose ids are made up each time."""
    tasks = [app.signature(name) for name in ("a", "b", "c", "d")]
    wf = CeleryWorkflow()
    wf.add_celery_canvas(chain(tasks[0], group(tasks[1:3] + ([app.signature("new")] if more else [])), tasks[3]))
    return wf


def test_ids_that_celery_made_up_are_no_difference(tmp_path: Path) -> None:
    """A canvas imported today is held against a run of the same canvas, and a step that it has more is named."""
    app = Celery("replays", set_as_current=False)
    app.conf.task_always_eager = True

    def told(*args: Any) -> list[Any]:
        return list(args)

    for name in ("a", "b", "c", "d"):
        app.task(told, name=name, shared=False)
    register_workflow_processor(app)
    run = imported(app).apply_async().run
    save_history(run.history(), tmp_path / "h.json")

    assert replay(tmp_path / "h.json", imported(app)).changes == ()
    with pytest.raises(DivergenceError, match=r"which calls 'new', is new") as raised:
        replay(tmp_path / "h.json", imported(app, more=True))
    told_of = str(raised.value)
    assert "  it emitted 'b', 'c'\n  this workflow emits 'b', 'c', 'new'\n" in told_of
    assert "'d': it waited for 'b', 'c', and waits for 'b', 'c', 'new'" in told_of


def test_production_needs_no_testing_tools_to_save_histories(saved: Path) -> None:
    """Neither Hypothesis nor pytest is loaded for that."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['hypothesis', 'pytest', 'celery']));"
        f"from dyrygent_testing import replay, save_history; save_history(replay({str(saved)!r}).history, 'again.json')"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=saved.parent)

    assert (saved.parent / "again.json").read_text() == saved.read_text()


@pytest.mark.parametrize("detail", ["structure", "everything"])
def test_a_simulated_run_is_saved_and_replayed_as_one_of_production(tmp_path: Path, detail: str) -> None:
    """There is one kind of history; a change of the workflow is told apart in both."""
    path = tmp_path / "simulated.json"
    trace = simulate(pages(), functions={"find": lambda _: [1, 2]}, faults=[Fault("worker.ran", 2, "crash")])

    save_history(trace.history, path, detail=detail)

    assert isinstance(trace.history, History)
    for again in (replay(path, pages()), replay(trace.history, pages())):
        assert again.state == trace.state
        assert again.changes == ()
    with pytest.raises(DivergenceError, match="'audit'"):
        replay(path, pages(more=True))
