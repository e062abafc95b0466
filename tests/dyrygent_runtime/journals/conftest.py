"""The SQL servers that the tests of journals share: a database of each for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Give this run a PostgreSQL database of its own, and drop it at the end."""
    with services.sql_database(services.POSTGRESQL) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    """Give this run a MariaDB or MySQL database of its own, and drop it at the end."""
    with services.sql_database(services.MYSQL) as url:
        yield url
