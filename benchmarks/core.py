"""`python -m benchmarks.core`: the core beside graphlib and networkx, as ratios, with the targets beside them.

It is a report: it ends with status 0, whatever the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from benchmarks import contenders, parts, targets
from benchmarks.contenders import Contender, Given
from benchmarks.latency import latency_of
from benchmarks.measuring import paired, rounds_for, seconds
from benchmarks.memory import memory_of
from benchmarks.shapes import MAX_EDGES, SHAPES, Above, edges_of, expected_edges, graph_of, with_mixed_rules
from benchmarks.storage import replay_seconds, replay_text_seconds, snapshot_of

_SIZES: Final = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
_PAIRS: Final = (
    (contenders.KERNEL_ONE, contenders.GRAPHLIB_ONE),
    (contenders.OBJECTS_ONE, contenders.GRAPHLIB_ONE),
    (contenders.KERNEL_BATCH, contenders.GRAPHLIB_BATCH),
    (contenders.OBJECTS_BATCH, contenders.GRAPHLIB_BATCH),
    (contenders.NETWORKX, contenders.GRAPHLIB_BATCH),
)
_MIXED_PAIRS: Final = (
    (contenders.KERNEL_BATCH, contenders.GRAPHLIB_BATCH),
    (contenders.OBJECTS_BATCH, contenders.GRAPHLIB_BATCH),
)
_GROWTH: Final = (10_000, 1_000_000)

Figures = dict[str, object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, and print it as it comes."""
    asked = _parser().parse_args(arguments)
    if asked.profile:
        shape, size = asked.profile
        parts.report(shape, _size(size))
        return
    sizes = [10_000] if asked.quick else [_size(it) for it in asked.sizes.split(",")]
    wanted = 3 if asked.quick else asked.repeat
    shapes = asked.shapes.split(",")
    if unknown := set(shapes) - set(SHAPES):
        sys.exit(f"no such shape: {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    print(f"Python {platform.python_version()}, {platform.machine()}; CPU time, garbage collection off.")
    print("Times ours to graphlib's: median, (least – greatest) of that many pairs, and CPU time per node.")
    figures: list[Figures] = []
    for shape in shapes:
        for size in sizes:
            figures += _measure(shape, size, rounds_for(size, wanted), wanted)
        figures += _growth(shape, figures)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.core", description=__doc__)
    parser.add_argument("--sizes", default="10k,100k,1m", help="nodes: 10k, 100k, 1m, or any number")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="some of %(default)s")
    parser.add_argument("--repeat", type=int, default=7, help="pairs of samples for each ratio")
    parser.add_argument("--quick", action="store_true", help="10,000 nodes, 3 pairs: to see that it works")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--profile", nargs=2, metavar=("SHAPE", "SIZE"), help="tell what one step consists of")
    return parser


def _size(text: str) -> int:
    return _SIZES.get(text.lower()) or int(text)


def _measure(shape: str, size: int, rounds: int, wanted: int) -> Iterator[Figures]:
    print(f"\n{shape}, {size:,} nodes", end="")
    if (edges := expected_edges(shape, size)) > MAX_EDGES:
        print(f": left out, about {edges:,} edges are more than the {MAX_EDGES:,} that fit everywhere")
        return
    print(f"; only {rounds} pairs each, a pair takes too long" if rounds < wanted else "")
    above = edges_of(shape, size)
    given = Given(above, graph_of(above))
    for ours, reference in _PAIRS:
        yield from _compare(shape, given, ours, reference, rounds)
    mixed = Given(above, with_mixed_rules(above))
    for ours, reference in _MIXED_PAIRS:
        named = attrs.evolve(ours, name=f"{ours.name}, five rules")
        yield from _compare(shape, mixed, named, reference, rounds)
    del mixed
    yield from _details(shape, above, given)


def _compare(shape: str, given: Given, ours: Contender, reference: Contender, rounds: int) -> Iterator[Figures]:
    if why := contenders.missing(ours):
        print(f"  {ours.name:36} left out: {why}")
        return
    size = len(given.above)
    ratio = paired(
        partial(seconds, partial(reference.prepare, given)), partial(seconds, partial(ours.prepare, given)), rounds
    )
    target = targets.RATIOS.get((shape, ours.name, size))
    print(
        f"  {ours.name:36}{ratio.median:6.2f}  ({ratio.least:.2f} – {ratio.greatest:.2f}), {ratio.rounds}"
        f"{_ns(ratio.seconds, size):>10} to {_ns(ratio.reference_seconds, size):10}"
        f"{targets.mark(ratio.median, target)}",
        flush=True,
    )
    yield {"shape": shape, "size": size, "what": ours.name, "target": target, **attrs.asdict(ratio)}


def _details(shape: str, above: Above, given: Given) -> Iterator[Figures]:
    size = len(above)
    latency = latency_of(given.graph)
    target = targets.P99_US_AT_A_MILLION if (shape, size) == ("layered", 1_000_000) else None
    print(
        f"  a step takes, in µs CPU: p50 {latency.p50_us:.1f}, p99 {latency.p99_us:.1f}, "
        f"p99.9 {latency.p999_us:.1f}, most {latency.max_us:.1f}  {targets.mark(latency.p99_us, target)}"
    )
    yield {"shape": shape, "size": size, "what": "latency", "target": target, **attrs.asdict(latency)}
    memory = memory_of(above)
    print(
        f"  bytes a node: state {memory.state:.3f}, graph {memory.graph:.0f} besides nodes of {memory.nodes:.0f}; "
        f"a kept version {memory.version:,.0f}  {targets.mark(memory.state, targets.STATE_BYTES)}"
    )
    yield {"shape": shape, "size": size, "what": "memory", "target": targets.STATE_BYTES, **attrs.asdict(memory)}
    yield from _storage(shape, size, given)


def _storage(shape: str, size: int, given: Given) -> Iterator[Figures]:
    core, text = replay_seconds(given), replay_text_seconds(given)
    print(f"  replay in one call: {_ns(core, size)} an outcome; from lines of JSON {_ns(text, size)}")
    figures: Figures = {"replay_seconds": core, "replay_text_seconds": text}
    snapshot = snapshot_of(given)
    print(
        f"  snapshot: {snapshot.size / size:.2f} bytes a node, written in {snapshot.encode_seconds * 1e3:.2f} ms, "
        f"read in {snapshot.decode_seconds * 1e3:.2f} ms"
    )
    figures |= attrs.asdict(snapshot)
    yield {"shape": shape, "size": size, "what": "storage", **figures}


def _growth(shape: str, figures: Sequence[Figures]) -> Iterator[Figures]:
    """Give by how much faster than graphlib's our time grows; paired ratios give it directly."""
    ratios = {
        it["size"]: it["median"]
        for it in figures
        if (it["shape"], it["what"]) == (shape, contenders.KERNEL_ONE.name) and isinstance(it["median"], float)
    }
    small, large = (ratios.get(size) for size in _GROWTH)
    if not isinstance(small, float) or not isinstance(large, float):
        return
    exponent = math.log(large / small) / math.log(_GROWTH[1] / _GROWTH[0])
    target = targets.EXPONENT if shape == "layered" else None
    print(f"\n{shape}: growth exponent less graphlib's {exponent:+.3f}  {targets.mark(exponent, target)}")
    yield {"shape": shape, "what": "growth", "exponent": exponent, "target": target}


def _ns(taken: float, size: int) -> str:
    return f"{taken / size * 1e9:,.0f} ns"


if __name__ == "__main__":
    main()
