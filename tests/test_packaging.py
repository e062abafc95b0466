"""What an install delivers, and what it must not."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = (
    "dyrygent_core",
    "dyrygent_runtime",
    "celery_dyrygent",
    "dramatiq_dyrygent",
    "local_dyrygent",
    "dyrygent_testing",
)
NOT_PACKAGES: Final = ("adapters", "tests", "property_tests", "examples", "docs", "benchmarks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, with the build tools that are installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Five import packages, each with its `py.typed`, beside the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_delivers_the_package(package: str, installed_wheel: Path, tmp_path: Path) -> None:
    """It is imported from the wheel, with its `py.typed` beside it."""
    found = _run_in(tmp_path, f"import {package}; print({package}.__file__)", installed_wheel)

    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()) == installed_wheel / package / "__init__.py"
    assert (installed_wheel / package / "py.typed").exists()


@pytest.mark.parametrize("name", NOT_PACKAGES)
def test_the_wheel_delivers_no_folder_of_the_repository(name: str, installed_wheel: Path, tmp_path: Path) -> None:
    """`import tests` in a user's project never finds ours."""
    assert "ModuleNotFoundError" in _run_in(tmp_path, f"import {name}", installed_wheel).stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_this_environment_delivers_the_package(package: str, tmp_path: Path) -> None:
    """An editable install serves the packages in any working directory."""
    found = _run_in(tmp_path, f"import {package}")

    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", NOT_PACKAGES)
def test_this_environment_delivers_no_folder_of_the_repository(name: str, tmp_path: Path) -> None:
    """An editable install does not put the repository on the path."""
    assert "ModuleNotFoundError" in _run_in(tmp_path, f"import {name}").stderr


def test_the_only_requirement_is_attrs() -> None:
    """Whatever else is needed comes with an extra; `editables` is how an editable install works."""
    requirements = importlib.metadata.requires("dyrygent") or []

    plain = {text.partition(">")[0].partition("~")[0] for text in requirements if "extra ==" not in text}
    assert plain - {"editables"} == {"attrs"}


def _run_in(folder: Path, script: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script from that folder: in this environment, or with `site` in place of what is installed here.

    `-S` leaves out the path files, and with them the editable install; third-party packages are put back.
    """
    options = ["-c", script]
    if site is not None:
        paths = [str(site), sysconfig.get_path("purelib")]
        options = ["-S", "-c", f"import sys; sys.path += {paths!r}\n{script}"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
