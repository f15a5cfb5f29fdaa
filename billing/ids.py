"""Row identifiers: UUIDs that sort by creation, so that new rows land together in an index."""

import os
import time
import uuid


def new_id() -> uuid.UUID:
    """Return a fresh UUID version 7 (RFC 9562, 5.7).

    The time inside only orders the index; no rule may read it back.
    """
    millis = time.time_ns() // 1_000_000
    value = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF000 << 64)) | (0x7000 << 64)
    value = (value & ~(0xC000 << 48)) | (0x8000 << 48)
    return uuid.UUID(int=value)
