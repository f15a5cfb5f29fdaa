"""The audit log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse

from billing.api import cursors, schemas
from billing.api.routes.common import (
    BEARER,
    Admin,
    Limit,
    Narrowed,
    UsesServices,
    shown,
)
from billing.api.wording import NUMBER
from billing.flows.service import views
from billing.queries.access import audit_entries

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.get("/audit", responses=shown(schemas.Page[schemas.AuditLineBody]))
def list_audit_log(
    _: Admin,
    services: UsesServices,
    actor: Narrowed = None,
    action: Narrowed = None,
    subject: Narrowed = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(pattern=NUMBER, description="`next_cursor` of the page before.")
    ] = None,
) -> JSONResponse:
    """List who changed what, the latest first."""
    with services.engine.connect() as conn:
        rows = audit_entries(
            conn,
            actor=actor,
            action=action,
            subject=subject,
            limit=limit + 1,
            before=None if cursor is None else int(cursor),
        )
    last = str(rows[limit - 1].id) if len(rows) > limit else None
    return JSONResponse(
        {"data": [views.audit_line(row) for row in rows[:limit]], "next_cursor": last}
    )
