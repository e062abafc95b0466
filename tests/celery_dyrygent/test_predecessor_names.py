"""Every public name of celery-dyrygent 0.8.0 is here, and is called as it was."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.celery_dyrygent import predecessor_names

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "celery_dyrygent-0.8.0.json"
PYTHON: Final = "DYRYGENT_TEST_PREDECESSOR_PYTHON"


def names() -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(GOLDEN.read_text())
    return listed


def test_no_public_name_of_the_predecessor_is_missing() -> None:
    """Each module, class, function, method and attribute of it is found under its path."""
    listed = names()
    of_instances = listed.pop("instances")

    missing = [name for module, offered in listed.items() for name in _missing(module, offered)]
    for instance in predecessor_names.instances():
        kind = type(instance).__name__
        missing += [f"{kind}().{name}" for name in of_instances[kind] if not hasattr(instance, name)]

    assert missing == []
    assert sum(map(len, listed.values())) > 20


def _missing(module_name: str, offered: dict[str, Any]) -> Iterator[str]:
    module = importlib.import_module(module_name)
    for name, described in offered.items():
        if not hasattr(module, name):
            yield f"{module_name}.{name}"
        elif isinstance(described, dict):
            of_instances = vars(_an_instance(name))
            found = {*dir(getattr(module, name)), *of_instances}
            yield from (f"{module_name}.{name}.{member}" for member in described["members"].keys() - found)


def _an_instance(name: str) -> object:
    """Give one where members of a class may be set in its constructor."""
    if name != "ResultState":
        return object
    from celery.result import EagerResult  # noqa: PLC0415  # for this class alone

    return importlib.import_module("celery_dyrygent.celery.inspect").ResultState(EagerResult("id", 1, "SUCCESS"))


def test_every_function_of_the_predecessor_takes_what_it_took() -> None:
    """Parameters have the same names and places, those that could be left out still can, and new ones may be."""
    listed = names()
    del listed["instances"]

    wrong = [name for module, offered in listed.items() for name in _called_otherwise(module, offered)]

    assert wrong == []


def _called_otherwise(module_name: str, offered: dict[str, Any]) -> Iterator[str]:
    module = importlib.import_module(module_name)
    for name, described in offered.items():
        ours, where = getattr(module, name), f"{module_name}.{name}"
        if isinstance(described, list):
            yield from _otherwise(where, described, ours)
        elif isinstance(described, dict) and not issubclass(ours, Exception):
            if not name.endswith("Mixin"):  # they are parts of Workflow, and made by nobody
                yield from _otherwise(where, described["parameters"], ours)
            for member, parameters in described["members"].items():
                if parameters is not None and callable(getattr(ours, member, None)):
                    yield from _otherwise(f"{where}.{member}", parameters, getattr(ours, member))


def _otherwise(where: str, theirs: list[str] | None, ours: Any) -> Iterator[str]:
    mine = predecessor_names.described_parameters(ours)
    wanted = [name.rstrip("=") for name in theirs or []]
    same = [name.rstrip("=") for name in mine[: len(wanted)]]
    required = [name for name in mine[len(wanted) :] if "=" not in name and "*" not in name]
    no_longer_optional = [name for name in theirs or [] if name.endswith("=") and name.rstrip("=") in mine]
    keyword_only = [
        it.name
        for it in inspect.signature(ours).parameters.values()
        if it.kind is it.KEYWORD_ONLY and it.name in wanted
    ]
    if same != wanted or required or no_longer_optional or keyword_only:
        yield f"{where}({', '.join(theirs or [])}) is ({', '.join(mine)})"


def test_the_list_is_that_of_the_predecessor() -> None:
    """What is committed here is what its own Python tells."""
    python = os.environ.get(PYTHON)
    if not python:
        pytest.skip(f"set {PYTHON} to a Python that has celery-dyrygent==0.8.0 to compare with the real one")

    script = Path(predecessor_names.__file__)
    told = subprocess.run([python, script], capture_output=True, text=True, check=True).stdout

    assert json.loads(told) == names()
