"""Verify that every installed file is what was installed, as a workflow on a real task queue.

    pip install -e ".[demo]" && python examples/verify_environment.py

One node for each installed distribution, after those that it requires: its task hashes the distribution's files and
compares them with its RECORD. A last node adds up. The queue is a Celery worker on a Redis, both started for this
run and stopped at its end; `--engine local` needs neither. `--graph FILE` replays another graph instead.

Exit code: 0 if every recorded hash matches, 1 if one does not, 2 if the workflow could not run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from processes import CannotRunError

try:
    from distributions import find_environment
    from engines import Engine, celery_engine, local_engine
    from figures import figures_of
    from graph_files import read_graph
    from rich.console import Console
    from rich.text import Text
    from telling import as_json, tell_environment, tell_figures, tell_outcome
    from watching import watch
    from workflows import Job, replay_graph, verify_environment

    from dyrygent_core import DyrygentError, UsageError, WorkflowState
except ImportError as missing:
    sys.exit(f'{missing}; first: pip install -e ".[demo]"')

VERIFIED: Final = 0
MISMATCHED: Final = 1
COULD_NOT_RUN: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        with _signals_as_exceptions():
            job = _job(options)
            _say(console, _described(job, options))
            for remark in job.remarks:
                _say(console, f"note: {remark}")
            return _run(job, options, console)
    except (CannotRunError, DyrygentError) as problem:
        print(f"verify_environment: {problem}", file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        print("verify_environment: interrupted; what was started is stopped", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Verify the installed distributions against their RECORDs, as a workflow.",
        epilog="Exit code: 0 if every recorded hash matches, 1 if one does not, 2 if the workflow could not run.",
    )
    parser.add_argument("--engine", choices=("celery", "local"), default="celery", help="default: celery")
    parser.add_argument("--redis", metavar="URL", help="use this Redis instead of starting one")
    parser.add_argument("--workers", type=_count, default=os.cpu_count() or 1, help="default: one per processor")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--site", type=Path, metavar="DIR", help="look at this folder of installed distributions")
    what.add_argument("--graph", type=Path, metavar="FILE", help="replay the graph of this JSON file instead")
    parser.add_argument("--scale", type=_factor, default=0.001, help="of the graph's run times; default: 0.001")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    return parser


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000")
    return value


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1000")
    return value


# What is run


def _job(options: argparse.Namespace) -> Job:
    """Check all that was given, and build the workflow; nothing has been started yet."""
    if options.redis is not None and options.engine == "local":
        raise UsageError("--redis is for --engine celery; drop one of the two")
    if options.json is not None and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        raise UsageError(f"--json {str(options.json)!r} is no file in a folder that exists")
    if options.graph is not None:
        try:
            return replay_graph(read_graph(options.graph), options.scale)
        except UsageError as problem:
            raise CannotRunError(f"--graph {str(options.graph)!r}: {problem}") from None
    if options.site is not None and not options.site.is_dir():
        raise UsageError(f"--site {str(options.site)!r} is no folder; give one that holds installed distributions")
    environment = find_environment(options.site)
    if not environment.distributions:
        raise UsageError(f"nothing is installed in {str(options.site or sys.prefix)!r}; give another --site")
    return verify_environment(environment)


def _described(job: Job, options: argparse.Namespace) -> str:
    what = f"the graph of {options.graph}" if options.graph is not None else f"{options.site or sys.prefix}"
    edges = sum(map(len, job.deps.values()))
    return f"{what}: {len(job.deps):,} nodes, {edges:,} edges, on {options.engine}"


def _run(job: Job, options: argparse.Namespace, console: Console) -> int:
    with contextlib.ExitStack() as cleanup:
        engine = cleanup.enter_context(_engine(options, console))
        run = engine.adapter.start(job.workflow, id=f"{job.workflow.name[:100]}-{secrets.token_hex(8)}")
        state = watch(run, engine, console)
        counts = run.state.counts
        figures = figures_of(run, job.deps, engine.workers)
        result = run.result() if state is WorkflowState.SUCCESS else None
        if result is not None:
            tell_environment(console, result)
        tell_outcome(console, state, counts)
        tell_figures(console, figures, engine.workers)
        if options.json is not None:
            _write(options.json, as_json(state, counts, result, figures, engine.workers))
        if state is not WorkflowState.SUCCESS:
            run.result()  # raises, with the node that failed first
    return MISMATCHED if result is not None and result["mismatch_count"] else VERIFIED


def _engine(options: argparse.Namespace, console: Console) -> contextlib.AbstractContextManager[Engine]:
    if options.engine == "local":
        return local_engine(options.workers)
    return celery_engine(options.workers, options.redis, lambda text: _say(console, text))


def _write(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as problem:
        raise CannotRunError(f"--json {str(path)!r} cannot be written: {problem.strerror}") from None


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the script as Ctrl-C does; a second one does not interrupt the cleaning up."""

    def interrupt(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
