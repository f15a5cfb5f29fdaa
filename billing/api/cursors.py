"""Cursors: opaque to callers, a row's id to us."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from billing.errors import BadInput

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200


def encode(row_id: UUID) -> str:
    """Return the cursor that goes on after a row."""
    return base64.urlsafe_b64encode(b"1" + row_id.bytes + b"\0").decode()


def decode(cursor: str | None) -> UUID | None:
    """Return the row to go on after. Raises `BadInput` for a cursor that isn't ours."""
    if not cursor:
        return None
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 18 or raw[0] != ord("1") or raw[-1] != 0:
        raise BadInput(
            "this is no cursor of ours", where="cursor", remedy="send next_cursor as it was given"
        )
    return UUID(bytes=raw[1:17])


def cut(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], str | None]:
    """Return up to `limit` of `limit + 1` rows, and the cursor of the next page."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(rows[limit - 1].id)
