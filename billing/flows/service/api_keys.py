"""API keys: made, recognised, revoked. The secret is shown once and kept only as a keyed hash.

A key reads `perennial_<id>_<secret>`: a prefix that a secret scanner can look for, an id that is
public and names the row, and 256 bits of chance. The table has the HMAC-SHA256 of the secret under
the server's pepper. The pepper isn't in the database, so a copy of the table gives no access.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Engine

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.rules.actor import Actor
from billing.store.access import api_keys, audit

PEPPER_LENGTH_MIN: Final = 32
USE_NOTED_EVERY: Final = timedelta(minutes=1)
# Keys made by earlier releases begin with `pk`.
_KEY: Final = re.compile(r"(?:perennial|pk)_([a-z]{12})_([0-9a-f]{64})", re.ASCII)
_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{0,62}", re.ASCII)
_LETTERS: Final = "bcdfghjkmnpqrstvwxz"  # no vowels: no words
_NO_HASH: Final = bytes(32)


class Scope(StrEnum):
    """What a key may do. `admin` may do everything."""

    READ = "read"
    CHARGE = "charge"
    REFUND = "refund"
    USAGE = "usage"
    OPERATE = "operate"
    CLOSE = "close"
    ADMIN = "admin"


class PersonRole(StrEnum):
    """A usual set of scopes, for people."""

    VIEWER = "viewer"
    SUPPORT = "support"
    OPERATOR = "operator"
    FINANCE = "finance"
    ADMIN = "admin"

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes of a key for this role."""
        return _SCOPES_OF[self]


_SCOPES_OF: Final[Mapping[PersonRole, tuple[Scope, ...]]] = {
    PersonRole.VIEWER: (Scope.READ,),
    PersonRole.SUPPORT: (Scope.READ, Scope.REFUND),
    PersonRole.OPERATOR: (Scope.READ, Scope.CHARGE, Scope.OPERATE),
    PersonRole.FINANCE: (Scope.READ, Scope.CLOSE),
    PersonRole.ADMIN: (Scope.ADMIN,),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was recognised."""

    id: str
    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def roles(self) -> tuple[PersonRole, ...]:
        """The roles whose scopes the key has; a viewer is named where it is nothing more."""
        if Scope.ADMIN in self.scopes:
            return (PersonRole.ADMIN,)
        found = tuple(role for role in PersonRole if self.scopes.issuperset(role.scopes))
        return found if found == (PersonRole.VIEWER,) else found[1:]


def create(
    engine: Engine,
    *,
    name: str,
    scopes: Sequence[Scope],
    pepper: str,
    wall: datetime,
    actor: Actor,
    why: str = "",
) -> tuple[str, str]:
    """Make a key and return its id and the whole key, which can't be shown again.

    Raises `BadInput`.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            "a key's name is 1 to 63 of a-z, 0-9, dot and dash, and begins with a letter",
            where="name",
            code=ErrorCode.API_KEY_NAME,
        )
    if not scopes:
        raise BadInput("a key without a scope opens nothing", where="scope")
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(12))
    secret = secrets.token_hex(32)
    with marked(CrashPoint.API_KEY_CREATED), engine.begin() as conn:
        api_keys.add(
            conn,
            {
                "id": key_id,
                "name": name,
                "secret_hash": _hash(secret, pepper),
                "scopes": sorted(set(scopes)),
                "created_at": wall,
            },
        )
        detail = {"name": name, "scopes": sorted(set(scopes))}
        audit.record(conn, actor=actor, action="key.create", subject=key_id, why=why, detail=detail)
    return key_id, f"perennial_{key_id}_{secret}"


def recognise(engine: Engine, presented: str, *, pepper: str, wall: datetime) -> Key | None:
    """Return the key that was presented, or None when it isn't valid.

    Reads the row each time, so that a revoked key is refused at once.
    """
    match = _KEY.fullmatch(presented)
    if match is None:
        return None
    key_id, secret = match[1], match[2]
    with engine.connect() as conn:
        row = api_keys.get(conn, key_id)
    kept = _NO_HASH if row is None else bytes(row.secret_hash)
    right = hmac.compare_digest(_hash(secret, pepper), kept)
    if row is None or not right or row.revoked_at is not None:
        return None
    if row.last_used_at is None or wall - row.last_used_at >= USE_NOTED_EVERY:
        with marked(CrashPoint.API_KEY_SEEN), engine.begin() as conn:
            api_keys.used(conn, key_id, wall, unless_since=wall - USE_NOTED_EVERY)
    return Key(row.id, row.name, frozenset(Scope(scope) for scope in row.scopes))


def revoke(engine: Engine, key_id: str, *, wall: datetime, actor: Actor, why: str) -> None:
    """Revoke a key: it isn't valid from now on. Raises `NotFound`, `Conflict`."""
    with marked(CrashPoint.API_KEY_REVOKED), engine.begin() as conn:
        row = api_keys.get(conn, key_id)
        if row is None:
            raise NotFound(f"no key {key_id!r}", code=ErrorCode.API_KEY_NOT_FOUND, key_id=key_id)
        if not api_keys.revoke(conn, key_id, wall):
            raise Conflict(f"key {key_id} is revoked already")
        detail = {"name": row.name}
        audit.record(conn, actor=actor, action="key.revoke", subject=key_id, why=why, detail=detail)


def check_pepper(pepper: str) -> str:
    """Return a pepper that is long enough to be one. Raises `BadInput`."""
    if len(pepper) < PEPPER_LENGTH_MIN:
        raise BadInput(
            f"the pepper has fewer than {PEPPER_LENGTH_MIN} characters"
            if pepper
            else "there is no pepper to hash API keys with",
            where="api.pepper",
            code=ErrorCode.PEPPER_MISSING,
        )
    return pepper


def _hash(secret: str, pepper: str) -> bytes:
    return hmac.digest(pepper.encode(), bytes.fromhex(secret), hashlib.sha256)
