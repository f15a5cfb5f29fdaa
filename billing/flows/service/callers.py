"""Callers of the service, their changes under a key, and the audit log of these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.flows.service.idempotency import KeyedAnswer, KeyedRequest, making, once
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


@dataclass(frozen=True)
class Audited:
    """A service that makes changes once a key, and writes them to the audit log."""

    context: Context

    def _once(
        self,
        caller: Caller,
        key: str,
        action: str,
        given: Mapping[str, Any],
        work: Callable[[Connection], KeyedAnswer],
    ) -> KeyedAnswer:
        """Do work without the provider in one transaction with its key; see `once`."""
        return once(
            self.context.engine,
            KeyedRequest(caller.scope, key, action, given),
            work,
            wall=self.context.clock.wall(),
            lease=self.context.policy.lease,
        )

    def _making(
        self,
        caller: Caller,
        key: str,
        action: str,
        given: Mapping[str, Any],
        work: Callable[[Connection, UUID], KeyedAnswer],
    ) -> KeyedAnswer:
        """Make an object of the id that work is given, in one transaction with its key."""
        return making(
            self.context.engine,
            KeyedRequest(caller.scope, key, action, given),
            work,
            wall=self.context.clock.wall(),
            lease=self.context.policy.lease,
        )

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
