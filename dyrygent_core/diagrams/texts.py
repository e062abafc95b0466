"""How foreign text is shown in a picture: on one line, at a bounded length, with nothing invisible in it.

What a format does with the characters that mean something to it is decided in that format's module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

__all__ = ["MOST_SHOWN", "shortened", "visible"]

MOST_SHOWN: Final = 60
"""Characters of one id in a box: with more, boxes are wider than what they are connected by."""

_NAMED: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LARGEST_IN_2, _LARGEST_IN_4 = 0xFF, 0xFFFF
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
    "\u2800\U00016fe4\U0001d159]"
)
"""What `str.isprintable` calls printable, and no font shows: fillers, joiners and selectors of variants, which Unicode
lists as Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and then three that are drawn as nothing.
"""


def visible(text: str, most: int = MOST_SHOWN) -> str:
    r"""Show a text in at most so many printable characters; its middle gives way, both ends say the most.

    Controls, marks of direction and other invisible characters are written as in Python source, backslashes are
    doubled, and so is any space written that a renderer would drop: nothing in a short text is hidden.

    >>> print(visible("exe.\u202egnp\n"))
    exe.\u202egnp\n
    """
    if _is_visible(text) and "\\" not in text and "  " not in text and text.strip(" ") == text:
        pieces: Sequence[str] = text
    else:
        pieces = [_shown(before, character) for before, character in pairwise(f" {text}")]
        if pieces[-1] == " ":
            pieces[-1] = "\\x20"
    return shortened(pieces, most)


def shortened(pieces: Sequence[str], most: int) -> str:
    """Join pieces of text; if that is too long, two thirds of what fits are the beginning, one is the end."""
    if sum(map(len, pieces)) <= most:
        return "".join(pieces)
    end = _fitting(pieces[::-1], (most - 1) // 3)
    beginning = _fitting(pieces, most - 1 - sum(map(len, end)))
    return "".join([*beginning, "…", *reversed(end)])


def _shown(before: str, character: str) -> str:
    if character == " ":
        return "\\x20" if before == " " else " "
    if character in _NAMED:
        return _NAMED[character]
    if _is_visible(character):
        return character
    code = ord(character)
    if code <= _LARGEST_IN_2:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LARGEST_IN_4 else f"\\U{code:08x}"


def _is_visible(text: str) -> bool:
    return text.isprintable() and not _BLANK.search(text)


def _fitting(pieces: Sequence[str], most: int) -> list[str]:
    kept: list[str] = []
    left = most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        kept.append(piece)
    return kept
