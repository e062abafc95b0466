"""Pages of the documentation that tell of the code: their examples run, and their numbers and names are the code's."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import dyrygent_core
import dyrygent_testing
from celery_dyrygent.workflows import DEFAULT_DEADLINE
from dyrygent_core import RetryPolicy, Workflow, errors, nodes, phrases, refs
from dyrygent_core.checks import MAX_ID_CHARACTERS, MAX_WHOLE
from dyrygent_core.codec import MAX_ARGUMENT_BYTES, MAX_RESULT_BYTES
from dyrygent_core.diagrams import picture, texts, tree
from dyrygent_runtime import failures, settings, summary
from local_dyrygent import adapter as local_adapter

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
_PRINTING: Final = re.compile(r"^```python\n(# \w+\.py\n.*?)^```\n+```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEAD: Final = re.compile(r"^.*\n\| ---.*$", re.MULTILINE)
_ROW: Final = re.compile(r"^\| (.+?) \| (.+?) \|", re.MULTILINE)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> dict[str, str]:
    """Read the first two columns of the tables in a text, without their heads."""
    found = _ROW.findall(_HEAD.sub("", text))
    return {name.strip("`"): said.strip("`") for name, said in found}


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Examples


def test_the_page_on_steering_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its files that is followed by what it prints does print that."""
    examples = _PRINTING.findall(page("how-to/steer-a-workflow.md"))
    assert len(examples) == 6

    for code, printed in examples:
        exec(compile(code, "steer-a-workflow", "exec"), {"__name__": "__main__"})  # noqa: S102  # our own page
        assert capsys.readouterr().out == printed


def test_the_tests_of_the_page_on_testing_pass(tmp_path: Path) -> None:
    """All its files are written, and pytest is run over them."""
    files = dict(_FILE.findall(page("how-to/test-your-workflow.md")))
    assert list(files) == ["backup.py", "test_backup.py", "test_my_journal.py"]

    assert _outcome_of_tests(tmp_path, files) == (0, [])


def test_the_tests_of_the_page_find_what_it_says(tmp_path: Path) -> None:
    """With the other condition the examples still pass; the two that draw what happens do not."""
    files = dict(_FILE.findall(page("how-to/test-your-workflow.md")))
    wrong = files["backup.py"].replace("after=[upload]", "after=[upload.not_failed]")
    assert wrong != files["backup.py"]

    tests = {"backup.py": wrong, "test_backup.py": files["test_backup.py"]}
    code, failed = _outcome_of_tests(tmp_path, tests, "-k", "dump or copies or pruning")

    assert (code, failed) == (1, ["test_pruning_needs_an_upload", "test_pruning_starts_after_an_upload_only"])


def test_the_page_on_histories_shows_the_difference(tmp_path: Path) -> None:
    """Its history is saved and leads to the same again; after the change that it tells of, what it shows is told."""
    text = page("how-to/replay-histories.md")
    files = dict(_FILE.findall(text))
    (shown,) = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "save.py"], cwd=tmp_path, check=True, capture_output=True)

    assert _outcome_of_tests(tmp_path, files) == (0, [])
    wrong = files["shop.py"].replace("after=[upload]", "after=[upload.done]")
    (tmp_path / "shop.py").write_text(wrong, encoding="utf-8")
    script = "from shop import backup; from dyrygent_testing import replay;"
    script += "replay('histories/backup-users.json', backup('users'))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.endswith(f"DivergenceError: {shown}")


def test_the_page_on_the_plug_in_runs(tmp_path: Path) -> None:
    """Its tests pass, under the profile that its `conftest.py` loads."""
    files = dict(_FILE.findall(page("how-to/use-the-pytest-plug-in.md")))
    assert list(files) == ["test_orders.py", "conftest.py"]

    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


_SAME_EVERYWHERE: Final = """
from hypothesis import HealthCheck, settings
settings.register_profile("page", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("page")
"""


def _outcome_of_tests(folder: Path, files: Mapping[str, str], *options: str) -> tuple[int, list[str]]:
    """Run pytest over files; give its exit code, and the tests that failed."""
    for name, text in {**files, "conftest.py": _SAME_EVERYWHERE}.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, re.findall(r"^FAILED \w+\.py::(\w+)", done.stdout, re.MULTILINE)


# Names


def test_the_page_on_testing_names_the_whole_toolkit() -> None:
    """Each public name has its row."""
    listed = rows(section(page("how-to/test-your-workflow.md"), "All names"))

    assert sorted(listed) == sorted(dyrygent_testing.__all__)


