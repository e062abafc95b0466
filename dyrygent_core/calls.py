"""What a node runs: a target's name, its arguments with holes for results, and options for the engine.

The core never looks into a call; who runs it is the engine's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import evolve, field, frozen

from dyrygent_core.checks import shown
from dyrygent_core.errors import UsageError, quoted
from dyrygent_core.refs import Reference, detach

__all__ = ["Call", "Template", "call", "check_target"]


@frozen
class Template:
    """A value with holes, and the references that fill them."""

    value: Any = field(default=None, hash=False)
    references: tuple[Reference, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Template:  # a payload
        """Take the references out of a value; raises `UsageError` as `refs.detach` does."""
        return cls(*detach(value))


@frozen
class Call:
    """What a node runs, engine-neutral: a target's name, its arguments, and options for the engine.

    `inputs` holds `{"args": […], "kwargs": {…}}` with the references taken out.
    """

    target: str = field(validator=lambda _, __, value: check_target(value))
    inputs: Template = field(
        factory=lambda: Template({"args": [], "kwargs": {}}), validator=lambda _, __, value: _check_inputs(value)
    )
    options: Mapping[str, Any] = field(
        factory=dict[str, Any], hash=False, validator=lambda _, __, value: _check_options(value)
    )

    def with_options(self, **options: Any) -> Call:  # the engine's own
        """Return the same call with more options for the engine, such as `queue="mail"` on Celery.

        Raises `UsageError` for a reference among them: they are read when the call is sent, and results are not.
        """
        _, references = detach(options)
        if references:
            message = (
                f"the options of {quoted(self.target)} refer to the result of {quoted(references[0].node)}; "
                f"only arguments can, so pass it as one"
            )
            raise UsageError(message)
        return evolve(self, options={**self.options, **options})


def call(target: str, /, *args: Any, **kwargs: Any) -> Call:  # payloads
    """Say what a node runs: `call("mail.welcome", user.result["id"], lang="pl")`.

    References to results may stand anywhere in the arguments, inside lists and dicts too.
    Raises `UsageError` for an empty name, and as `refs.detach` does.
    """
    return Call(target, Template.of({"args": list(args), "kwargs": kwargs}))


def check_target(target: object) -> None:
    """Raise `UsageError` unless this can be a target's name."""
    if not isinstance(target, str) or not target:
        message = f"a call names its target by a non-empty str, not {shown(target)}"
        raise UsageError(message)


def _check_inputs(inputs: object) -> None:
    """Raise `UsageError` unless these are a list of args and a mapping of kwargs; which ones is the user's matter."""
    if not isinstance(inputs, Template) or not _has_arguments(inputs.value):
        told = "a Template of something else" if isinstance(inputs, Template) else type(inputs).__name__
        message = (
            f"a call's inputs must be a Template of {{'args': […], 'kwargs': {{…}}}}, not {told}; "
            f"call('target', …) makes them of its arguments"
        )
        raise UsageError(message)


def _has_arguments(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    inputs = cast("dict[object, object]", value)
    return len(inputs) == _PARTS and isinstance(inputs.get("args"), list) and isinstance(inputs.get("kwargs"), dict)


_PARTS: Final = 2


def _check_options(options: object) -> None:
    if not isinstance(options, Mapping):
        message = f"a call's options must be a mapping, not {type(options).__name__}: {shown(options)}"
        raise UsageError(message)
