"""The headers of every HTTP answer, whoever writes it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REQUEST_ID: Final = "x-request-id"
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "strict-transport-security": "max-age=63072000",
        "x-content-type-options": "nosniff",
    }
)