def test_the_page_of_public_names_is_made_from_the_docstrings() -> None:
    """Whoever adds a name, or changes the first line of a docstring, runs `docs/generate_tables.py`."""
    script = runpy.run_path(str(DOCS / "generate_tables.py"))
    text = page("reference/api.md")

    assert text == script["api_page"]()
    assert set(dyrygent_core.__all__) <= set(rows(text))
    assert all(rows(text).values())


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("configuration", "configuration_page"),
        ("command-line", "command_page"),
        ("testing", "toolkit_page"),
        ("faults", "faults_page"),
    ],
)
def test_the_other_pages_are_made_from_the_code(name: str, made: str) -> None:
    """Whoever adds a setting, a command, an option or a tool for tests runs `docs/generate_tables.py`."""
    script = runpy.run_path(str(DOCS / "generate_tables.py"))

    assert page(f"reference/{name}.md") == script[made]()


def test_every_exception_can_be_imported_from_the_core() -> None:
    """Whoever catches one need not know in which file it lives."""
    assert set(errors.__all__) <= set(dyrygent_core.__all__)


@pytest.mark.parametrize("part", ["how-to", "reference", "explanation", "tutorial"])
def test_every_page_is_in_its_index_and_in_the_readme(part: str) -> None:
    """Nobody finds a page that nothing leads to."""
    names = {path.name for path in (DOCS / part).glob("*.md")} - {"index.md"}
    index, readme = page(f"{part}/index.md"), (ROOT / "README.md").read_text(encoding="utf-8")

    assert {name for name in names if f"]({name})" not in index} == set()
    assert {name for name in names if f"](docs/{part}/{name})" not in readme} == set()


# Numbers


def test_the_limits_are_those_of_the_code() -> None:
    """Every row of what is refused, cut and shown has the number that the code has."""
    text = page("reference/limits.md")

    assert rows(section(text, "What you write")) == {
        "a node's id": f"{MAX_ID_CHARACTERS} characters",
        "a workflow's id": f"{settings.MAX_WORKFLOW_ID_CHARACTERS} characters",
        "nodes of a graph": f"{nodes.MAX_NODES:,}",
        "nodes of a workflow that is started": f"{settings.MAX_NODES:,}",
        "dependencies of a node": f"{nodes.MAX_NODES:,}",
        "arguments and options of a call, as written": f"{MAX_ARGUMENT_BYTES:,} bytes",
        "items in all lists and dicts of a call's arguments": f"{refs.MAX_ITEMS:,}",
        "nesting of a call's arguments, the list of them counted": f"{refs.MAX_NESTING} levels",
        "a number in a policy": f"{MAX_WHOLE:,}",
    }
    assert rows(section(text, "What tasks return")) == {
        "a result that somebody refers to": f"{MAX_RESULT_BYTES:,} bytes",
        "a list that a mapped node runs over": f"{nodes.MAX_WIDTH:,} elements",
        "the text of an exception": f"{failures._LONGEST_MESSAGE:,} characters",
        "the error of a node in `workflow.summary": f"{summary._LONGEST_ERROR:,} characters",
        "failed nodes in `workflow.summary": f"{summary._MOST_FAILED}",
    }
    assert rows(section(text, "What is shown")) == {
        "an id in an error or a log line": f"{errors._LONGEST_SHOWN} characters",
        "names in a sentence of `explain": f"{phrases._MOST_SHOWN}, and how many more",
        "boxes of a picture": f"{picture.MOST_DRAWN}",
        "arrows for each box": f"{picture.ARROWS_PER_NODE}",
        "an id in a box": f"{texts.MOST_SHOWN} characters",
        "lines of a `tree": f"{_defaults(tree)['max_lines']}",
        "characters of a line of it": f"{_defaults(tree)['width']}",
    }


def test_the_defaults_are_those_of_the_code() -> None:
    """Every policy and setting that has a default has its row."""
    text = page("reference/limits.md")
    policy = RetryPolicy()

    of_workflow = rows(section(text, "Defaults of a workflow"))
    assert of_workflow.pop("deadline") == f"none; of `celery_dyrygent.workflows.Workflow` {DEFAULT_DEADLINE.days} days"
    assert of_workflow == _said(Workflow.__init__, but={"name", "deadline"})
    of_node = rows(section(text, "Defaults of a node"))
    said = f"no delay; else a factor of {policy.factor:g}, up to {policy.max_delay_ms:,} ms, no jitter"
    assert of_node.pop("retry") == said
    assert of_node == _said(Workflow.add, but={"id", "after", "each", "retry"})
    assert (policy.delay_ms, policy.jitter) == (0, 0)
    waiting = {it.name: f"{it.default:,}" for it in attrs.fields(settings.Settings)}
    assert rows(section(text, "Waiting times")) == waiting
    local = local_adapter._SETTINGS
    assert f"{local.poll_ms} in a `LocalAdapter`" in text
    assert f"{local.sweep_interval_ms:,} in a `LocalAdapter`" in text
    assert f"{settings.CHUNK} at a time" in text


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {it.name: it.default for it in parameters if it.default is not inspect.Parameter.empty}


def _said(function: Callable[..., Any], *, but: set[str]) -> dict[str, str]:
    """Give the defaults of a function as the page writes them."""
    return {
        name: "none" if value is None else str(getattr(value, "value", value))
        for name, value in _defaults(function).items()
        if name not in but
    }
