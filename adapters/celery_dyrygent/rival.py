"""celery-dyrygent, the predecessor, and this distribution hold a package of one name, so both cannot be installed.

Whichever was installed last has overwritten files of the other, and whichever is removed takes them along. Where ours
were overwritten, nothing of ours runs that could say so; where ours are the later, it is said here.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

__all__ = ["refuse_rival"]

_RIVAL: Final = "celery-dyrygent"
_PACKAGE: Final = "celery_dyrygent"


def refuse_rival() -> None:
    """Raise `ImportError` if the predecessor is installed too. A later release of it without that package is none."""
    try:
        found = distribution(_RIVAL)
    except PackageNotFoundError:
        return
    if _has_the_package(found):
        message = (
            f"celery-dyrygent {found.version} is installed beside dyrygent, and both hold the package "
            f"`celery_dyrygent`, whose files are mixed now; run `pip uninstall celery-dyrygent`, and then "
            f"`pip install --force-reinstall --no-deps dyrygent`, since that removes files of both"
        )
        raise ImportError(message, name=_PACKAGE)


def _has_the_package(found: Distribution) -> bool:
    """Tell whether a distribution holds the package; one that does not list its files is taken to."""
    files = found.files
    return files is None or any(path.parts[0] == _PACKAGE for path in files)
