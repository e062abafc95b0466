"""What is installed, and who requires whom."""

from __future__ import annotations

from distributions import find_environment

from tests.examples.conftest import Site


def requires(site: Site) -> dict[str, set[str]]:
    return {name: set(one.requires) for name, one in find_environment(site.folder).distributions.items()}


def test_a_requirement_counts_if_it_is_installed_and_its_marker_holds(site: Site) -> None:
    """Others cannot be waited for; names are compared in canonical form."""
    site.install("app", requires=["The_Base>=1", "missing", 'old; python_version < "3"', 'new; python_version >= "3"'])
    for name in ("the-base", "old", "new"):
        site.install(name)

    assert requires(site)["app"] == {"the-base", "new"}


def test_an_extra_counts_where_somebody_asks_for_it(site: Site) -> None:
    """`kombu[redis]` makes kombu require redis; an extra that nobody asks for adds nothing."""
    site.install("app", requires=["kombu[redis]"])
    site.install("kombu", requires=['redis; extra == "redis"', 'sql; extra == "sql"'])
    site.install("redis")
    site.install("sql")

    assert requires(site) == {"app": {"kombu"}, "kombu": {"redis"}, "redis": set(), "sql": set()}


def test_an_extra_may_ask_for_another_of_the_same_distribution(site: Site) -> None:
    """`all = ["lib[a]"]` is followed, and a distribution never waits for itself."""
    site.install("app", requires=["lib[all]"])
    site.install("lib", requires=['lib[a]; extra == "all"', 'dep; extra == "a"'])
    site.install("dep")

    assert requires(site)["lib"] == {"dep"}


def test_what_cannot_be_read_is_left_out_and_told(site: Site) -> None:
    """One broken distribution does not keep the others from being verified."""
    site.install("app", requires=["not a requirement"])
    nameless = site.folder / "ghost-1.0.dist-info"
    nameless.mkdir()
    (nameless / "METADATA").write_text("Metadata-Version: 2.1\n")

    environment = find_environment(site.folder)

    assert list(environment.distributions) == ["app"]
    assert len(environment.notices) == 2
    assert any("'not a requirement'" in it for it in environment.notices)
    assert any("without a name" in it for it in environment.notices)
