"""Who may import whom, and what the core may touch: held by reading every import of every module.

`ARROWS` is the table; the diagram in `docs/explanation/architecture.md` must show the same arrows.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

import dyrygent_testing

ROOT: Final = Path(__file__).parent.parent
ARCHITECTURE_PAGE: Final = ROOT / "docs" / "explanation" / "architecture.md"

PACKAGES: Final = {
    "dyrygent_core": ROOT / "dyrygent_core",
    "dyrygent_runtime": ROOT / "adapters" / "dyrygent_runtime",
    "celery_dyrygent": ROOT / "adapters" / "celery_dyrygent",
    "dramatiq_dyrygent": ROOT / "adapters" / "dramatiq_dyrygent",
    "local_dyrygent": ROOT / "adapters" / "local_dyrygent",
    "dyrygent_testing": ROOT / "adapters" / "dyrygent_testing",
}
ARROWS: Final[dict[str, frozenset[str]]] = {
    "dyrygent_core": frozenset(),
    "dyrygent_runtime": frozenset({"dyrygent_core"}),
    "celery_dyrygent": frozenset({"dyrygent_core", "dyrygent_runtime"}),
    "dramatiq_dyrygent": frozenset({"dyrygent_core", "dyrygent_runtime"}),
    "local_dyrygent": frozenset({"dyrygent_core", "dyrygent_runtime"}),
    "dyrygent_testing": frozenset({"dyrygent_core", "dyrygent_runtime"}),
}
THIRD_PARTIES: Final[dict[str, frozenset[str]]] = {
    "dyrygent_core": frozenset({"attr", "attrs"}),
    "dyrygent_runtime": frozenset({"attr", "attrs", "redis", "sqlalchemy"}),
    "celery_dyrygent": frozenset({"amqp", "attr", "attrs", "billiard", "celery", "click", "kombu", "rich", "vine"}),
    "dramatiq_dyrygent": frozenset({"attr", "attrs", "dramatiq", "pika"}),
    "local_dyrygent": frozenset({"attr", "attrs"}),
    "dyrygent_testing": frozenset({"attr", "attrs", "celery", "hypothesis", "pytest"}),
}
EXTRAS: Final = (
    "celery",
    "click",
    "dramatiq",
    "hypothesis",
    "kombu",
    "pika",
    "psycopg",
    "pymysql",
    "pytest",
    "redis",
    "rich",
    "sqlalchemy",
)
"""What a user need not have installed."""

PURE_MODULES: Final = frozenset(
    {
        "__future__",
        "abc",
        "base64",
        "bisect",
        "collections",
        "collections.abc",
        "copy",
        "difflib",
        "enum",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "html",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "zlib",
    }
)
"""All of the standard library that the core may import, and `timedelta` of `datetime`."""
IMPURE_BUILTINS: Final = frozenset({"__import__", "breakpoint", "eval", "exec", "hash", "input", "open", "print"})
"""`hash` is among them because a text's differs from process to process."""
MOST_LINES: Final = 450


@frozen
class Import:
    """One import statement, relative ones resolved."""

    module: str
    """The dotted name that it loads, like `collections.abc`."""
    names: tuple[str, ...]
    """What it takes from there; empty for `import module`."""
    where: str
    is_lazy: bool
    """Whether it stands inside a function, and so costs nothing until that is called."""

    @property
    def top(self) -> str:
        """The import package that it belongs to."""
        return self.module.partition(".")[0]


def test_imports_follow_the_arrows() -> None:
    """A package imports only what the table says, of ours and of others."""
    wrong = [
        f"{found.where}: {name} imports {found.module}"
        for name in PACKAGES
        for found in _imports_of(name)
        if found.top != name
        and found.top not in ARROWS[name] | THIRD_PARTIES[name]
        and found.top not in sys.stdlib_module_names
    ]

    assert wrong == []


def test_the_core_imports_only_the_pure_part_of_the_standard_library() -> None:
    """The core has no I/O, clock, chance, logging or threads within reach."""
    wrong = [
        f"{found.where}: {found.module}"
        for found in _imports_of("dyrygent_core")
        if found.top in sys.stdlib_module_names
        and found.module not in PURE_MODULES
        and (found.module, found.names) != ("datetime", ("timedelta",))
    ]

    assert wrong == []


def test_the_core_calls_no_impure_builtin() -> None:
    """What needs no import is watched too; `__hash__` may hash, its answer stays in the process."""
    wrong = [
        f"{_shown(path)}:{call.lineno}: {call.func.id}()"
        for path in _modules(PACKAGES["dyrygent_core"])
        for call in _calls_outside_hash(_parsed(path))
        if isinstance(call.func, ast.Name) and call.func.id in IMPURE_BUILTINS
    ]

    assert wrong == []


def test_an_import_of_the_core_loads_nothing_but_attrs_and_the_standard_library() -> None:
    """No third-party module comes along by way of another, and no module of the core holds an impure one."""
    script = """
import json, sys, types
before = set(sys.modules)
import dyrygent_core
loaded = sorted(set(sys.modules) - before)
held = sorted({value.__name__ for name in loaded if name.split(".")[0] == "dyrygent_core"
               for value in vars(sys.modules[name]).values() if isinstance(value, types.ModuleType)})
print(json.dumps([loaded, held]))
"""
    loaded, held = json.loads(_run(script))

    others = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert others <= {"dyrygent_core", "attr", "attrs"}
    impure = {name for name in held if name.partition(".")[0] not in {"dyrygent_core", "attr", "attrs"}}
    assert impure <= PURE_MODULES


