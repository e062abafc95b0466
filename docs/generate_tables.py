"""Write the pages that are made from the code: run this file after changing what they tell.

`reference/rules.md` is made from the tables in `dyrygent_core.rules`, `reference/api.md` from the first lines of
docstrings, `reference/testing.md` from the docstrings of the toolkit, `reference/configuration.md` from the keys that
the Celery adapter reads, `reference/command-line.md` from the commands' own help,
`reference/faults.md` from the faults that a simulation knows. Tests compare the committed pages
with what this makes.
"""  # noqa: INP001  # a script, no part of a package

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click

import dyrygent_core
import dyrygent_testing
from celery_dyrygent.command_line import workflow
from celery_dyrygent.configuration import KEYS
from dyrygent_core import Condition, Status, Trigger, diagrams
from dyrygent_core.rules import AND_RULES, AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS, Effect, Row
from dyrygent_testing import FaultKind, fault_places, kinds_at

REFERENCE: Final = Path(__file__).parent / "reference"

EFFECTS: Final = {
    Effect.HOLD: "holds",
    Effect.TAINT: "taints",
    Effect.UPSTREAM_FAILED: "UPSTREAM_FAILED",
    Effect.RUN: "**runs**",
}
VERDICTS: Final = {Status.SCHEDULED: "**runs**", Status.SKIPPED: "SKIPPED", Status.UPSTREAM_FAILED: "UPSTREAM_FAILED"}
MEANINGS: Final = {
    Trigger.ALL_SUCCESS: "the default: every dependency succeeded",
    Trigger.NONE_FAILED: "every dependency succeeded or was skipped",
    Trigger.ALL_FAILED: "every dependency failed, or never ran because something before it failed",
    Trigger.ALL_DONE: "every dependency is final, whatever became of it",
    Trigger.ONE_SUCCESS: "starts at the first success",
    Trigger.ONE_FAILED: "starts at the first failure",
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: "nothing failed and something succeeded: what a join after a branch wants",
}
TAINTED_BY: Final = {
    Trigger.ONE_SUCCESS: "something failed",
    Trigger.NONE_FAILED_MIN_ONE_SUCCESS: "something succeeded",
}


def rules_page() -> str:
    """Make the text of the page."""
    columns = [f"`{column}`" if column in Status.__members__ else "FAILED, allowed" for column in OUTCOME_COLUMNS]
    or_rules = [trigger for trigger in Trigger if trigger not in AND_RULES]
    return "\n".join(
        [
            "# Conditions and rules",
            "",
            "When a node runs, as tables.",
            "This page is generated from the code's own tables by `docs/generate_tables.py`.",
            "",
            "Each edge is decided once, when the node at its other end becomes final.",
            "It then does one of four things to the node that waits:",
            "",
            f"- *{EFFECTS[Effect.HOLD]}*: one edge less to wait for.",
            f"- *{EFFECTS[Effect.TAINT]}*: one edge less to wait for, and the node remembers it.",
            f"- *{EFFECTS[Effect.UPSTREAM_FAILED]}*: the node can never run, and is `UPSTREAM_FAILED` at once.",
            "- *runs*: the node starts at once, whatever becomes of its other dependencies.",
            "",
            "A node is decided early only where the answer can no longer change:",
            "the order in which outcomes arrive does not matter.",
            "*Allowed* is a `FAILED` node marked `allow_failure`.",
            "",
            "## Conditions of an edge",
            "",
            *_table(["condition", *columns], _rows(Condition)),
            "",
            _at_zero(),
            "",
            "## Rules that are a condition on every edge",
            "",
            "They hold for the edges that name no condition of their own.",
            "",
            *_table(
                ["rule", "condition", "runs when"],
                ([f"`{rule.value}`", f"`{condition.value}`", MEANINGS[rule]] for rule, condition in AND_RULES.items()),
            ),
            "",
            "## Rules that look at all edges together",
            "",
            "They need at least one dependency, and their edges have no conditions.",
            "",
            *_table(["rule", *columns], _rows(or_rules)),
            "",
            *_table(
                ["rule", "runs when", "no edge left", "no edge left, tainted", "tainted means"],
                (
                    [
                        f"`{rule.value}`",
                        MEANINGS[rule],
                        *(VERDICTS[verdict] for verdict in AT_ZERO[rule]),
                        TAINTED_BY.get(rule, "never is"),
                    ]
                    for rule in or_rules
                ),
            ),
            "",
        ]
    )


