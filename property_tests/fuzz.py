"""Run any number of random schedules, and say what they have broken.

    python -m property_tests.fuzz --schedules 1000000 --file counts.json

Each schedule is a workflow of the toolkit's strategies, with outcomes, an order, workers, requests and faults, on the
real conductors and sweeps; it follows from the seed and its number alone, on any machine. With a file the counts are
kept in it, and the same command goes on where it was interrupted, also by `kill -9`. What breaks a promise is made
smaller and printed; with a file it is also written beside it. `--only 4711` runs that one schedule again.

Exit status: 0 if nothing was broken, 1 if something was, 2 for arguments or a file that do not fit.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from attrs import define, field

from dyrygent_testing import violations_in
from property_tests.counts import Counts, CountsError
from property_tests.lives import SHARED, Life, life_of, lived
from property_tests.pools import pool_of
from property_tests.shrinking import shrunk, violated
from property_tests.tally import Tally, possible, table

__all__ = ["fuzz", "main"]

_AHEAD: Final = 3
"""Batches that each process has before it, so that none waits for another."""
_BETWEEN_LINES_S: Final = 10.0
_BETWEEN_SAVES_S: Final = 1.0
_MOST_STORIES: Final = 10
"""So many of those that break something are made smaller; of more it is likely that they are the same."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    asked = _parsed(arguments)
    if asked.only is not None:
        return _one(asked)
    counts = Counts(asked.seed, asked.nodes, asked.first)
    try:
        if asked.file is not None:
            counts.go_on_with(asked.file)
            counts.save(asked.file)
    except (CountsError, OSError) as problem:
        print(f"fuzz: {problem}", file=sys.stderr)
        return 2
    try:
        fuzz(counts, asked.schedules, processes=asked.processes, file=asked.file, out=sys.stdout)
    except KeyboardInterrupt:
        print(f"interrupted after {counts.tally.schedules:,} schedules", file=sys.stderr)
        return 130
    print(_told(counts, with_table=asked.table))
    return 1 if counts.tally.broken else 0


def fuzz(
    counts: Counts, schedules: int, *, processes: int, file: Path | None = None, out: TextIO | None = None
) -> None:
    """Count on, until there are so many schedules; keep the counts in a file, and tell how it goes.

    In processes of their own, of which each takes a batch at a time. The batches are counted in their order, so that
    the digest of all does not depend on who was quicker.
    """
    last = counts.first + schedules
    saved_s, stories = time.monotonic(), 0
    batches = iter(_batches(counts.next, last))
    with _progress(counts, schedules, out) as tell, pool_of(processes) as pool:
        waiting: deque[Future[Tally]] = deque()
        try:
            while True:
                while len(waiting) < processes * _AHEAD and (batch := next(batches, None)):
                    waiting.append(pool.submit(_judged, counts.seed, counts.nodes, *batch))
                if not waiting:
                    break
                tally = waiting.popleft().result()
                counts.add(tally)
                if file is not None and time.monotonic() - saved_s > _BETWEEN_SAVES_S:
                    counts.save(file)
                    saved_s = time.monotonic()
                for number in sorted(tally.broken):
                    if stories < _MOST_STORIES:
                        stories += 1
                        _keep(number, pool.submit(_story, counts.seed, counts.nodes, number).result(), file, out)
                tell()
        finally:
            for future in waiting:
                future.cancel()
            if file is not None:
                counts.save(file)


