"""Every journal answers as the memory journal does, in any order of calls."""

from __future__ import annotations

import secrets
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from dyrygent_core.ports import Journal, WorkflowKey
from dyrygent_runtime.journals import open_journal
from dyrygent_runtime.journals.redis.keys import Keys, key_of, member_of
from dyrygent_testing import JournalMachine
from tests.services import redis_database

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    ":{}dy1", max_size=8
)


def _check(url: str) -> None:
    class Machine(JournalMachine):
        def make_journal(self) -> Journal:
            return open_journal(url, f"machine-{secrets.token_hex(6)}")

    few = settings(max_examples=max(10, settings().max_examples // 4))  # each is fifty calls to a real store
    run_state_machine_as_test(Machine, settings=few)


def test_sqlite_answers_as_memory_does(tmp_path: Path) -> None:
    """The SQL journal on SQLite is the memory journal, but for its times."""
    _check(f"sqlite:///{tmp_path}/journal.db")


def test_redis_answers_as_memory_does() -> None:
    """The Redis journal is the memory journal, but for its times."""
    with redis_database() as url:
        _check(url)


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_no_two_workflows_share_a_redis_key(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    """Keys of two workflows, namespaces or incarnations differ; those of one share their partition's tag."""
    keys, others = vars(Keys(*one)), vars(Keys(*two))
    own = {name: key for name, key in keys.items() if name not in {"due", "created", "closed", "wake", "head"}}

    assert len(set(keys.values())) == len(keys)
    assert {key.partition("}")[0] for key in keys.values()} == {keys["due"].partition("}")[0]}
    if one != two:
        assert not set(own.values()) & set(others.values())
    if one[:2] != two[:2]:
        assert keys["head"] not in others.values()
    if one[0] != two[0]:
        assert keys["due"] not in others.values()


@given(st.builds(WorkflowKey, TEXTS, TEXTS))
def test_members_of_due_times_come_back(key: WorkflowKey) -> None:
    """A workflow is read back from the sorted set as it was written."""
    assert key_of(member_of(key)) == key
