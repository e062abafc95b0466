"""A selection of a suite's tests, where all of them would take too long."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import pytest

__all__ = ["NIGHTLY", "only"]

C = TypeVar("C")

NIGHTLY: Final = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly", reason="takes minutes; HYPOTHESIS_PROFILE=nightly runs it"
)


def only(*names: str) -> Callable[[type[C]], type[C]]:
    """Leave a class these of its tests; each must be one."""

    def leave(suite: type[C]) -> type[C]:
        tests = {name for name in dir(suite) if name.startswith("test_")}
        assert set(names) <= tests, set(names) - tests
        for name in tests - set(names):
            setattr(suite, name, None)
        return suite

    return leave
