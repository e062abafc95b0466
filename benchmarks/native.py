"""`python -m benchmarks.native`: canvases as Celery runs them and as we do, on one worker, one after the other.

A run of ours stands between two of Celery's, and is divided by their mean. What is timed is what a user waits for:
from `apply_async` until `get` returns. It is a report: it ends with status 0, whatever the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import redis
from attrs import frozen

_REDIS: Final = "NATIVE_BENCHMARK_REDIS"
"""The variable in which the app finds its server."""
_LIMIT_S: Final = 300
_START_LIMIT_S: Final = 60
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@frozen
class Spent:
    """What one run took: seconds until the result, seconds of CPU of all processes but Redis, what Redis was told."""

    wall: float
    cpu: float
    commands: float
    sent_bytes: float


@frozen
class Shape:
    """A canvas, how many tasks it has, and what comes out of it."""

    name: str
    make: Callable[[], Any]
    tasks: int
    result: object


def shapes() -> dict[str, Shape]:
    """Return the canvases by name. Imports the app, so the server must be known by then."""
    from celery import chain, chord, group  # noqa: PLC0415  # see above

    from benchmarks.native_app import add, total  # noqa: PLC0415  # see above

    def chained(size: int) -> Shape:
        return Shape(f"chain of {size}", lambda: chain(add.s(0, 1), *[add.s(1) for _ in range(size - 1)]), size, size)

    def fan(size: int) -> Shape:
        header = [add.si(at, 1) for at in range(size)]
        return Shape(f"chord of {size}", lambda: chord(header, total.s()), size + 1, size * (size + 1) // 2)

    def ladder(rungs: int, width: int) -> Shape:
        def make() -> Any:
            steps: list[Any] = []
            for _ in range(rungs):
                steps += [group(add.si(at, 1) for at in range(width)), total.s()]
            return chain(*steps)

        return Shape(f"ladder of {rungs} x {width}", make, rungs * (width + 1), width * (width + 1) // 2)

    every = [chained(100), chained(1_000), fan(100), fan(1_000), ladder(10, 10)]
    return {it.name: it for it in every}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser("python -m benchmarks.native", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs of ours for each canvas, %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="child processes of the worker, %(default)s")
    parser.add_argument("--only", default="", help="canvases whose names hold this, such as 'chain'")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args(arguments)
    with _server() as (url, worker_log), _worker(asked.processes, worker_log) as worker:
        client = redis.Redis.from_url(url)
        chosen = [it for it in shapes().values() if asked.only in it.name]
        figures = [_compare(it, asked.pairs, client, worker) for it in chosen]
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _compare(shape: Shape, pairs: int, client: Any, worker: int) -> dict[str, object]:
    for way in (_natively, _by_us):
        _run(shape, way, client, worker)  # connections, caches, imports
    theirs = [_run(shape, _natively, client, worker)]
    ours: list[Spent] = []
    for _ in range(pairs):
        ours.append(_run(shape, _by_us, client, worker))
        theirs.append(_run(shape, _natively, client, worker))

    def ratios(what: Callable[[Spent], float]) -> list[float]:
        return [2 * what(it) / (what(theirs[at]) + what(theirs[at + 1])) for at, it in enumerate(ours)]

    def each(runs: Sequence[Spent], what: Callable[[Spent], float]) -> float:
        return median(what(it) for it in runs) / shape.tasks

    wall, cpu = ratios(lambda it: it.wall), ratios(lambda it: it.cpu)
    print(f"\n{shape.name}, {pairs} pairs: ours to native Celery")
    print(f"  wall      {median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})  ours {_ms(ours, shape)} ms a task")
    print(f"  CPU       {median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})")
    commands = each(ours, lambda it: it.commands), each(theirs, lambda it: it.commands)
    sent = each(ours, lambda it: it.sent_bytes), each(theirs, lambda it: it.sent_bytes)
    print(f"  commands  {commands[0]:.1f} a task, native {commands[1]:.1f}")
    print(f"  bytes     {sent[0]:,.0f} a task sent to Redis, native {sent[1]:,.0f}", flush=True)
    return {
        "canvas": shape.name,
        "wall": wall,
        "cpu": cpu,
        "commands": commands,
        "sent_bytes": sent,
        "ours_wall_s": [it.wall for it in ours],
        "native_wall_s": [it.wall for it in theirs],
    }


def _ms(runs: Sequence[Spent], shape: Shape) -> str:
    return f"{median(it.wall for it in runs) * 1e3 / shape.tasks:.2f}"


# One run


def _natively(canvas: Any) -> Any:
    return canvas.apply_async()


def _by_us(canvas: Any) -> Any:
    from celery_dyrygent.workflows import Workflow  # noqa: PLC0415  # imports the app's configuration

    workflow = Workflow()
    workflow.add_celery_canvas(canvas)
    return workflow.apply_async()


def _run(shape: Shape, way: Callable[[Any], Any], client: Any, worker: int) -> Spent:
    canvas = shape.make()
    before, cpu = client.info("stats"), _cpu_s(worker)
    start = time.perf_counter()
    result = way(canvas).get(timeout=_LIMIT_S)
    wall = time.perf_counter() - start
    time.sleep(0.2)  # what follows the result is work too: acknowledgements, the workflow's end
    after = client.info("stats")
    if result != shape.result:
        print(f"  {shape.name}: {way.__name__} came to {result!r}, not {shape.result!r}")
    return Spent(
        wall,
        _cpu_s(worker) - cpu,
        _difference("total_commands_processed", before, after),
        _difference("total_net_input_bytes", before, after),
    )


def _difference(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    return float(after[what] - before[what])


def _cpu_s(worker: int) -> float:
    """Give the CPU seconds so far of this process, of the worker, and of the worker's children (Linux)."""
    spent = time.process_time()
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text(encoding="ascii").split()
    for process in (str(worker), *children):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / _TICKS
    return spent


# A server and a worker of one's own


@contextmanager
def _server() -> Iterator[tuple[str, Path]]:
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("there is no redis-server on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
        server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        url = f"redis://127.0.0.1:{port}/0"
        os.environ[_REDIS] = url
        try:
            _until(lambda: _answers(url), "Redis does not start")
            yield url, Path(folder, "worker.log")
        finally:
            server.terminate()
            server.wait()


def _answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@contextmanager
def _worker(processes: int, log: Path) -> Iterator[int]:
    from benchmarks.native_app import app  # noqa: PLC0415  # only now is the server known

    options = ["--pool", "prefork", "--concurrency", str(processes), "--loglevel", "WARNING", "--without-gossip"]
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.native_app", "worker", *options, "--without-mingle"]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        _until(lambda: bool(app.control.ping(timeout=0.5, limit=1)), "the worker does not start")
        yield worker.pid
    finally:
        worker.terminate()
        worker.wait()


def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while not is_so():
        if time.monotonic() > limit:
            sys.exit(otherwise)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
