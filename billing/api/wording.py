"""What is wrong with a field of a request, in words: a caller reads no regular expression."""

from collections.abc import Mapping
from typing import Any, Final

from billing.rules.texts import CONTROLS

NO_CONTROLS: Final = rf"^[^{CONTROLS}]*$"
CURRENCY: Final = r"^[A-Z]{3}$"
COUNTRY: Final = r"^[A-Z]{2}$"
REGION: Final = r"^[A-Z0-9]{1,3}$"
TOKEN: Final = r"^[A-Za-z0-9_-]+$"  # noqa: S105  a pattern of the provider's tokens
NAME: Final = rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"
EMAIL: Final = rf"^[^@\s{CONTROLS}]+@[^@\s{CONTROLS}]+$"
ACCOUNT: Final = r"^[a-z][a-z0-9_-]{0,62}$"
ZONE: Final = r"^[A-Za-z][A-Za-z0-9_+/-]*$"
KEY: Final = r"^[\x21-\x7e]+$"
CODE: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
DIGEST: Final = r"^[0-9a-f]{64}$"
NUMBER: Final = r"^[0-9]{1,18}$"

PATTERNS: Final[Mapping[str, str]] = {
    NO_CONTROLS: "has a control character, or one that turns the direction of a line",
    CURRENCY: "is not three capital letters of ISO 4217, like USD",
    COUNTRY: "is no country's code of ISO 3166: two capital letters, like DE",
    REGION: "is no region's code of ISO 3166: what follows the dash, as NY of US-NY",
    TOKEN: "is not a token of the provider: letters, digits, dash and underscore",
    NAME: "is blank, or has a control character",
    EMAIL: "is no e-mail address",
    ACCOUNT: "is no account's name: small letters, digits, dash and underscore",
    ZONE: "is no time zone's name, like Europe/Berlin or UTC",
    KEY: "is not of visible ASCII characters without spaces",
    CODE: "is no code of the catalog: small letters, digits and single dashes",
    DIGEST: "is no digest that a quote gave",
    NUMBER: "is no number that next_cursor gave",
}


def what_is_wrong(error: Mapping[str, Any]) -> str:
    """Return one validation error in words, without the value."""
    if error["type"] == "string_pattern_mismatch":
        return PATTERNS.get(error["ctx"]["pattern"], "is not written as it has to be")
    return str(error["msg"]).removeprefix("Value error, ")
