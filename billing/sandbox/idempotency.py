"""Idempotency keys: one execution a key, its answer replayed for 24 hours.

The answer is stored in the transaction of the effect itself. A second request that comes in
while the first still runs is told so (409); nothing is stored for it.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from billing.sandbox.errors import ApiError, refused
from billing.sandbox.form import Pairs
from billing.sandbox.http import HttpAnswer
from billing.sandbox.store import Store

LIFETIME_SECONDS = 86_400
_KEY_LENGTH_MAX = 255


def fingerprint(method: str, path: str, pairs: Pairs) -> bytes:
    """Return what a request asks for as a digest; the order of parameters doesn't count."""
    text = repr((method, path, sorted(pairs)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def in_use(key: str) -> ApiError:
    """Return the error for a key whose first request is still running."""
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably"
        " means you submitted twice, and the other request is still going through):"
        f" {key}. Please try again later.",
        code="idempotency_key_in_use",
    )


def check_length(key: str) -> None:
    """Refuse a key that is too long. Raises: ApiError."""
    if len(key) > _KEY_LENGTH_MAX:
        raise refused(f"Idempotency keys can have up to {_KEY_LENGTH_MAX} characters.")


class KeyInFlight:
    """The keys whose requests are being executed right now."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold a key while its request runs. Raises: ApiError, 409, when it is held."""
        with self._lock:
            if key in self._keys:
                raise in_use(key)
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(key)


def saved_answer(store: Store, key: str, print_: bytes, now: int) -> HttpAnswer | None:
    """Return the stored answer of a key that hasn't expired.

    Raises: ApiError when the key was used for a different request.
    """
    rows = store.rows(
        "SELECT fingerprint, status, body, request_id FROM answers WHERE key = ? AND created > ?",
        (key, now - LIFETIME_SECONDS),
    )
    if not rows:
        return None
    stored, status, body, request_id = rows[0]
    if stored != print_:
        raise ApiError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. Try using a key other than '{key}' if you meant to execute a"
            " different request.",
            error_type="idempotency_error",
        )
    headers = {"Idempotent-Replayed": "true", "Original-Request": request_id}
    return HttpAnswer(status, body, headers)


def remember(
    store: Store, key: str, print_: bytes, now: int, answer: HttpAnswer, request_id: str
) -> None:
    """Store an answer under its key, inside the transaction of the effect."""
    store.rows(
        "INSERT OR REPLACE INTO answers (key, fingerprint, created, status, body, request_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (key, print_, now, answer.status, answer.body, request_id),
    )


def forget_expired(store: Store, now: int) -> None:
    """Delete the answers whose keys have expired."""
    with store.transaction():
        store.rows("DELETE FROM answers WHERE created <= ?", (now - LIFETIME_SECONDS,))
