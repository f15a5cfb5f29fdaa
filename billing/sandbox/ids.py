"""Object and request ids in the provider's style: a prefix, then letters and digits."""

import os
import string

_LETTERS = (string.ascii_letters + string.digits).encode()
_TABLE = bytes(_LETTERS[i % len(_LETTERS)] for i in range(256))


def new_id(prefix: str) -> str:
    """Return a fresh random id. It is never all digits, so it can't pass for a card number."""
    return f"{prefix}_1P{os.urandom(22).translate(_TABLE).decode()}"


def new_request_id() -> str:
    """Return the id of one HTTP exchange."""
    return f"req_{os.urandom(14).translate(_TABLE).decode()}"
