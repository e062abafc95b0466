"""The SQL journal on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_testing import JournalSuite


class TestSqliteJournal(JournalSuite):
    """The suite."""

    @pytest.fixture
    def make_journal(self, tmp_path: Path) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(f"sqlite:///{tmp_path}/journal.db", namespace)
