"""The SQL journal on MariaDB or MySQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals.sql import SqlJournal
from dyrygent_testing import JournalSuite
from tests.dyrygent_runtime.journals.process_rules import ProcessRules


class TestMysqlJournal(ProcessRules, JournalSuite):
    """The suite, and the rules for several processes."""

    @pytest.fixture
    def make_journal(self, mysql_url: str) -> Callable[[str], Journal]:
        return lambda namespace: SqlJournal(mysql_url, namespace)
