"""The tables, and the page of the documentation that is made from them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

from dyrygent_core import Condition, Trigger
from dyrygent_core.rules import AND_RULES, AT_ZERO, EDGE_EFFECTS, OUTCOME_COLUMNS

DOCS: Final = Path(__file__).parents[2] / "docs"


def test_the_page_on_rules_is_made_from_the_tables() -> None:
    """Whoever changes a table runs `docs/generate_tables.py`."""
    script = runpy.run_path(str(DOCS / "generate_tables.py"))

    assert (DOCS / "reference" / "rules.md").read_text(encoding="utf-8") == script["rules_page"]()


def test_every_condition_and_rule_has_its_row() -> None:
    """A rule is a condition on every edge, or has a row of its own; each row has all columns."""
    assert set(EDGE_EFFECTS) == {*Condition, *(trigger for trigger in Trigger if trigger not in AND_RULES)}
    assert {len(effects) for effects in EDGE_EFFECTS.values()} == {len(OUTCOME_COLUMNS)}
    assert set(AT_ZERO) == set(Trigger)
