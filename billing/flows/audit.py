"""A manual change and its line in the audit log, in one transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.rules.actor import Actor
from billing.store.access import audit


@contextmanager
def audited(
    engine: Engine,
    *,
    actor: Actor,
    action: str,
    subject: str,
    why: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Iterator[Connection]:
    """Open a transaction that ends with a line in the audit log: who did what, when and why.

    What the caller puts into `detail` before the end is written too.
    """
    with marked(CrashPoint.COMMAND_RECORDED), engine.begin() as conn:
        yield conn
        audit.record(conn, actor=actor, action=action, subject=subject, why=why, detail=detail)
