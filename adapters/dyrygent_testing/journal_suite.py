"""The conformance suite of the journal port: one test for each rule, named after its clause.

Whoever writes a journal subclasses it, in a test module of theirs:

    class TestMyJournal(JournalSuite):
        @pytest.fixture
        def make_journal(self, tmp_path):
            return lambda namespace: MyJournal(tmp_path / "store", namespace)

The suite leaves workflows and leases in the namespaces that it is given; the store is the subclass's to empty.
What one process cannot show (a fork, a crash, a store that is away) is for the store's own tests.
"""

from __future__ import annotations

from dyrygent_testing.journal_beside import BesideRules
from dyrygent_testing.journal_due import DueRules
from dyrygent_testing.journal_entries import EntryRules
from dyrygent_testing.journal_lists import ListRules

__all__ = ["JournalSuite"]


class JournalSuite(EntryRules, DueRules, BesideRules, ListRules):
    """All rules of the port, clauses J1 to J10. A subclass overrides the fixture `make_journal`."""
