"""Published plans."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import schemas
from billing.api.routes.common import (
    BEARER,
    InPath,
    Reader,
    UsesServices,
    missing,
    shown,
)
from billing.plans.terms import ANCHORS, Plan
from billing.queries.subscriptions import published_plans

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.get("/plans", responses=shown(schemas.PlansBody))
def list_plans(_: Reader, services: UsesServices) -> JSONResponse:
    """List every published plan with its versions."""
    with services.engine.connect() as conn:
        found = published_plans(conn)
    return JSONResponse({"data": [_plan(found[code]) for code in sorted(found)]})


@router.get("/plans/{code}", responses=shown(schemas.PlanBody))
def show_plan(code: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a published plan."""
    with services.engine.connect() as conn:
        found = published_plans(conn).get(code)
    if found is None:
        missing("plan", code)
    return JSONResponse(_plan(found))


def _plan(plan: Plan) -> dict[str, Any]:
    absent = {"trial": None, **dict.fromkeys(ANCHORS)}
    return {
        "code": plan.code,
        "product": plan.product,
        "name": plan.name,
        "versions": [
            absent | version.to_terms() | {"effective": version.effective.isoformat()}
            for version in plan.versions
        ],
    }
