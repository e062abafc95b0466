"""`python -m benchmarks.dramatiq_native redis://localhost:6379/9`: pipelines as Dramatiq runs them and as we do.

One worker of Dramatiq's command line with one process, on a Redis database of yours that is flushed. A run of ours
stands between two of Dramatiq's, and is divided by their mean; what is timed is from the start until the result is
read. It is a report: it ends with status 0, whatever the figures.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

_LIMIT_S: Final = 120
_SIZE: Final = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Run so many pairs, and print what they took."""
    parser = argparse.ArgumentParser("python -m benchmarks.dramatiq_native", description=__doc__)
    parser.add_argument("redis", help="URL of an empty database, which is flushed")
    parser.add_argument("--pairs", type=int, default=5, help="runs of ours, %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="threads of the worker, %(default)s")
    parser.add_argument("--poll", type=int, default=1_000, help="dramatiq_worker_timeout, %(default)s ms")
    asked = parser.parse_args(arguments)
    os.environ["DRAMATIQ_BENCHMARK_REDIS"] = asked.redis
    from benchmarks.dramatiq_app import broker  # noqa: PLC0415  # it reads the variable

    broker.client.flushdb()
    command = [sys.executable, "-m", "dramatiq", "benchmarks.dramatiq_app", "-p", "1", "-t", str(asked.threads)]
    environment = {**os.environ, "dramatiq_worker_timeout": str(asked.poll)}
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _compare(asked.pairs)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        broker.client.flushdb()


def _compare(pairs: int) -> None:
    for way in (_natively, _by_us):
        _seconds(way)  # connections, caches, imports
    theirs, ours = [_seconds(_natively)], list[float]()
    for _ in range(pairs):
        ours.append(_seconds(_by_us))
        theirs.append(_seconds(_natively))
    ratios = [2 * it / (theirs[at] + theirs[at + 1]) for at, it in enumerate(ours)]
    print(f"pipeline of {_SIZE}, {pairs} pairs: ours to Dramatiq's")
    print(f"  wall  {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"  ours {median(ours) * 1e3 / _SIZE:.2f} ms a message, Dramatiq's {median(theirs) * 1e3 / _SIZE:.2f}")


def _seconds(way: Callable[[Any], object]) -> float:
    from dramatiq import pipeline  # noqa: PLC0415  # not before the broker is set

    from benchmarks.dramatiq_app import add  # noqa: PLC0415  # as above

    composition = pipeline([add.message(0, 1), *(add.message(1) for _ in range(_SIZE - 1))])
    begun = time.perf_counter()
    result = way(composition)
    took = time.perf_counter() - begun
    assert result == _SIZE, result
    return took


def _natively(composition: Any) -> object:
    return composition.run().get_result(block=True, timeout=_LIMIT_S * 1_000)


def _by_us(composition: Any) -> object:
    from benchmarks.dramatiq_app import adapter  # noqa: PLC0415  # it reads the variable
    from dramatiq_dyrygent import Workflow  # noqa: PLC0415  # beside it

    workflow = Workflow()
    workflow.add_composition(composition)
    run = adapter.start(workflow)
    run.wait(_LIMIT_S)
    return run.result()


if __name__ == "__main__":
    main()
