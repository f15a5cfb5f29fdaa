"""Sessions of the console: opened with a person's key, and valid as long as that key is.

The browser holds a token of 256 random bits, the database its SHA-256: of so many bits a hash gives
nothing away, and needs no salt.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import Engine

from billing.flows.audit import audited
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Key, Scope
from billing.rules.actor import Actor, ActorKind
from billing.store.access import console_sessions as sessions


def actor_of(key: Key) -> Actor:
    """Return who acts in the console with a key, as histories and the audit log name them."""
    return Actor(ActorKind.CONSOLE, key.name)


def log_in(
    engine: Engine, presented: str, *, pepper: str, wall: datetime, lasts: timedelta
) -> str | None:
    """Open a session and return its token; None for a key that isn't valid or may not read."""
    key = api_keys.recognise(engine, presented, pepper=pepper, wall=wall)
    if key is None or not key.may(Scope.READ):
        return None
    token = secrets.token_urlsafe(32)
    with audited(engine, actor=actor_of(key), action="console.login", subject=key.id) as conn:
        sessions.add(conn, _hash(token), key.id, at=wall, expires_at=wall + lasts)
    return token


def who(engine: Engine, token: str, *, wall: datetime) -> Key | None:
    """Return the key behind a token; None when the session ended, or its key was revoked."""
    with engine.connect() as conn:
        row = sessions.key_of(conn, _hash(token), at=wall)
    if row is None:
        return None
    key = Key(row.id, row.name, frozenset(Scope(scope) for scope in row.scopes))
    return key if key.may(Scope.READ) else None


def log_out(engine: Engine, token: str, key: Key, *, wall: datetime) -> None:
    """End a session."""
    with audited(engine, actor=actor_of(key), action="console.logout", subject=key.id) as conn:
        sessions.end(conn, _hash(token), at=wall)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
