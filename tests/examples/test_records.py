"""Files against their RECORD, and what a component makes of the results below it."""

from __future__ import annotations

import pytest
from records import Checked, Mismatch, check_record
from verify_tasks import total, verify

from tests.examples.conftest import Site, recorded


def test_what_is_as_it_was_installed_matches(site: Site) -> None:
    """Files with a hash are counted with their sizes, RECORD itself is not hashed."""
    site.install("lib", content=b"12345")

    assert check_record("lib", site.folder) == Checked(files=1, size_bytes=5, unhashed=1)


@pytest.mark.parametrize(
    ("content", "why"), [(b"12346", "has another content"), (b"1234", "has 4 bytes, not 5"), (None, "is missing")]
)
def test_a_tampered_file_is_a_mismatch(site: Site, content: bytes | None, why: str) -> None:
    """Another content, another size, no file: each is told."""
    module = site.install("lib", content=b"12345")
    if content is None:
        module.unlink()
    else:
        module.write_bytes(content)

    assert check_record("lib", site.folder).mismatches == (Mismatch("lib/__init__.py", why),)


def test_without_a_record_nothing_is_verified(site: Site) -> None:
    """System packages often have none: that is told, and is no mismatch."""
    site.install("lib")
    (site.folder / "lib-1.0.dist-info" / "RECORD").unlink()

    assert check_record("lib", site.folder) == Checked(has_record=False)


@pytest.mark.parametrize(
    ("line", "mismatch"),
    [
        ("lib/__init__.py,md5=abc,5", Mismatch("lib/__init__.py", "is recorded with 'md5', which proves nothing")),
        ("lib/__init__.py", Mismatch("RECORD", "line 1 is not 'path,hash,size'")),
        ("lib,sha256=abc,5", Mismatch("lib", "is no file")),
    ],
)
def test_a_record_that_proves_nothing_is_a_mismatch(site: Site, line: str, mismatch: Mismatch) -> None:
    """Weak hashes and broken lines are told, never passed over."""
    site.install("lib")
    site.record("lib", [line])

    assert check_record("lib", site.folder).mismatches == (mismatch,)


def test_a_path_with_commas_and_quotes_is_read(site: Site) -> None:
    """RECORD is CSV."""
    site.install("lib")
    odd = site.folder / 'a, "b".py'
    odd.write_bytes(b"1")
    site.record("lib", [f'"a, ""b"".py",{recorded(b"1")}'])

    assert check_record("lib", site.folder) == Checked(files=1, size_bytes=1)


def test_what_matches_but_requires_what_does_not_is_told(site: Site) -> None:
    """Results flow up: the longest chain, and what a component rests on."""
    site.install("low").write_bytes(b"changed")
    site.install("top")
    members = {name: [{"name": name, "version": "1.0", "folder": str(site.folder)}] for name in ("low", "top")}

    low = verify("low", members["low"], [])
    top = verify("top", members["top"], [low])
    summed = total([low, top])

    assert (low["chain"], top["chain"]) == (["low"], ["low", "top"])
    assert summed["rests_on"] == {"top": ["low"]}
    assert (summed["mismatch_count"], summed["files"], summed["chain"]) == (1, 2, ["low", "top"])
    assert [name for name, _, _ in summed["mismatches"]] == ["low"]
