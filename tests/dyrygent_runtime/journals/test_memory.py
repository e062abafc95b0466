"""The memory journal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals import MemoryJournal
from dyrygent_testing import JournalSuite


class TestMemoryJournal(JournalSuite):
    """The suite; this journal ends with its process, so another process has none."""

    @pytest.fixture
    def make_journal(self) -> Callable[[str], Journal]:
        journals: dict[str, MemoryJournal] = {}
        return lambda namespace: journals.setdefault(namespace, MemoryJournal(namespace))
