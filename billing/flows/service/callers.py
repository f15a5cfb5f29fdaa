"""Who calls the service from outside, and the trace that everything they do leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Clock
from billing.rules.actor import Actor, ActorKind
from billing.store.access import audit


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Keys of one name share their idempotency keys, so that a key can be replaced."""

    key_id: str
    name: str

    @property
    def scope(self) -> str:
        """Whose idempotency keys these are."""
        return f"api:{self.name}"

    @property
    def actor(self) -> Actor:
        """Who did it, as histories and the audit log name it."""
        return Actor(ActorKind.API, f"{self.name}:{self.key_id}")


class Audited:
    """A service whose changes stand in the audit log."""

    clock: Clock

    def _audit(
        self,
        conn: Connection,
        caller: Caller,
        action: str,
        subject: UUID,
        why: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down what a caller did, in the transaction that does it."""
        audit.record(
            conn,
            at=self.clock.wall(),
            actor=caller.actor,
            action=action,
            subject=str(subject),
            why=why,
            detail=detail,
        )
