"""What is said where a library is missing that an extra of ours brings."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["with_the_extra"]


def with_the_extra(missing: ModuleNotFoundError, package: str, extras: Mapping[str, str]) -> ModuleNotFoundError:
    """Return the error to raise in the place of one: it names the extra to install.

    `extras`: which of ours brings each library. What none of them brings is left as it is.

    >>> print(with_the_extra(ModuleNotFoundError(name="celery"), "celery_dyrygent", {"celery": "celery"}))
    celery_dyrygent needs 'celery', which is not installed: pip install "dyrygent[celery]"
    """
    library = (missing.name or "").partition(".")[0]
    if library not in extras:
        return missing
    text = f'{package} needs {library!r}, which is not installed: pip install "dyrygent[{extras[library]}]"'
    return ModuleNotFoundError(text, name=missing.name, path=missing.path)
