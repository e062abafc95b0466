"""How hard Hypothesis tries: `HYPOTHESIS_PROFILE` is `dev`, `ci` or `nightly`, see `load_profile`."""

from __future__ import annotations

from dyrygent_testing import load_profile

load_profile()
