"""Fixtures for all example tests: the services that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give this run a Redis database of its own, empty at first, flushed at the end."""
    with services.redis_database() as url:
        yield url
