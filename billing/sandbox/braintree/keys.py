"""The api_request_key: one execution a key, answered with the present state for 30 days.

The key and what it made are kept in the transaction of the effect. What a repetition gets is not
the stored answer but the transaction as it is by then.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.replies import RefusedRequest, XmlReply, refuse
from billing.sandbox.braintree.settings import DAY
from billing.sandbox.braintree.transaction_view import reply_about
from billing.sandbox.store import Record

LIFETIME_SECONDS = 30 * DAY
_KIND = "request"
_LENGTH_MAX = 255


def key_of(params: Mapping[str, Any]) -> str | None:
    """Return the key in a request's parameters. Raises: RefusedRequest when it is too long."""
    given = params.get("transaction")
    key = given.get("api_request_key") if isinstance(given, dict) else None
    if key is None:
        return None
    if len(str(key)) > _LENGTH_MAX:
        raise refuse("transaction", "api_request_key", "915230")
    return str(key)


def fingerprint(method: str, path: str, params: Mapping[str, Any]) -> str:
    """Return what a request asks for as a digest; the order of parameters doesn't count."""
    text = repr((method, path, _sorted(params)))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((name, _sorted(each)) for name, each in value.items())
    return [_sorted(each) for each in value] if isinstance(value, list) else value


class KeysInFlight:
    """The keys whose requests are being executed right now."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, merchant: str, key: str) -> Iterator[None]:
        """Hold a key while its request runs. Raises: RefusedRequest when it is held."""
        with self._lock:
            if (merchant, key) in self._keys:
                raise in_flight()
            self._keys.add((merchant, key))
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard((merchant, key))


def in_flight() -> RefusedRequest:
    """Return the refusal of a key whose first request is still running."""
    return refuse("transaction", "api_request_key", "915233")


def replayed(call: MerchantCall, key: str, print_: str) -> XmlReply | None:
    """Return the answer to a key that was used in the last 30 days.

    Raises: RefusedRequest when it was used for another request, or for one that was refused.
    """
    record = call.find(_KIND, key)
    if record is None or record["at"] <= call.now - LIFETIME_SECONDS:
        return None
    if record["fingerprint"] != print_:
        raise refuse("transaction", "api_request_key", "915232")
    if record["made"] is None:
        raise refuse("transaction", "api_request_key", "915234")
    made = call.stored(TRANSACTION, record["made"])
    return reply_about(call, made, status=record["status"])


def remember(call: MerchantCall, key: str, print_: str, reply: XmlReply | None) -> None:
    """Keep a key with what it made; None for a refusal. Inside the transaction of the effect."""
    fresh: Record = {
        "fingerprint": print_,
        "at": call.now,
        "made": None if reply is None else reply.made,
        "status": 200 if reply is None or reply.status == 422 else reply.status,
    }
    record = call.find(_KIND, key)
    if record is None:
        call.insert(_KIND, fresh, ref=key)
    else:
        call.update(record | fresh)
