"""Taking secrets out of text that is shown or logged: keys, tokens, passwords in addresses.

It is a net, not a licence: secrets aren't put into text in the first place.
"""

import re
from typing import Final

_PATTERNS: Final = (
    re.compile(r"\b(?P<kept>(?:sk|rk)_(?:live|test)_)\w+"),
    re.compile(r"\b(?P<kept>(?:perennial|pk)_[a-z]{12}_)\w+"),
    re.compile(r"\b(?P<kept>whsec_)\w+"),
    re.compile(r"\b(?P<kept>(?:pi|seti)_\w+?_secret_)\w+"),
    re.compile(r"(?P<kept>\bBearer\s+)\S+", re.IGNORECASE),
    # A password may have any character, a slash, an @ and a space too: it ends at the last @.
    re.compile(
        r"(?P<kept>\b(?:postgres(?:ql)?(?:\+\w+)?|rediss?|amqps?)://[^\s:/@]*:).+(?P<end>@)",
        re.IGNORECASE,
    ),
    # In other addresses what follows the colon may be a port, and an @ stand in a later word.
    re.compile(r"(?P<kept>://[^\s:/@]*:)(?!\d{1,5}(?:[/?#\s]|$))\S+(?P<end>@)"),
    # libpq's key = 'value', a query's password=value, and JSON.
    re.compile(
        r"(?P<kept>\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&'][^\s&]*)", re.IGNORECASE
    ),
    re.compile(r"(?P<kept>\"(?:ssl)?password\"\s*:\s*\")(?:[^\"\\]|\\.)*", re.IGNORECASE),
)


def without_secrets(text: str, mask: str) -> str:
    """Return a text with `mask` in place of every secret that can be told by its form."""
    for pattern in _PATTERNS:
        text = pattern.sub(
            lambda found: f"{found['kept']}{mask}{found.groupdict().get('end') or ''}", text
        )
    return text
