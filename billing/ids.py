"""Row identifiers: UUIDs that sort by creation, so that new rows land together in an index."""

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from datetime import datetime


def new_id() -> uuid.UUID:
    """Return a fresh UUID version 7 (RFC 9562, 5.7).

    The time inside only orders the index; no rule may read it back.
    """
    return _of(time.time_ns() // 1_000_000, os.urandom(10))


def derived_id(kind: str, owner: uuid.UUID, n: int, at: datetime) -> uuid.UUID:
    """Return the id of the n-th `kind` of an owner: always the same, ordered by `at`.

    What is made again after a restore gets the id it had, and so the provider, asked under the
    key that follows from it, answers with what it did the first time.
    """
    (made,) = derived_ids((kind,), owner, n, at)
    return made


def derived_ids(
    kinds: Sequence[str], owner: uuid.UUID, n: int, at: datetime
) -> tuple[uuid.UUID, ...]:
    """Return the derived ids of several kinds, in their order."""
    millis, of = max(0, int(at.timestamp() * 1000)), f":{owner}:{n}"
    return tuple(
        _of(millis, hashlib.sha256(f"{kind}{of}".encode()).digest()[:10]) for kind in kinds
    )


def _of(millis: int, rest: bytes) -> uuid.UUID:
    value = (millis << 80) | int.from_bytes(rest, "big")
    value = (value & ~(0xF000 << 64)) | (0x7000 << 64)
    value = (value & ~(0xC000 << 48)) | (0x8000 << 48)
    return uuid.UUID(int=value)
