"""How hard Hypothesis tries: `HYPOTHESIS_PROFILE` is `dev`, `ci` or `nightly`.

Where it is not set, it is `ci` under `CI=true`, and else `dev`.

`ci` tries the same examples every time, so that a change is never blamed for a bug it did not make;
`nightly` is where new examples are looked for.
None has a deadline: one example's time says more about the machine than about the code.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_MACHINES_ARE_WELL = (HealthCheck.too_slow,)

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=200,
    print_blob=True,
    suppress_health_check=_SLOW_MACHINES_ARE_WELL,
)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=_SLOW_MACHINES_ARE_WELL,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))
