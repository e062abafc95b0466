"""What a run can be asked, and what it can be asked to do, by name."""

from __future__ import annotations

from collections.abc import Callable

from dyrygent_runtime import Run

QUESTIONS: dict[str, Callable[[Run], object]] = {
    "name": lambda run: run.name,
    "state": lambda run: run.state,
    "workflow_state": lambda run: run.workflow_state,
    "statuses": lambda run: run.statuses,
    "progress": lambda run: run.progress,
    "status": lambda run: run.status("a"),
    "history": Run.history,
    "explain": lambda run: run.explain("a"),
    "story": lambda run: run.story("a"),
    "critical_path": Run.critical_path,
    "timeline": Run.timeline,
}

EVERYTHING: dict[str, Callable[[Run], object]] = {
    **QUESTIONS,
    "tags": lambda run: run.tags,
    "result": Run.result,
    "result of a node": lambda run: run.result("a"),
    "results": Run.results,
    "wait": lambda run: run.wait(5),
    "cancel": Run.cancel,
    "pause": Run.pause,
    "resume": Run.resume,
    "skip": lambda run: run.skip("a"),
    "rerun": Run.rerun,
    "delete": Run.delete,
    "delete anyway": lambda run: run.delete(on_unfinished="delete"),
}
