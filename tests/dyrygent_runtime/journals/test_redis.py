"""The Redis journal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.redis_journal import RedisJournal
from dyrygent_testing import JournalSuite


class TestRedisJournal(JournalSuite):
    """The suite."""

    @pytest.fixture
    def make_journal(self, redis_url: str) -> Callable[[str], Journal]:
        return lambda namespace: RedisJournal(redis_url, namespace)
