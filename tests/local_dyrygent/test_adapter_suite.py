"""The local adapter keeps the clauses of the port, over a memory journal and over one on a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dyrygent_runtime.journals import open_journal
from dyrygent_testing import QUICK, TASKS, AdapterEngine, AdapterSuite
from local_dyrygent import LocalAdapter
from tests.only import NIGHTLY


class TestLocalInMemory(AdapterSuite):
    """As it comes."""

    @pytest.fixture
    def engine(self) -> Iterator[AdapterEngine]:
        with LocalAdapter(TASKS, workers=2, settings=QUICK) as adapter:
            yield AdapterEngine(adapter)


@NIGHTLY
class TestLocalOnSqlite(AdapterSuite):
    """As it is where workflows outlive the process."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[AdapterEngine]:
        journal = open_journal(f"sqlite:///{tmp_path / 'journal.db'}", "suite")
        with LocalAdapter(TASKS, workers=2, settings=QUICK, journal=journal) as adapter:
            yield AdapterEngine(adapter)
        journal.dispose()
