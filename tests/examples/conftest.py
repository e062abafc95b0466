"""The modules of `examples/` stand beside the script, as a script's modules do, so that folder goes on the path."""

from __future__ import annotations

import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

sys.path.insert(0, str(EXAMPLES))


@frozen
class Site:
    """A folder of installed distributions, as an installer would have written it."""

    folder: Path

    def install(self, name: str, *, requires: Sequence[str] = (), content: bytes = b"x = 1\n") -> Path:
        """Write one distribution of one module; return the module."""
        package, info = self.folder / name, self.folder / f"{name}-1.0.dist-info"
        package.mkdir()
        info.mkdir()
        module = package / "__init__.py"
        module.write_bytes(content)
        head = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        (info / "METADATA").write_text("\n".join([*head, *(f"Requires-Dist: {it}" for it in requires), ""]))
        self.record(name, [f"{name}/__init__.py,{recorded(content)}", f"{name}-1.0.dist-info/RECORD,,"])
        return module

    def record(self, name: str, lines: Sequence[str]) -> None:
        """Write another RECORD."""
        (self.folder / f"{name}-1.0.dist-info" / "RECORD").write_text("\n".join([*lines, ""]))


def recorded(content: bytes) -> str:
    """Give hash and size as RECORD has them."""
    digest = urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(content)}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder)
