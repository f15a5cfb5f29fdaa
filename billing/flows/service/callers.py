"""Callers of the service, and the audit log of their changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.rules.actor import Actor, ActorKind
from billing.store.access import audit


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller. API keys of one name share idempotency keys, so that a key can be replaced."""

    key_id: str
    name: str

    @property
    def scope(self) -> str:
        """The owner of the caller's idempotency keys."""
        return f"api:{self.name}"

    @property
    def actor(self) -> Actor:
        """The actor, as histories and the audit log name it."""
        return Actor(ActorKind.API, f"{self.name}:{self.key_id}")


class Audited:
    """A service that writes its changes to the audit log."""

    context: Context

    def _audit(
        self,
        conn: Connection,
        caller: Caller,
        action: str,
        subject: UUID,
        why: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a caller's change to the audit log, in the transaction of the change."""
        audit.record(
            conn,
            actor=caller.actor,
            action=action,
            subject=str(subject),
            why=why,
            detail=detail,
        )
