"""The SQL journal on servers answers as the memory journal does, in any order of calls."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from dyrygent_core.ports import Journal
from dyrygent_runtime.journals import open_journal
from dyrygent_testing import JournalMachine
from tests.services import MYSQL, POSTGRESQL, Service, sql_database


@pytest.mark.parametrize("service", [POSTGRESQL, MYSQL], ids=lambda it: it.name)
def test_a_server_answers_as_memory_does(service: Service) -> None:
    """The SQL journal is the memory journal, but for its times."""
    with sql_database(service) as url:

        class Machine(JournalMachine):
            def make_journal(self) -> Journal:
                return open_journal(url, f"machine-{secrets.token_hex(6)}")

        few = settings(max_examples=max(10, settings().max_examples // 10))  # each is hundreds of calls to a server
        run_state_machine_as_test(Machine, settings=few)