@pytest.mark.parametrize("package", ["dyrygent_core", "dyrygent_runtime", "local_dyrygent"])
def test_a_package_of_no_engine_can_be_imported_without_any_extra(package: str) -> None:
    """Each extra is loaded by the part that needs it, when it is needed."""
    script = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); import {package}"

    _run(script)


@pytest.mark.parametrize(
    ("missing", "script", "said"),
    [
        ("celery", "import celery_dyrygent", "celery_dyrygent needs 'celery'"),
        ("celery", "import celery_dyrygent.workflows", "celery_dyrygent needs 'celery'"),
        ("celery", "from dyrygent_testing import canvas_app; canvas_app()", "canvas_app needs 'celery'"),
        ("dramatiq", "import dramatiq_dyrygent", "dramatiq_dyrygent needs 'dramatiq'"),
        ("hypothesis", "from dyrygent_testing import check_workflow", "dyrygent_testing needs 'hypothesis'"),
        ("pytest", "from dyrygent_testing import JournalSuite", "dyrygent_testing needs 'pytest'"),
    ],
)
def test_what_needs_an_extra_says_which(missing: str, script: str, said: str) -> None:
    """Whoever has installed the distribution alone reads what to install beside it."""
    extra = "testing" if missing in ("hypothesis", "pytest") else missing
    caught = f"""
import sys
sys.modules[{missing!r}] = None
try:
    {script}
except ModuleNotFoundError as problem:
    print(problem, problem.name)
"""

    assert _run(caught).strip() == f'{said}, which is not installed: pip install "dyrygent[{extra}]" {missing}'


def test_the_picture_alone_needs_rich() -> None:
    """Every command works without it, `watch` in plain lines."""
    found = [found for found in _imports_of("celery_dyrygent") if found.top == "rich" and not found.is_lazy]

    assert {it.where.partition(":")[0] for it in found} == {"adapters/celery_dyrygent/command_line/view.py"}


def test_only_journals_know_their_store() -> None:
    """In the runtime, a client of a store is imported by the journal for that store alone."""
    homes = {"redis": "/journals/redis/", "sqlalchemy": "/journals/sql/"}
    wrong = [
        f"{found.where}: {found.module}"
        for found in _imports_of("dyrygent_runtime")
        if found.top in homes and homes[found.top] not in found.where
    ]

    assert wrong == []


def test_the_testing_toolkit_imports_celery_only_when_asked_for_canvases() -> None:
    """Whoever tests another engine needs no Celery."""
    wrong = [
        f"{found.where}: {found.module}"
        for found in _imports_of("dyrygent_testing")
        if found.top == "celery" and not found.is_lazy
    ]

    assert wrong == []


def test_property_tests_use_public_names_only() -> None:
    """They are written as a user would write them."""
    wrong = [
        f"{found.where}: {name}"
        for path in _modules(ROOT / "property_tests")
        for found in _imports(path, "property_tests")
        if found.top in PACKAGES
        for name in (*found.module.split("."), *found.names)
        if name.startswith("_")
    ]

    assert wrong == []


def test_property_tests_use_what_the_toolkit_gives_to_everybody() -> None:
    """Of the toolkit they import its public names, and none of its modules; what they need, a user may need."""
    wrong = [
        f"{found.where}: {found.module}: {', '.join(found.names)}"
        for path in _modules(ROOT / "property_tests")
        for found in _imports(path, "property_tests")
        if found.top == "dyrygent_testing"
        and (found.module != "dyrygent_testing" or not set(found.names) <= set(dyrygent_testing.__all__))
    ]

    assert wrong == []


def test_the_diagram_shows_the_same_arrows() -> None:
    """The page on the architecture and this table cannot drift apart."""
    ours = "|".join(PACKAGES)
    drawn = re.findall(rf"^ *({ours}) --> ({ours})$", ARCHITECTURE_PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(drawn) == sorted((name, target) for name in ARROWS for target in ARROWS[name])


def test_the_folder_of_adapters_is_no_package() -> None:
    """`adapters` is another distribution's name."""
    assert not (ROOT / "adapters" / "__init__.py").exists()


def test_every_adapter_has_its_row_in_the_table() -> None:
    """A new package is not left out of these tests."""
    folders = {path.name for path in (ROOT / "adapters").iterdir() if (path / "__init__.py").exists()}

    assert folders | {"dyrygent_core"} == set(PACKAGES) == set(ARROWS) == set(THIRD_PARTIES)


@pytest.mark.parametrize("tests", ["tests", "property_tests"])
def test_every_folder_of_tests_is_a_package(tests: str) -> None:
    """Else `tests/celery_dyrygent` would shadow the product."""
    folders = {path.parent for path in _modules(ROOT / tests)}

    assert [_shown(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_module_is_long() -> None:
    """One idea per file: above 400 lines, ask what the second idea is."""
    folders = (*PACKAGES.values(), *(ROOT / name for name in ("tests", "property_tests", "examples", "benchmarks")))
    lengths = {
        _shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in _modules(folder)
    }

    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def _imports_of(package: str) -> Iterator[Import]:
    for path in _modules(PACKAGES[package]):
        yield from _imports(path, package)


def _imports(path: Path, package: str) -> Iterator[Import]:
    """Yield the imports of one module, those inside functions and blocks too."""
    tree = _parsed(path)
    lazy = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        where, is_lazy = f"{_shown(path)}:{statement.lineno}", id(statement) in lazy
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(alias.name, (), where, is_lazy)
        else:
            module = package if statement.level else str(statement.module)
            yield Import(module, tuple(alias.name for alias in statement.names), where, is_lazy)


def _calls_outside_hash(tree: ast.AST) -> Iterator[ast.Call]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef) and child.name == "__hash__":
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _calls_outside_hash(child)


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _run(script: str) -> str:
    """Run a script in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
