"""What a local adapter runs: functions by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from dyrygent_core import Call, UsageError
from dyrygent_core.checks import shown
from dyrygent_core.errors import UnknownNodeError, quoted
from local_dyrygent.coroutines import Coroutines

__all__ = ["Functions", "Registered", "UnknownFunctionError", "check_workers"]

Functions: TypeAlias = Mapping[str, Callable[..., Any]]
"""By the names that calls use. What returns a coroutine, such as an `async def`, is run to its end."""


class UnknownFunctionError(UnknownNodeError):
    """A call names a function that the local adapter was not given."""

    def __str__(self) -> str:
        """Say which, and the closest that there is."""
        close = self.args[2]
        hint = f"; did you mean {quoted(close[0])}?" if close else "; add it to LocalAdapter(functions)"
        return f"no function is named {quoted(self.node)}{hint}"


class Registered:
    """The functions of one adapter."""

    def __init__(self, functions: Functions) -> None:
        _check_functions(functions)
        self._functions = dict(functions)
        self._coroutines = Coroutines()

    def __len__(self) -> int:
        return len(self._functions)

    def check(self, name: str) -> None:
        """Raise `UnknownFunctionError` for a name that there is not."""
        if name not in self._functions:
            raise UnknownFunctionError(name, known=self._functions)

    def run(self, call: Call) -> Any:
        """Return what a call comes to, or raise it."""
        inputs = call.inputs.value
        value = self._functions[call.target](*inputs["args"], **inputs["kwargs"])
        return self._coroutines.run(value) if inspect.iscoroutine(value) else value

    def close(self) -> None:
        """Close what coroutines ran in."""
        self._coroutines.close()


def check_workers(workers: object) -> None:
    """Raise `UsageError` for what is no number of threads."""
    if not isinstance(workers, int) or workers < 0:
        message = f"workers must be a number of threads, or 0 to run in the thread that starts, not {shown(workers)}"
        raise UsageError(message)


def _check_functions(functions: object) -> None:
    if not isinstance(functions, Mapping):
        message = f"LocalAdapter takes its functions by name, as {{name: function}}, not as {type(functions).__name__}"
        raise UsageError(message)
    for name, function in cast("Mapping[object, object]", functions).items():
        if not isinstance(name, str) or not callable(function):
            message = (
                f"LocalAdapter was given {quoted(repr(name))}: {type(function).__name__}; write {{name: function}}"
            )
            raise UsageError(message)
