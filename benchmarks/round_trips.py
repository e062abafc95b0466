"""A proxy that counts round trips: how often a client speaks after the server has.

It counts what crosses the wire, whatever the client library says it does. One request in several packets is one
round trip, and so is a pipeline of many commands.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

__all__ = ["CountingProxy"]

_CHUNK = 65_536


class CountingProxy:
    """Listens on a free loopback port and passes everything on to one server. A context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.count = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                turn = _Turn(self)
                threading.Thread(target=self._pass_on, args=(client, server, turn.client), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, turn.server), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, note: object) -> None:
        assert callable(note)
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                note()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def add(self) -> None:
        """Count one more."""
        with self._lock:
            self.count += 1


class _Turn:
    """Whose turn it is on one connection."""

    def __init__(self, proxy: CountingProxy) -> None:
        self._proxy = proxy
        self._is_clients = False

    def client(self) -> None:
        if not self._is_clients:
            self._is_clients = True
            self._proxy.add()

    def server(self) -> None:
        self._is_clients = False
