"""API keys, scopes and rate limits, the same for HTTP and gRPC."""

import math
import threading
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine

from billing.api.problems import Refused
from billing.flows.context import Clock
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Key, Scope
from billing.flows.service.callers import Caller
from billing.gateway.rate import TokenBucket

CHALLENGE: Final = 'Bearer realm="perennial"'
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller whose key was recognised."""

    key: Key

    @property
    def caller(self) -> Caller:
        """The caller, in the form that flows take."""
        return Caller(self.key.id, self.key.name)

    def needs(self, scope: Scope) -> None:
        """Check that the key has this scope. Raises `Refused`."""
        if not self.key.may(scope):
            raise Refused(
                "permission_denied",
                f"this needs the scope {scope}, which the key doesn't have",
                scope=str(scope),
            )


@dataclass(frozen=True)
class Guard:
    """Recognises keys, and limits the requests a second of each."""

    engine: Engine
    clock: Clock
    pepper: str
    rate_per_second: float
    rate_burst: int
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, authorization: str | None) -> Visitor:
        """Return who presents this `Authorization`. Raises `Refused`."""
        if authorization is None or not authorization.lower().startswith(_SCHEME):
            raise Refused(
                "unauthenticated",
                "there is no API key in this request",
                remedy="send it as: Authorization: Bearer perennial_...",
            )
        presented = authorization[len(_SCHEME) :].strip()
        key = api_keys.recognise(self.engine, presented, pepper=self.pepper, wall=self.clock.wall())
        if key is None:
            raise Refused("unauthenticated", "the API key isn't known, or was revoked")
        wait = self._bucket(key.id).take()
        if wait > 0:
            raise Refused(
                "rate_limited",
                f"an API key may make {self.rate_per_second:g} requests a second",
                headers={"retry-after": str(math.ceil(wait))},
                remedy=f"wait {wait:.2f} seconds",
            )
        return Visitor(key)

    def _bucket(self, key_id: str) -> TokenBucket:
        """Only recognised keys get a bucket, so their number is bounded."""
        with self._lock:
            if key_id not in self._buckets:
                self._buckets[key_id] = TokenBucket(self.rate_per_second, self.rate_burst)
            return self._buckets[key_id]
