"""What the tests of SQL journals do to a database behind the journal's back, and to the wire before it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, make_url

from dyrygent_runtime.journals.sql.addresses import Kind, address_of
from dyrygent_testing.journal_basis import eventually


class Outsider:
    """Somebody else at the same database."""

    def __init__(self, url: str) -> None:
        address = address_of(url)
        self.kind = address.kind
        self.engine: Engine = create_engine(address.url, poolclass=NullPool)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, a transaction of its own."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            answer = connection.exec_driver_sql(statement)
            return [tuple(row) for row in answer] if answer.returns_rows else []

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Read all there is."""
        listed = {
            Kind.SQLITE: "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'dyrygent%'",
            Kind.POSTGRESQL: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
            Kind.MYSQL: "SHOW TABLES",
        }[self.kind]
        return {str(name): self.run(f"SELECT * FROM {name}") for (name,) in self.run(listed)}  # noqa: S608  # ours

    def others(self) -> list[int]:
        """Give the numbers of all other connections to this database."""
        if self.kind is Kind.POSTGRESQL:
            found = self.run(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            found = self.run(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
        return [int(number) for (number,) in found]

    def waiting(self) -> list[int]:
        """Give the numbers of the connections that wait for a lock."""
        if self.kind is Kind.POSTGRESQL:
            found = self.run(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        else:
            found = self.run(
                "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            )
        mine = set(self.others())
        return [int(number) for (number,) in found if number in mine]

    def kill(self, number: int) -> None:
        """End a connection, whatever it is doing."""
        if self.kind is Kind.POSTGRESQL:
            self.run(f"SELECT pg_terminate_backend({number})")
        else:
            with suppress(Exception):  # it may have gone by itself, which each server tells in its own way
                self.run(f"KILL {number}")
        eventually(lambda: number not in self.others())

    @contextmanager
    def holding(self, *statements: str) -> Iterator[Any]:
        """Run statements in a transaction that stays open, and undo them if it still is at the end."""
        with self.engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            yield connection


class Wire:
    """A wire to a server, which counts round trips, and can be cut once: before or after a request reaches it."""

    def __init__(self, url: str) -> None:
        self._server = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port: int = self._listener.getsockname()[1]
        self.url = self._server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self._cut: tuple[bytes, bool] | None = None
        self.round_trips = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_before(self, request: bytes) -> None:
        """Break the connection instead of passing on the next request that contains this pattern."""
        self._cut = (request, False)

    def cut_after(self, request: bytes) -> None:
        """Pass on the next request that contains this pattern, and break the connection instead of its answer."""
        self._cut = (request, True)

    def close(self) -> None:
        """Let nobody in any more; those who are in stay."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or the thread that accepts would let in one more
        self._listener.close()

    def _accept(self) -> None:
        default_port = 5432 if self._server.get_backend_name() == "postgresql" else 3306
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._server.host or "", self._server.port or default_port))
                turn = threading.Event()  # set while the far end has the word
                doom = threading.Event()  # set when its next answer is to be lost
                threading.Thread(target=self._ask, args=(near, far, turn, doom), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, turn, doom), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, turn: threading.Event, doom: threading.Event) -> None:
        with suppress(OSError), near, far:
            while data := near.recv(1 << 20):
                if not turn.is_set():
                    turn.set()
                    self.round_trips += 1
                if self._cut is not None and re.search(self._cut[0], data):
                    is_passed_on, self._cut = self._cut[1], None
                    if not is_passed_on:
                        break
                    doom.set()
                far.sendall(data)
            for end in (near, far):
                end.shutdown(socket.SHUT_RDWR)  # to close it is not enough while a thread reads from it

    def _answer(self, far: socket.socket, near: socket.socket, turn: threading.Event, doom: threading.Event) -> None:
        with suppress(OSError), near, far:
            while data := far.recv(1 << 20):
                turn.clear()
                if doom.is_set():
                    break
                near.sendall(data)
            for end in (near, far):
                end.shutdown(socket.SHUT_RDWR)
