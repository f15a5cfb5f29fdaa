"""Logging in and out: a key for a session, a cookie for its token, and no more tries than some."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Final

from sqlalchemy import Engine
from starlette.responses import Response

from billing.config import ConsoleSettings
from billing.console.metrics import ConsoleMetrics
from billing.console.requests import HOME, Person
from billing.flows.context import Clock
from billing.flows.service import console_sessions
from billing.gateway.rate import TokenBucket

LOGIN: Final = f"{HOME}/login"
LOGOUT: Final = f"{HOME}/logout"
_ADDRESSES_MAX: Final = 1_000


class TooManyLogins(Exception):
    """Too many keys were presented from one address."""


@dataclass(frozen=True)
class Logins:
    """Opens sessions, and knows who is behind a cookie."""

    engine: Engine
    clock: Clock
    pepper: str
    settings: ConsoleSettings
    metrics: ConsoleMetrics
    _tries: OrderedDict[str, TokenBucket] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def secure(self) -> bool:
        """Tell whether browsers come by https."""
        return self.settings.url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the cookie; with the prefix a browser takes it from this host alone."""
        return "__Host-perennial" if self.secure else "perennial"

    def open(self, key: str, address: str) -> str | None:
        """Return the token of a new session; None for a key that opens nothing.

        Raises: TooManyLogins.
        """
        if self._bucket(address).take() > 0:
            self.metrics.login("limited")
            raise TooManyLogins
        token = console_sessions.log_in(
            self.engine,
            key,
            pepper=self.pepper,
            wall=self.clock.wall(),
            lasts=self.settings.session,
        )
        self.metrics.login("refused" if token is None else "opened")
        return token

    def who(self, headers: Mapping[str, str]) -> Person | None:
        """Return who a request's cookie stands for, from the rows as they are now."""
        token = self._token(headers)
        if token is None:
            return None
        key = console_sessions.who(self.engine, token, wall=self.clock.wall())
        return None if key is None else Person(key, token)

    def close(self, person: Person) -> None:
        """End a session."""
        console_sessions.log_out(self.engine, person.token, person.key, wall=self.clock.wall())

    def give(self, response: Response, token: str | None) -> Response:
        """Add the cookie of a session to an answer, or the end of it."""
        response.set_cookie(
            self.cookie,
            token or "",
            max_age=int((self.settings.session if token else timedelta()).total_seconds()),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )
        return response

    def _token(self, headers: Mapping[str, str]) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return None if found is None or not found.value else found.value

    def _bucket(self, address: str) -> TokenBucket:
        """Return what an address may still try; those that were quiet the longest are forgotten."""
        a_minute = self.settings.logins_per_minute
        with self._lock:
            bucket = self._tries.pop(address, None) or TokenBucket(a_minute / 60, a_minute)
            self._tries[address] = bucket
            while len(self._tries) > _ADDRESSES_MAX:
                self._tries.popitem(last=False)
            return bucket
