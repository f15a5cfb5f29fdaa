"""Text that people and programs give: the characters that it may not have, and how it is shown.

A control character clears, retitles or writes to the terminal of whoever looks at it later; a
character that turns the direction of a line makes it read as another one.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Final

CONTROLS: Final = (
    r"\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: xterm takes U+009B for ESC [
    r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # direction and line separators
)
"""The refused characters, as the inside of a class in a regular expression."""
# A lone surrogate stands for a byte that was no UTF-8; it can't be written anywhere.
_CONTROL: Final = re.compile(rf"[{CONTROLS}\ud800-\udfff]")
_KEPT: Final = frozenset("\n\t")


def has_controls(text: str) -> bool:
    """Tell whether a text has a character that no text may have."""
    return _CONTROL.search(text) is not None


def visible(text: str) -> str:
    r"""Return a text for a terminal: each refused character as its escape, like \x1b.

    Line ends and tabs stay; who shows one line of something escapes those too, by `one_line`.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in _KEPT else _escape(found[0]), text)


def one_line(text: str) -> str:
    r"""Return a text for one line: each refused character as its escape, line ends too."""
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def escaped_in_json(json_text: str) -> str:
    r"""Return JSON text in which refused characters are escapes, like \u001b; line ends stay."""
    return _CONTROL.sub(
        lambda found: found[0] if found[0] in "\n\t\r" else f"\\u{ord(found[0]):04x}", json_text
    )


def nearest(typed: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" for a near miss, else nothing."""
    by_folded = {word.casefold(): word for word in known}
    close = difflib.get_close_matches(typed.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