GROUPS: Final = {
    "Build a workflow": "Workflow call Call NodeHandle ResultRef Definition",
    "What nodes and graphs are made of": "Graph Mode Node Edge Condition Trigger Each RetryPolicy OnLoss Role",
    "Inside a task": "SkipNode Take",
    "Decide": "advance State Status WorkflowState Progress Attempt",
    "What is observed": (
        "Observation Begin Outcome Succeeded Failed TimedOut Lost Skipped RetryDue CancelRequested DeadlinePassed "
        "PauseRequested ResumeRequested RerunRequested SkipRequested Failure Ran"
    ),
    "Ask": "explain story critical_path PathStep Entry History",
    "Errors that the caller mends": (
        "DyrygentError UsageError CycleError DuplicateNodeError UnknownNodeError LimitError EncodingError "
        "ResultPathError WorkflowExistsError"
    ),
    "Errors of journals, engines and workflows": (
        "JournalError JournalUnavailableError UnknownWorkflowError UnsupportedVersionError AdapterError "
        "AdapterUnavailableError WorkflowFailedError AttemptLostError UpstreamFailedError ResultNotKeptError "
        "ResultMissingError InvariantError"
    ),
}
"""The public names of `dyrygent_core`, by what they are for."""
UNIONS: Final = {
    "Observation": "Everything that `advance` understands: any of the following but `Failure` and `Ran`.",
    "Outcome": "An observation that ends an attempt: `Succeeded`, `Failed`, `TimedOut`, `Lost` or `Skipped`.",
}
"""Types that have no docstring."""


def api_page() -> str:
    """Make the text of the page on the public names; raises `ValueError` if a name has no group, or two."""
    listed = [name for names in GROUPS.values() for name in names.split()]
    if sorted(listed) != sorted(dyrygent_core.__all__):
        odd = {name for name in {*listed, *dyrygent_core.__all__} if listed.count(name) != 1}
        message = f"these are not in exactly one of GROUPS, or not public: {', '.join(sorted(odd))}"
        raise ValueError(message)
    lines = [
        "# Public names",
        "",
        "What `dyrygent_core` exports, in groups, each with the first line of its docstring.",
        "The rest of the docstring says what is promised and what is raised: `help(dyrygent_core.advance)`.",
        "This page is generated by `docs/generate_tables.py`.",
    ]
    for title, names in GROUPS.items():
        lines += [
            "",
            f"## {title}",
            "",
            *_table(["name", "what"], (_named(dyrygent_core, name) for name in names.split())),
        ]
    lines += ["", "## Pictures", "", "In `dyrygent_core.diagrams`:", ""]
    lines += _table(["name", "what"], (_named(diagrams, name) for name in diagrams.__all__))
    lines += [
        "",
        "## For whoever writes an adapter or a journal",
        "",
        "The ports and the values that pass through them are in `dyrygent_core.ports`, with their numbered clauses.",
        "`dyrygent_core.codec` writes and reads [what is written down](format.md).",
        "",
    ]
    return "\n".join(lines)


