"""How hard Hypothesis tries: three profiles, and which of them holds."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.errors import InvalidArgument

from dyrygent_core import UsageError
from dyrygent_core.checks import check_text, shown

__all__ = ["load_profile"]

_SLOW_MACHINES_ARE_WELL: Final = (HealthCheck.too_slow,)
_PROFILES: Final = {
    "dev": settings(deadline=None),
    "ci": settings(
        deadline=None,
        derandomize=True,
        max_examples=200,
        print_blob=True,
        suppress_health_check=_SLOW_MACHINES_ARE_WELL,
    ),
    "nightly": settings(
        deadline=None, max_examples=5_000, print_blob=True, suppress_health_check=_SLOW_MACHINES_ARE_WELL
    ),
}


def load_profile(name: str | None = None) -> str:
    """Register Hypothesis's profiles `dev`, `ci` and `nightly`, load one, and return its name. For a `conftest.py`.

    `name`: by default what `HYPOTHESIS_PROFILE` says; where that is not set, `ci` under `CI=true`, and else `dev`.
    `dev` tries 100 new examples each time. `ci` tries the same 200 every time, so that a change is never blamed for a
    bug it did not make. `nightly` tries 5,000 new ones. None has a deadline: one example's time says more about the
    machine than about the code.

    Raises `UsageError` for another name that nobody has registered.
    """
    if name is not None:
        check_text("a profile", name)
    for known, its in _PROFILES.items():
        settings.register_profile(known, its)
    usual = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev")
    chosen = usual if name is None else name
    try:
        settings.get_profile(chosen)  # which changes nothing, as `load_profile` does before it refuses
    except InvalidArgument as problem:
        message = f"there is no profile {shown(chosen)}; write 'dev', 'ci' or 'nightly', or register it first"
        raise UsageError(message) from problem
    settings.load_profile(chosen)
    return chosen
