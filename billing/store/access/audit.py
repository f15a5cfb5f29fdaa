"""The audit log: who changed what, when and why. Rows are added and never touched again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from billing.rules.actor import Actor
from billing.store.rows import reader
from billing.store.tables import audit_log


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log; its id is its number."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    why: str
    detail: Mapping[str, Any]


_entry = reader(AuditEntry)


def record(
    conn: Connection,
    *,
    actor: Actor,
    action: str,
    subject: str,
    why: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down one change, in the transaction that makes it; its time is the database's."""
    conn.execute(
        insert(audit_log).values(
            actor=str(actor),
            action=action,
            subject=subject,
            why=why,
            detail=dict(detail or {}),
        )
    )


def page(
    conn: Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditEntry]:
    """Return up to `limit` lines, the latest first, older than the line numbered `before`."""
    query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    asked = {"actor": actor, "action": action, "subject": subject}
    for name, value in asked.items():
        if value is not None:
            query = query.where(audit_log.c[name] == value)
    if before is not None:
        query = query.where(audit_log.c.id < before)
    return [_entry(row) for row in conn.execute(query)]