def configuration_page() -> str:
    """Make the text of the page on the settings of a Celery app."""
    return "\n".join(
        [
            "# Settings of a Celery app",
            "",
            "Keys of `app.conf`, beside Celery's own.",
            "This page is generated by `docs/generate_tables.py`.",
            "",
            *_table(["key", "what", "without it"], ([f"`{it.name}`", it.what, it.default] for it in KEYS.values())),
            "",
            "`None` is as if the key were not set.",
            "The waiting times of `dyrygent_settings` are [listed with their defaults](limits.md#waiting-times);",
            "[run on Celery](../how-to/run-on-celery.md#configure) says what to give them.",
            "",
            "The keys are read when the first workflow starts, and when a worker does.",
            "One that does not exist, is not read as it is written, or has a value of another type is refused:",
            "the start raises `UsageError` with the nearest name, and a worker warns and runs its other tasks.",
            "",
            "Under a namespace, as in Django's settings, they are written as Celery's own are there:",
            "",
            *_table(
                ["key", "in settings of the namespace `CELERY`"],
                ([f"`{name}`", f"`CELERY_{name.upper()}`"] for name in KEYS),
            ),
            "",
        ]
    )


def command_page() -> str:
    """Make the text of the page on the command line."""
    lines = [
        "# The command line",
        "",
        "`celery -A proj workflow COMMAND …`, a plug-in of Celery's own command.",
        "How to use it is told in [watch and steer from the command line](../how-to/use-the-command-line.md).",
        "This page is generated by `docs/generate_tables.py`.",
        "",
        "`ID` is a workflow's id, or the beginning of one if only one among the newest 10,000 begins so.",
        "Foreign text, such as ids and errors, is printed on one line and without control characters.",
        "",
        *_table(
            ["exit code", "when"],
            [
                ["0", "done; with `watch`, the workflow ended in `SUCCESS`"],
                ["1", "with `watch`, it ended otherwise; a question was answered with no"],
                ["2", "the command cannot be right as it stands, and nothing was changed"],
                ["69", "the journal or the broker cannot be reached"],
                ["124", "with `watch --timeout`, it has not ended in time"],
                ["130", "`watch` was interrupted; the workflow goes on"],
            ],
        ),
    ]
    for name, command in workflow.commands.items():
        told = " ".join((inspect.cleandoc(command.help or "")).split())
        words = [_argument(it) for it in command.params if isinstance(it, click.Argument)]
        options = [it for it in command.params if isinstance(it, click.Option)]
        lines += ["", f"## {name}", "", f"`workflow {' '.join([name, *words])}`", "", *_sentences(told)]
        if options:
            lines += ["", *_table(["option", "what"], map(_option, options))]
    return "\n".join([*lines, ""])


def toolkit_page() -> str:
    """Make the text of the page on the testing toolkit."""
    members = {name: getattr(dyrygent_testing, name) for name in sorted(dyrygent_testing.__all__, key=str.lower)}
    kinds = {name: _kind(member) for name, member in members.items()}
    lines = [
        "# The testing toolkit",
        "",
        "Everything that `dyrygent_testing` exports, with its arguments and its docstring.",
        "[Test your workflow](../how-to/test-your-workflow.md) says which of it to use when.",
        "This page is generated by `docs/generate_tables.py`.",
    ]
    for title in ("Strategies", "Functions", "Values, suites and machines"):
        lines += ["", f"## {title}"]
        for name, member in members.items():
            if kinds[name] == title:
                lines += ["", f"### {name}", "", f"`{_called(name, member)}`", "", *_paragraphs(name, member)]
    return "\n".join([*lines, ""])


def _kind(member: object) -> str:
    if not inspect.isfunction(member):
        return "Values, suites and machines"
    returned = str(inspect.signature(member).return_annotation)
    is_drawn = "SearchStrategy" in returned or "draw" in inspect.signature(inspect.unwrap(member)).parameters
    return "Strategies" if is_drawn else "Functions"


def _called(name: str, member: Any) -> str:
    """Write how something is called; of a default that is long, the docstring tells."""
    if not inspect.isfunction(member):
        return name
    words: list[str] = []
    for parameter in inspect.signature(member).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        words.append(f"{stars}{parameter.name}{default}")
    return f"{name}({', '.join(words)})"


def _default(value: object) -> str:
    if isinstance(value, Enum):
        return repr(value.value)
    return repr(value) if isinstance(value, int | str | None) or value == () else "…"


