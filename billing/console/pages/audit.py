"""The audit log: who changed what, when and why."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from billing.console import links, tables, words
from billing.console.tables import Cell, Filter, ListPage
from billing.flows.service.api_keys import Scope
from billing.queries.access import AuditEntry, audit_entries


def _read(conn: Connection, *, newest_first: bool, **asked: Any) -> Sequence[AuditEntry]:
    assert newest_first, "the log is read from its end"
    return audit_entries(conn, **asked)


def _cells(row: AuditEntry) -> Sequence[Cell]:
    detail = ", ".join(f"{name} {value}" for name, value in row.detail.items())
    return (
        tables.plain(row.at),
        Cell(row.actor, links.listed("audit", actor=row.actor)),
        Cell(row.action),
        Cell(row.subject, links.listed("search", q=row.subject.rpartition(":")[2])),
        tables.plain(row.why),
        Cell(words.text(detail)),
    )


AUDIT: Final = ListPage(
    title="Audit log",
    place="audit",
    headings=("when", "who", "what", "to what", "why", "detail"),
    read=_read,
    cells=_cells,
    filters=(Filter("actor", "Who"), Filter("action", "What"), Filter("subject", "To what")),
    note="In real time. Lines can't be changed or deleted.",
    key=int,
)

PAGES: Final = tables.pages(AUDIT, Scope.CLOSE)
