"""Card numbers are refused where input arrives: none may reach a row, a log line or the provider.

A text counts as one when it holds 13 to 19 digits that begin like a card network's numbers and pass
its check digit: in one piece, also at the edge of a word with letters; grouped by up to three
spaces or dashes; or in the groups that are printed on cards, with up to three of any other signs
between them. UUIDs, hexadecimal digests, and what carries a prefix of the provider's ids (`cus_`)
aren't looked at: they are no card numbers, and the check digit alone would hit one in ten of them.
docs/security.md says what isn't seen.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from billing.errors import BadInput, ErrorCode

# What the networks publish of their number ranges, and the lengths in use.
_NETWORKS: Final = re.compile(
    r"""
    4[0-9]{12}(?:[0-9]{3}){0,2}                                                 # Visa
  | (?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}  # Mastercard
  | 3[47][0-9]{13}                                                              # American Express
  | (?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}                                # Discover
  | (?:30[0-5]|3095|36|38|39)[0-9]{10,17}                                       # Diners Club
  | 35(?:2[89]|[3-8][0-9])[0-9]{12,15}                                          # JCB
  | 62[0-9]{14,17}                                                              # UnionPay
  | 220[0-4][0-9]{12,15}                                                        # Mir
  | (?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{9,15}                       # Maestro
  | (?:508[5-9]|60[0-9]{2}|81[0-9]{2}|82[0-9]{2})[0-9]{12}                      # RuPay
    """,
    re.VERBOSE,
)
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
)
# What the provider's ids begin with, as far as people aren't likely to write it before a number.
_ID: Final = re.compile(
    r"(?<![0-9A-Za-z_])(?:acct|ba|bpc|ch|cs|cus|di|dp|du|evt|fr|frr|ic|ii|il|in|inv|ipi|mandate|or|"
    r"pi|pk|plink|pm|po|price|prod|prv|pst|py|pyr|re|req|rk|seti|setatt|si|sk|src|sub|tok|tr|trr|"
    r"tu|txn|we|whsec)_\w+"
)
# Digests and ids in hexadecimal digits: of 24 (as some databases make them), 32 and more.
_HEX: Final = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)", re.ASCII)
_HEX_LENGTHS: Final = frozenset({24, 32, 40, 56, 64, 96, 128})
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_EDGES: Final = re.compile(r"([0-9]*)(?:[A-Za-z][A-Za-z0-9]*)?[A-Za-z]([0-9]*)")
_GROUPS: Final = re.compile(r"[0-9]+(?:[\s-]{1,3}[0-9]+)*")
# Spaces and dashes join groups of any size. What else people put between digits joins figures of
# all kinds, too, so it counts between the groups that are printed on cards alone.
_BETWEEN: Final = r"[^0-9A-Za-z]{1,3}"
_AS_PRINTED: Final = re.compile(
    r"(?<![0-9])(?<![0-9][^\s0-9A-Za-z-])"
    rf"[0-9]{{4}}{_BETWEEN}(?:[0-9]{{4}}{_BETWEEN}[0-9]{{4}}{_BETWEEN}[0-9]{{4}}|[0-9]{{6}}{_BETWEEN}[0-9]{{4,5}})"
    r"(?![0-9]|[^\s0-9A-Za-z-][0-9])"
)
_SEPARATES: Final = re.compile(_BETWEEN)

CARD_REMOVED: Final = "[card number removed]"


class CardNumberRefused(BadInput):
    """A text looked like a card number. The message never repeats it."""

    code = ErrorCode.CARD_NUMBER_REFUSED


def contains_card_number(text: str) -> bool:
    """Say whether a text holds what looks like a card number, in digits of any script."""
    if "&" in text:
        text = html.unescape(text)
    plain = text if text.isascii() else "".join(_plain(text))
    if sum(map(str.isdigit, plain)) < 13:
        return False
    return any(_is_card_number(candidate) for candidate in _candidates(plain))


def refuse_card_number(text: str, where: str) -> None:
    """Let an innocent text pass. Raises: CardNumberRefused, naming the place and not the text."""
    if contains_card_number(text):
        raise CardNumberRefused(
            "this looks like a card number, and card numbers are never kept",
            where=where,
        )


def without_card_numbers(text: str) -> str:
    """Return an innocent text as it is, and nothing of one that holds a card number.

    For text from elsewhere, where there is no caller to refuse.
    """
    return CARD_REMOVED if contains_card_number(text) else text


def _plain(text: str) -> Iterator[str]:
    """Yield digits of any script as those of ASCII, and what may stand between them as dashes."""
    for char in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(char)
        if category == "Nd":
            yield str(unicodedata.decimal(char))
        elif category == "Cf":
            continue  # invisible: joiners, marks of direction
        elif (not char.isascii() and category[0] in "PSZ") or category == "Lm":
            yield "-"  # a keyboard may give a katakana mark or a minus sign for a hyphen
        else:
            yield char


def _candidates(text: str) -> Iterator[str]:
    """Yield every run of whole groups of digits that has the length of a card number."""
    text = _ID.sub("|", _UUID.sub("|", text))
    text = _AS_PRINTED.sub(lambda match: _SEPARATES.sub("-", match[0]), text)
    numbers = _WORD.sub(_digits_at_edges, text)
    for match in _GROUPS.finditer(numbers):
        groups = re.split(r"[\s-]+", match[0])
        for first in range(len(groups)):
            number = ""
            for group in groups[first : first + 19]:
                number += group
                if len(number) > 19:
                    break
                if len(number) >= 13:
                    yield number


def _digits_at_edges(word: re.Match[str]) -> str:
    """Return the digits that a word begins and ends with: the others are part of an id."""
    if word[0].isdigit():
        return word[0]
    if len(word[0]) in _HEX_LENGTHS and _HEX.fullmatch(word[0]):
        return "|"
    edges = _EDGES.fullmatch(word[0])
    assert edges is not None, "a word that isn't a number has a letter"
    return f"{edges[1]}|{edges[2]}"


def _is_card_number(number: str) -> bool:
    return _NETWORKS.fullmatch(number) is not None and _check_digit_fits(number)


def _check_digit_fits(number: str) -> bool:
    """Apply the Luhn formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
