"""`python -m benchmarks.journals`: what a journal costs on each store, beside a bare request to the same store.

It is a report: it ends with status 0, whatever the figures. A store that is not there is left out, with the reason.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import secrets
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, perf_counter
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen

from benchmarks.round_trips import CountingProxy
from dyrygent_core import Attempt, Definition, Graph, Node, Succeeded, Workflow, call
from dyrygent_core.codec import JSON_VALUES, encode_call, encode_definition
from dyrygent_core.ports import Journal, NewWorkflow, Seen, WorkflowKey
from dyrygent_runtime import Conductor, Settings, Sweeper
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.no_adapter import NoAdapter
from local_dyrygent import LocalAdapter

_URLS: Final = {
    "memory": ("", "memory://"),
    "sqlite": ("", "sqlite:///{folder}/journal.db"),
    "postgresql": ("DYRYGENT_TEST_POSTGRESQL_URL", "postgresql://postgres:postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("DYRYGENT_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
    "redis": ("DYRYGENT_TEST_REDIS_URL", "redis://127.0.0.1:6379/10"),
}
_PORTS: Final = {"postgresql": 5432, "mariadb": 3306, "redis": 6379}
_APPENDS: Final = 500
_HOPS: Final = 200
_ENTRIES: Final = 100_000
_WORKFLOWS: Final = 1_000
_NODES: Final = 100
_IDLE_S: Final = 10.0

Figures = dict[str, object]


@frozen
class Store:
    """One store, reached through a counting proxy where it has a socket."""

    name: str
    journal: Journal
    proxy: CountingProxy | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser("python -m benchmarks.journals", description=__doc__)
    parser.add_argument("--stores", default=",".join(_URLS), help="some of %(default)s")
    parser.add_argument("--entries", type=int, default=_ENTRIES, help="length of the journal that is caught up with")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args(arguments)
    logging.getLogger("dyrygent").setLevel(logging.ERROR)  # nothing here has an engine to send to
    figures: list[Figures] = []
    for name in asked.stores.split(","):
        print(f"\n{name}", flush=True)
        try:
            with ExitStack() as stack:
                figures += ({"store": name, **figure} for figure in _measure(_opened(name, stack), asked.entries))
        except Exception as problem:  # noqa: BLE001  # a store that is not there
            print(f"  left out: {type(problem).__name__}: {problem}")
    _memory(figures)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _opened(name: str, stack: ExitStack) -> Store:
    variable, default = _URLS[name]
    url = (os.environ.get(variable) if variable else None) or default
    proxy = None
    if name in _PORTS:
        address = urlsplit(url)
        proxy = stack.enter_context(CountingProxy(address.hostname or "127.0.0.1", address.port or _PORTS[name]))
        login = f"{address.username or ''}:{address.password or ''}@" if address.username else ""
        url = urlunsplit(address._replace(netloc=f"{login}127.0.0.1:{proxy.port}"))
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    journal = open_journal(url.format(folder=folder), f"bench-{secrets.token_hex(4)}")
    stack.callback(journal.dispose)
    return Store(name, journal, proxy)


def _measure(store: Store, entries: int) -> Iterator[Figures]:
    yield _appends(store)
    yield _chain(store)
    yield _catch_up(store, entries)
    yield _idle(store)


# One append


def _appends(store: Store) -> Figures:
    """Append outcomes one by one, each beside a question that changes nothing."""
    new = _linear(_APPENDS)
    store.journal.create(new, nonce="begin", due_in_ms=600_000)
    seen = Seen(1, "begin")
    times: list[float] = []
    questions: list[float] = []
    trips = store.proxy.count if store.proxy else 0
    for at in range(_APPENDS):
        nonce = f"n{at}"
        start = perf_counter()
        appended = store.journal.append(
            new.key, [Succeeded(Attempt(f"n{at}"))], seen=seen, nonce=nonce, results={Attempt(f"n{at}"): b"[1, 2, 3]"}
        )
        times.append(perf_counter() - start)
        seen = Seen(appended.first, nonce)
    spent = (store.proxy.count if store.proxy else 0) - trips
    for _ in range(_APPENDS):
        start = perf_counter()
        store.journal.read(new.key, after=seen.position)
        questions.append(perf_counter() - start)
    store.journal.delete(new.key)
    figures: Figures = {
        "what": "append",
        "ms": median(times) * 1e3,
        "p99_ms": quantiles(times, n=100)[98] * 1e3,
        "round_trips": spent / _APPENDS,
        "to_empty_read": median(times) / median(questions),
    }
    print(
        f"  an append: {figures['ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms, {figures['to_empty_read']:.1f} times "
        f"a read of nothing new; {_trips(store, spent / _APPENDS)}"
    )
    return figures


# A whole turn


def _chain(store: Store) -> Figures:
    """Run a chain in threads: the time of one hop, from a task's end to the next task's."""
    workflow = Workflow("chain")
    before = workflow.add(call("step", 0))
    for _ in range(_HOPS - 1):
        before = workflow.add(call("step", before.result))
    reference = _hops(workflow, open_journal("memory://"))
    trips = store.proxy.count if store.proxy else 0
    ours = _hops(workflow, store.journal)
    spent = ((store.proxy.count if store.proxy else 0) - trips) / _HOPS
    print(
        f"  a hop of a chain: {ours * 1e3:.2f} ms, {ours / reference:.1f} times that of memory; {_trips(store, spent)}"
    )
    return {"what": "hop", "ms": ours * 1e3, "to_memory": ours / reference, "round_trips": spent}


def _hops(workflow: Workflow, journal: Journal) -> float:
    with LocalAdapter({"step": lambda value: value + 1}, journal=journal, workers=1) as adapter:
        start = monotonic()
        run = adapter.start(workflow)
        run.wait(120)
        taken = monotonic() - start
        assert run.result() == _HOPS
    journal.delete(run.key)
    return taken / _HOPS


# Catching up


def _catch_up(store: Store, entries: int) -> Figures:
    """Read a long journal in a cold process: whole, and from the newest snapshot on."""
    new = _linear(entries)
    store.journal.create(new, nonce="begin", due_in_ms=600_000)
    writer = Conductor(store.journal, NoAdapter(), settings=Settings())
    for start in range(0, entries - 1, 1_000):
        batch = [Succeeded(Attempt(f"n{at}")) for at in range(start, min(start + 1_000, entries - 1))]
        writer.turn(new.key, batch)
    whole = _seconds(lambda: store.journal.read(new.key))
    cold = _seconds(lambda: Conductor(store.journal, NoAdapter()).refresh(new.key))
    store.journal.delete(new.key)
    print(
        f"  a cold process catches up with {entries:,} entries in {cold * 1e3:.0f} ms; to read all of them, "
        f"without folding, takes {whole * 1e3:.0f} ms"
    )
    return {"what": "catch_up", "entries": entries, "ms": cold * 1e3, "read_all_ms": whole * 1e3}


def _seconds(what: Callable[[], Any]) -> float:
    start = perf_counter()
    what()
    return perf_counter() - start


# Nothing to do


def _idle(store: Store) -> Figures:
    """Let a sweeper find nothing for a while."""
    if store.proxy is None:
        return {"what": "idle"}
    sweeper = Sweeper(Conductor(store.journal, NoAdapter(), settings=Settings()))
    trips = store.proxy.count
    sweeper.start()
    threading.Event().wait(_IDLE_S)
    sweeper.stop()
    rate = (store.proxy.count - trips) / _IDLE_S
    print(f"  an idle sweeper: {rate:.1f} round trips a second")
    return {"what": "idle", "round_trips_a_second": rate}


# Memory


def _memory(figures: list[Figures]) -> None:
    """Conduct many workflows in one process, and see what it keeps of them."""
    journal = open_journal("memory://")
    news = [_linear(_NODES) for _ in range(_WORKFLOWS)]
    for new in news:
        journal.create(new, nonce="begin", due_in_ms=600_000)
    conductor = Conductor(journal, NoAdapter())
    gc.collect()
    tracemalloc.start()
    for new in news:
        conductor.turn(new.key, [Succeeded(Attempt(f"n{at}")) for at in range(_NODES // 2)])
    gc.collect()
    kept = sum(it.size for it in tracemalloc.take_snapshot().statistics("filename") if "memory.py" not in str(it))
    tracemalloc.stop()
    print(f"\na process that has conducted {_WORKFLOWS:,} workflows of {_NODES} nodes keeps {kept / 2**20:.0f} MiB")
    figures.append({"what": "memory", "bytes": kept})


# What is measured


def _linear(size: int) -> NewWorkflow:
    graph = Graph(Node(f"n{at}", [f"n{at - 1}"] if at else []) for at in range(size))
    encoded = encode_call("n", call("step"), JSON_VALUES)
    key = WorkflowKey(f"bench-{secrets.token_hex(6)}", secrets.token_hex(8))
    return NewWorkflow(key, "digest", encode_definition(Definition(graph)), (encoded,) * size)


def _trips(store: Store, each: float) -> str:
    return f"{each:.1f} round trips" if store.proxy else "no socket"


if __name__ == "__main__":
    main()
