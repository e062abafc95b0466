"""The files around the code: what they say of each other is true."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dyrygent_core import Status, WorkflowState

ROOT: Final = Path(__file__).parent.parent
CODE: Final = ("dyrygent_core", "adapters", "tests", "property_tests", "examples", "benchmarks")
FRAGMENT_TYPES: Final = ("added", "changed", "fixed", "removed", "security")

_PROMISE_TO_DO: Final = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!\(#\d+\))")
_LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#([^)\s]+))?\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PIN: Final = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Read what pyproject.toml says of the distribution."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def test_what_is_left_to_do_carries_an_issue_number() -> None:
    """A note without an owner is never done."""
    noted = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _PROMISE_TO_DO.search(line)
    ]

    assert noted == []


def test_the_extras_are_those_that_are_documented(project: dict[str, Any]) -> None:
    """One extra for each engine, store and purpose."""
    extras = {"celery", "cli", "demo", "dev", "dramatiq", "mysql", "postgresql", "redis", "sql", "testing"}

    assert set(project["optional-dependencies"]) == extras


def test_the_extra_dev_brings_all_that_the_tests_need(project: dict[str, Any]) -> None:
    """One extra is enough to run everything."""
    (own,) = (
        requirement.extras
        for requirement in map(Requirement, project["optional-dependencies"]["dev"])
        if requirement.name == project["name"]
    )

    assert own == set(project["optional-dependencies"]) - {"dev"}


def test_every_requirement_has_a_lower_bound(project: dict[str, Any]) -> None:
    """A resolver is never left to choose a release that nobody has tried."""
    loose = [str(requirement) for requirement in _requirements(project) if not requirement.specifier]

    assert loose == []


def test_the_constraints_are_exact_versions_within_the_bounds(project: dict[str, Any]) -> None:
    """Each pin is a name and a version, and allowed by pyproject.toml; each requirement of `dev` has a pin."""
    pinned = _pins("constraints.txt")

    wrong = [
        str(requirement)
        for requirement in _requirements(project)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wrong == []


def test_the_oldest_versions_are_within_the_bounds(project: dict[str, Any]) -> None:
    """What is tried with the oldest Celery is what a user of Python 3.11 may have, too."""
    pinned = _pins("constraints-oldest.txt")
    on_311 = [
        it for it in _requirements(project) if it.marker is None or it.marker.evaluate({"python_version": "3.11"})
    ]

    wrong = [str(it) for it in on_311 if not it.specifier.contains(pinned.get(canonicalize_name(it.name), "1000"))]
    assert wrong == []
    assert pinned["celery"] == "5.3.6"


def test_the_supported_pythons_are_those_that_ci_tries(project: dict[str, Any]) -> None:
    """Each Python in the classifiers has its job."""
    said = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (tried,) = re.findall(r"python: \[(.+)\]", workflow)

    assert re.findall(r"3\.\d+", tried) == said


def test_ci_runs_the_commands_of_the_readme() -> None:
    """What a reader is told to type is what is tried."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    runner = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (install,) = re.findall(r"^readonly INSTALL='(.+)'$", runner, re.MULTILINE)
    (test,) = re.findall(r"^readonly TEST='(.+)'$", runner, re.MULTILINE)

    assert f"{install} && {test}" in readme


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the repository names one that is there, and a heading that it has."""
    dead = [
        target + (f"#{anchor}" if anchor else "")
        for target, anchor in _LINK.findall(page.read_text(encoding="utf-8"))
        if not _leads_somewhere(page.parent / target, anchor)
    ]

    assert dead == []


def test_the_glossary_has_every_status_and_state() -> None:
    """What a user may meet in a status line is explained."""
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (yes|no) \|", glossary, re.MULTILINE))

    assert rows == {each.name: "yes" if each.is_final else "no" for each in (*Status, *WorkflowState)}


def test_fragments_of_the_changelog_have_a_known_type() -> None:
    """`<issue>.<type>.md`, or `+<name>.<type>.md` where there is no issue."""
    names = [path.name for path in (ROOT / "changelog.d").glob("*.md")]
    known = re.compile(rf"(?:\d+|\+[a-z0-9-]+)\.(?:{'|'.join(FRAGMENT_TYPES)})(?:\.\d+)?\.md")

    assert [name for name in names if not known.fullmatch(name)] == []


def _pins(name: str) -> dict[str, str]:
    """Read the versions that a file of constraints names, each of them exactly."""
    pins = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert [line for line in pins if not _PIN.fullmatch(line)] == []
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pins)}


def _requirements(project: dict[str, Any]) -> Iterator[Requirement]:
    """Yield each requirement on others, with and without extras."""
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in map(Requirement, (text for listed in lists for text in listed)):
        if requirement.name != project["name"]:
            yield requirement


def _leads_somewhere(target: Path, anchor: str) -> bool:
    if not target.exists():
        return False
    if not anchor or target.suffix != ".md":
        return True
    return anchor in {_anchor(heading) for heading in _HEADING.findall(target.read_text(encoding="utf-8"))}


def _anchor(heading: str) -> str:
    """Make the anchor of a heading as code hosts do: lower case, dashes, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
