"""A way to a server that can be cut: what a process meets that loses its network, while others keep theirs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Proxy"]

_CHUNK: Final = 1 << 16


class Proxy:
    """Passes bytes on between a port of its own and a server, until it is cut; and again when it is mended."""

    def __init__(self, url: str, default_port: int) -> None:
        self._address = urlsplit(url)
        self._target = (self._address.hostname or "127.0.0.1", self._address.port or default_port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The server's URL, by this way."""
        user, at, _ = self._address.netloc.rpartition("@")
        return self._address._replace(netloc=f"{user}{at}127.0.0.1:{self._server.getsockname()[1]}").geturl()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Break all connections, and take none."""
        with self._lock:
            self._is_cut = True
            _close(self._open)
        try:
            yield
        finally:
            self._is_cut = False

    def close(self) -> None:
        """End for good."""
        with self._lock:
            self._is_cut = True
            _close({self._server, *self._open})

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with self._lock:
                    if self._is_cut:
                        client.close()
                        continue
                    server = socket.create_connection(self._target)
                    self._open |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                target.sendall(data)
        with self._lock:
            _close({source, target})
            self._open -= {source, target}


def _close(sockets: set[socket.socket]) -> None:
    for it in sockets:
        with contextlib.suppress(OSError):
            it.shutdown(socket.SHUT_RDWR)
        it.close()
