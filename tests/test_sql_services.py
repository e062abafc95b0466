"""The SQL databases that tests are lent: `tests.services`."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from tests import services
from tests.dyrygent_runtime.journals.sql_sabotage import Outsider
from tests.services import Service

pytestmark = pytest.mark.parametrize("service", [services.POSTGRESQL, services.MYSQL], ids=lambda it: it.name)


def _databases(outsider: Outsider) -> set[str]:
    listed = "SELECT datname FROM pg_database" if outsider.kind.value == "postgresql" else "SHOW DATABASES"
    return {str(name) for (name,) in outsider.run(listed)}


def test_a_lent_database_is_empty_and_gone_at_the_end(service: Service) -> None:
    """A test run leaves nothing behind, and each has its own."""
    with services.sql_database(service) as one, services.sql_database(service) as other:
        assert one != other
        assert Outsider(one).tables() == {}
        Outsider(one).run("CREATE TABLE left_over (number INTEGER)")

    names = {make_url(url).database for url in (one, other)}
    assert not names & _databases(Outsider(service.url))


def test_what_a_killed_run_left_is_dropped(service: Service) -> None:
    """A database that no run holds goes with the next; one of another name is left alone."""
    outsider = Outsider(service.require())
    with services.sql_database(service):  # or the reason is that nobody is let in
        pass
    for name in ("dyrygent_test_0123456789ab", "dyrygent_testing"):
        outsider.run(f"CREATE DATABASE {name}")
    with services.sql_database(service):
        left = _databases(outsider)
    outsider.run("DROP DATABASE dyrygent_testing")

    assert "dyrygent_test_0123456789ab" not in left
    assert "dyrygent_testing" in left


def test_a_server_that_lets_nobody_in_is_a_missing_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is skipped, with the reason and the variable that helps, and without the password."""
    url = make_url(service.require()).set(username="nobody", password="secret", database="nowhere")
    monkeypatch.setenv(service.variable, url.render_as_string(hide_password=False))
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match=rf"lets nobody in at .*; set {service.variable}") as skipped:
        services.sql_database(service).__enter__()
    assert "secret" not in str(skipped.value)