def _batches(first: int, last: int) -> Iterator[tuple[int, int]]:
    while first < last:
        after = min(last, (first // SHARED + 1) * SHARED)
        yield first, after
        first = after


# In the processes


def _judged(seed: int, nodes: int, first: int, last: int) -> Tally:
    """Run and judge schedules `first` to `last`, without this one."""
    tally = Tally()
    began_s = time.process_time()
    for number in range(first, last):
        life = life_of(seed, number, nodes=nodes)
        try:
            trace = lived(life)
            tally.count(number, trace, violations_in(trace))
        except Exception:  # noqa: BLE001  # an error of the simulation itself
            tally.schedules += 1
            tally.broken[number] = tuple(map(str, violated(life)))
    tally.seconds = time.process_time() - began_s
    return tally


def _story(seed: int, nodes: int, number: int) -> str:
    """Tell how a schedule breaks a promise, as small as it is found to do so."""
    return _told_of(shrunk(life_of(seed, number, nodes=nodes), seed), number)


def _told_of(life: Life, number: int) -> str:
    graph = life.workflow.build()[0].graph
    lines = [
        f"schedule {number}; smaller:" if life.number == number else f"schedule {number}; smaller, from {life.number}:",
        *(f"  {violation}" for violation in violated(life)),
        "workflow:",
        *(f"  {node!r}" for node in graph.nodes),
        f"  max_in_flight={graph.max_in_flight}, mode={graph.mode.name}, deadline_ms={graph.deadline_ms}",
        f"simulate(…, order={life.order!r}, durations={life.durations}, workers={life.workers}, copies={life.copies},",
        f"  outcomes={dict(life.outcomes)},",
        f"  requests={life.requests},",
        f"  faults={life.faults},",
        f"  seed={life.seed})",
    ]
    try:
        lines += [str(lived(life))]
    except Exception as problem:  # noqa: BLE001  # told above
        lines += [repr(problem)]
    return "\n".join(lines)


# What a user sees


def _one(asked: argparse.Namespace) -> int:
    """Run one schedule, and tell all of it."""
    life = life_of(asked.seed, asked.only, nodes=asked.nodes)
    found = violated(life)
    print(_told_of(life, asked.only))
    if not found:
        print(f"schedule {asked.only}: nothing is violated; digest {lived(life).digest}")
        return 0
    print()
    print(_story(asked.seed, asked.nodes, asked.only))
    return 1


def _keep(number: int, story: str, file: Path | None, out: TextIO | None) -> None:
    if out is not None:
        print(f"\nBROKEN {story}\n", file=out, flush=True)
    if file is not None:
        folder = file.with_name(f"{file.stem}.broken")
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.txt").write_text(story, encoding="utf-8")


def _told(counts: Counts, *, with_table: bool) -> str:
    tally = counts.tally
    missing = sorted(possible() - tally.struck.keys())
    speed = tally.schedules / tally.seconds if tally.seconds else 0.0
    lines = [
        f"{tally.schedules:,} schedules of seed {counts.seed} from {counts.first:,} on, {speed:.0f} a second and core",
        f"workflows: {', '.join(f'{count:,} {state}' for state, count in sorted(tally.states.items()))}",
        f"executions: {tally.executions:,}; entries: {tally.entries:,}; faults: {tally.struck.total():,}",
        f"kinds of faults at places: {len(possible()) - len(missing)} of {len(possible())} have struck",
        *(f"  never: {kind} at {place}" for place, kind in missing[:20]),
        f"digest of all traces: {counts.digest}",
        f"broken: {len(tally.broken)}",
        *(f"  {number}: {told[0]}" for number, told in list(tally.broken.items())[:20]),
    ]
    if with_table:
        lines += ["", "how often each kind of fault has struck at each place:", "", table(tally.struck)]
    return "\n".join(lines)


@contextmanager
def _progress(counts: Counts, schedules: int, out: TextIO | None) -> Iterator[Any]:
    """Show how far it is: a bar on a terminal, and else a line now and then."""
    if out is None:
        yield lambda: None
    elif out.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  # on a terminal only

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns) as bar:
            task = bar.add_task("", total=schedules, completed=counts.tally.schedules)
            yield lambda: bar.update(
                task, completed=counts.tally.schedules, description=f"{len(counts.tally.broken)} broken"
            )
    else:
        yield _Lines(counts, schedules, out).tell


@define
class _Lines:
    counts: Counts
    schedules: int
    out: TextIO
    began: tuple[float, int] = field(init=False)
    told_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.told_s = time.monotonic()
        self.began = self.told_s, self.counts.tally.schedules

    def tell(self) -> None:
        now_s = time.monotonic()
        done = self.counts.tally.schedules
        if now_s - self.told_s < _BETWEEN_LINES_S and done < self.schedules:
            return
        self.told_s = now_s
        speed = (done - self.began[1]) / max(now_s - self.began[0], 1e-9)
        left_s = (self.schedules - done) / speed
        print(
            f"{done:,} of {self.schedules:,} schedules, {speed:.0f} a second, {left_s / 60:.0f} min left; "
            f"{len(self.counts.tally.broken)} broken",
            file=self.out,
            flush=True,
        )


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m property_tests.fuzz", description=__doc__.splitlines()[0])
    whole = partial(_whole, least=1)
    parser.add_argument("--schedules", type=whole, default=1_000, help="how many there are to be (1000)")
    parser.add_argument("--seed", type=int, default=0, help="another makes other schedules (0)")
    parser.add_argument("--first", type=partial(_whole, least=0), default=0, help="the number of the first (0)")
    parser.add_argument("--nodes", type=whole, default=6, help="of a workflow at most; one of twenty has up to 20 (6)")
    parser.add_argument("--processes", type=whole, default=os.cpu_count() or 1, help="(as many as there are cores)")
    parser.add_argument("--file", type=Path, help="keeps the counts, and goes on with those that it has")
    parser.add_argument("--only", type=partial(_whole, least=0), metavar="NUMBER", help="runs this one, and tells all")
    parser.add_argument("--table", action="store_true", help="shows which faults have struck where")
    return parser.parse_args(arguments)


def _whole(text: str, *, least: int) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is less than {least}")
    return number


if __name__ == "__main__":
    sys.exit(main())
