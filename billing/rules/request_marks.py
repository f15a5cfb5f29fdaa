"""What a caller of the API asked for, as the object that came of it names it at the provider.

A database that was restored has forgotten the caller's idempotency key. The mark lets a recovery
write it down again, so that the caller's repetition finds what was made and makes nothing anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REQUEST: Final = "request"
CALLER: Final = "caller"
"""Where the caller's request stands beside what `REQUEST` says of an invoice."""
NOTE: Final = "note"
"""Where a refund names the credit note that asked for it."""
_DIGITS: Final = 64  # of a SHA-256


@dataclass(frozen=True, slots=True)
class RequestMark:
    """A caller's request: whose it is, its idempotency key, and the hash of what it asks for.

    The key holds no space, and all three have at most 400 characters together.
    """

    scope: str
    key: str
    request_hash: bytes

    def as_metadata(self, under: str = REQUEST) -> Mapping[str, str]:
        """Return what the object carries.

        It begins with the hash, so no caller can choose a key that reads as another mark.
        """
        return {under: f"{self.request_hash.hex()} {self.key} {self.scope}"}


def read_mark(metadata: Mapping[str, str], under: str = REQUEST) -> RequestMark | None:
    """Return the mark of an object, or None where it has none that can be read."""
    parts = metadata.get(under, "").split(" ", 2)
    if len(parts) != 3 or len(parts[0]) != _DIGITS:
        return None
    try:
        return RequestMark(parts[2], parts[1], bytes.fromhex(parts[0]))
    except ValueError:
        return None
