"""The table that a run of the adapter suite ends with: which clauses each adapter holds, and why others were skipped.

It is a plug-in of pytest that the suite registers by itself when its first rule is set up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import pytest
from attrs import define, field, frozen

__all__ = ["ClauseTable", "Ruled", "watch_rules"]

_PLUGIN: Final = "dyrygent-adapter-clauses"
_SUITE: Final = "dyrygent_adapter_suite"
_CLAUSE: Final = re.compile(r"test_(a\d+|whole)_")
_TITLES: Final = {
    "A1": "dispatch",
    "A2": "report",
    "A3": "lookup",
    "A4": "revoke",
    "A5": "publish",
    "A6": "waiting",
    "A7": "values",
    "A8": "hand over",
    "A9": "check",
    "A10": "again",
    "A11": "losses",
    "whole": "whole workflows",
}
_REASON: Final = re.compile(r"^Skipped: ", re.IGNORECASE)


@frozen
class Ruled:
    """What became of one rule for one adapter. `reason`: why it was skipped."""

    suite: str
    clause: str
    became: str
    seconds: float
    reason: str = ""


@define(eq=False)
class ClauseTable:
    """Collects what becomes of the rules, and prints it by suite and clause."""

    ruled: list[Ruled] = field(factory=list[Ruled])
    _seconds: dict[str, float] = field(factory=dict[str, float])
    _worst: dict[str, tuple[str, str]] = field(factory=dict[str, "tuple[str, str]"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of each phase of a rule; what fails or skips in any of them counts for the whole."""
        suite = next((str(value) for name, value in report.user_properties if name == _SUITE), None)
        if suite is None:
            return
        at = report.nodeid
        self._seconds[at] = self._seconds.get(at, 0.0) + report.duration
        if report.outcome != "passed" and self._worst.get(at, ("", ""))[0] != "failed":
            self._worst[at] = report.outcome, _reason(report)
        if report.when == "teardown":
            became, reason = self._worst.pop(at, ("passed", ""))
            self.ruled.append(Ruled(suite, _clause(at), became, self._seconds.pop(at), reason))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a table for each adapter."""
        for suite in dict.fromkeys(it.suite for it in self.ruled):
            terminalreporter.section(f"clauses of the adapter port: {suite}", sep="-")
            for line in self.lines(suite):
                terminalreporter.write_line(line)

    def lines(self, suite: str) -> Iterator[str]:
        """Give the table of one suite, a line for each clause, and one for the whole."""
        mine = [it for it in self.ruled if it.suite == suite]
        for clause in sorted({it.clause for it in mine}, key=_place):
            yield _line(clause, [it for it in mine if it.clause == clause])
        yield _line("all", mine)


def watch_rules(request: pytest.FixtureRequest) -> None:
    """Have what becomes of the requesting rule in the table."""
    plugins = request.config.pluginmanager
    if not plugins.has_plugin(_PLUGIN):
        plugins.register(ClauseTable(), _PLUGIN)
    request.node.user_properties.append((_SUITE, request.node.cls.__name__))


def _line(clause: str, its: Iterable[Ruled]) -> str:
    rules = list(its)
    counts = {became: sum(it.became == became for it in rules) for became in ("passed", "failed", "skipped")}
    word = "FAILED" if counts["failed"] else "held" if counts["passed"] else "skipped"
    seconds = sum(it.seconds for it in rules)
    told = f"{clause:<5} {_TITLES.get(clause, ''):<15} {word:<7} {counts['passed']:>3} held"
    told += f" {counts['failed']:>3} failed {counts['skipped']:>3} skipped {seconds:7.1f} s"
    reasons = dict.fromkeys(it.reason for it in rules if it.reason) if clause != "all" else {}
    return f"{told}   {'; '.join(reasons)}".rstrip()


def _place(clause: str) -> int:
    return list(_TITLES).index(clause) if clause in _TITLES else len(_TITLES)


def _clause(nodeid: str) -> str:
    found = _CLAUSE.search(nodeid)
    return "other" if found is None else found[1] if found[1] == "whole" else found[1].upper()


def _reason(report: pytest.TestReport) -> str:
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return ""
    return _REASON.sub("", str(report.longrepr[2]))