def _paragraphs(name: str, member: object) -> list[str]:
    told = _ALIASES.get(name) or inspect.getdoc(member) or ""
    lines: list[str] = []
    for paragraph in told.split("\n\n"):
        is_code = paragraph.lstrip().startswith(">>>") or paragraph.startswith("    ")
        text = ["```python", *paragraph.split("\n"), "```"] if is_code else _sentences(" ".join(paragraph.split()))
        lines += [*text, ""]
    return lines[:-1]


_ALIASES: Final = {
    "Outcomes": (
        "The type of what `outcomes_for` draws: for each node, what its attempts 1, 2, 3, … come to if they are run."
    ),
    "QUICK": "Settings under which an `AdapterSuite` takes seconds.",
    "TASKS": "The functions that an engine is to know for an `AdapterSuite`, by name.",
}
"""Values that have no docstring of their own."""


def _argument(argument: click.Argument) -> str:
    name = (argument.name or "").upper()
    return f"[{name}]…" if argument.nargs < 0 else name


def _option(option: click.Option) -> list[str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if isinstance(option.type, click.Choice):
        names += f" {', '.join(f'`{choice}`' for choice in option.type.choices)}"
    elif not option.is_flag:
        names += f" {(option.metavar or option.type.name).upper().removesuffix(' RANGE')}"
    default = f" Without it: {option.default}." if option.show_default and option.default is not None else ""
    return [names, f"{option.help}{default}"]


def _sentences(text: str) -> list[str]:
    return text.replace(". ", ".\n").split("\n")


def _named(module: ModuleType, name: str) -> list[str]:
    told = UNIONS.get(name) or inspect.getdoc(getattr(module, name)) or ""
    return [f"`{name}`", told.partition("\n")[0].replace("|", r"\|")]


def _rows(rows: Iterable[Row]) -> Iterable[list[str]]:
    return ([f"`{row.value}`", *(EFFECTS[effect] for effect in EDGE_EFFECTS[row])] for row in rows)


def _at_zero() -> str:
    clean, tainted = {AT_ZERO[rule] for rule in AND_RULES}.pop()  # one for all of them
    runs = VERDICTS[clean].strip("*")
    return f"When no edge is left, a node that is not tainted {runs}, and a tainted one is `{VERDICTS[tainted]}`."


# Faults

PLACES: Final = {
    "point": "Boundaries of a turn, and of a sweep",
    "journal": "Calls of the journal",
    "engine": "Calls of the adapter",
    "message": "Messages",
    "worker": "Steps of an execution",
}
"""What the places are whose names begin so."""


def faults_page() -> str:
    """Make the text of the page."""
    lines = [
        "# Faults of a simulation",
        "",
        "What can go wrong where, in [a simulation](../how-to/simulate-a-workflow.md): `Fault(place, hit, kind, ms)`.",
        "This page is generated from the toolkit's own tables by `docs/generate_tables.py`.",
        "In the 20,000 schedules of CI each of these has struck, and a test fails if one has not;",
        "`python -m property_tests.fuzz --table` prints how often.",
    ]
    for prefix, title in PLACES.items():
        places = [place for place in fault_places() if place.startswith(f"{prefix}.")]
        kinds = [kind for kind in FaultKind if any(kind in kinds_at(place) for place in places)]
        rows = [[f"`{it}`", *("✓" if kind in kinds_at(it) else "" for kind in kinds)] for it in places]
        lines += ["", f"## {title}", "", *_table(["place", *(f"`{kind.value}`" for kind in kinds)], rows)]
    return "\n".join([*lines, ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    (REFERENCE / "rules.md").write_text(rules_page(), encoding="utf-8")
    (REFERENCE / "api.md").write_text(api_page(), encoding="utf-8")
    (REFERENCE / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    (REFERENCE / "testing.md").write_text(toolkit_page(), encoding="utf-8")
    (REFERENCE / "command-line.md").write_text(command_page(), encoding="utf-8")
    (REFERENCE / "faults.md").write_text(faults_page(), encoding="utf-8")
