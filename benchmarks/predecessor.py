"""`python -m benchmarks.predecessor --python PATH`: ours beside celery-dyrygent's `Workflow.simulate_tick`.

`simulate_tick` takes all running tasks for done and finds what runs next, without Celery and without a network: the
part of its work that `advance` does. PATH is a Python that has it; README.md tells how to make one. The two are
paired like everything here: predecessor, ours, predecessor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from attrs import frozen

from benchmarks.contenders import KERNEL_BATCH, OBJECTS_BATCH, Contender, Given
from benchmarks.measuring import seconds
from benchmarks.shapes import SHAPES, Above, edges_of, graph_of

_SCRIPT: Final = Path(__file__).with_name("simulate_tick.py")


@frozen
class Ticks:
    """What one sample of the predecessor came to."""

    seconds: float
    ticks: int
    done: int
    size: int

    @property
    def node_seconds(self) -> float:
        """The time for each node of the part that was reached."""
        return self.seconds / max(1, self.done)

    @property
    def reached(self) -> str:
        """Which part that was."""
        if self.done == self.size:
            return f"{self.ticks:,} ticks"
        return f"{self.ticks:,} ticks, capped: {self.done:,} of {self.size:,} nodes"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser("python -m benchmarks.predecessor", description=__doc__)
    parser.add_argument("--python", required=True, help="a Python that has celery-dyrygent installed")
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="some of %(default)s")
    parser.add_argument("--repeat", type=int, default=7, help="pairs of samples")
    parser.add_argument("--limit", type=float, default=2.0, help="CPU seconds of a sample of the predecessor")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args(arguments)
    figures = [
        figure
        for shape in asked.shapes.split(",")
        for size in map(int, asked.sizes.split(","))
        for figure in _measure(asked.python, shape, size, asked.repeat, asked.limit)
    ]
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _measure(python: str, shape: str, size: int, rounds: int, limit: float) -> Iterator[dict[str, object]]:
    above = edges_of(shape, size)
    given = Given(above, graph_of(above))
    print(f"{shape}, {size:,} nodes")
    with _predecessor(python, above) as process:
        for contender in (KERNEL_BATCH, OBJECTS_BATCH):
            yield {"shape": shape, **_compare(process, given, contender, rounds, limit)}


def _compare(
    process: subprocess.Popen[str], given: Given, contender: Contender, rounds: int, limit: float
) -> dict[str, object]:
    size = len(given.above)
    ratios: list[float] = []
    before = _ask(process, limit)
    for _ in range(rounds):
        ours = seconds(lambda: contender.prepare(given)) / size
        after = _ask(process, limit)
        ratios.append((before.node_seconds + after.node_seconds) / 2 / ours)
        before = after
    print(
        f"  {contender.name:26}{median(ratios):8.1f} times faster"
        f"  ({min(ratios):.1f} – {max(ratios):.1f}), {rounds}; a node takes it {before.node_seconds * 1e6:,.1f} µs; "
        f"{before.reached}",
        flush=True,
    )
    return {
        "size": size,
        "what": contender.name,
        "times_faster": median(ratios),
        "ratios": ratios,
        "ticks": before.ticks,
        "done": before.done,
    }


@contextmanager
def _predecessor(python: str, above: Above) -> Generator[subprocess.Popen[str]]:
    """Start the other Python, apart from everything of ours: our package has the predecessor's name."""
    command = [python, "-I", str(_SCRIPT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        print(json.dumps(above), file=process.stdin, flush=True)
        yield process
        process.stdin.close()


def _ask(process: subprocess.Popen[str], limit: float) -> Ticks:
    assert process.stdin is not None
    assert process.stdout is not None
    print(limit, file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        raise SystemExit("the predecessor's Python gave no answer; see its error above")
    answer: dict[str, Any] = json.loads(line)
    return Ticks(**answer)


if __name__ == "__main__":
    main()
