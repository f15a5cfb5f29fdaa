"""Published plans, add-ons and coupons."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import sold_schemas
from billing.api.routes.common import (
    BEARER,
    InPath,
    Reader,
    UsesServices,
    missing,
    shown,
)
from billing.plans.terms import ANCHORS, Plan
from billing.presenters.prices import addon_record, coupon_record
from billing.queries.sold import published_addons, published_coupons, redeemed_coupons
from billing.queries.subscriptions import published_plans

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.get("/plans", responses=shown(sold_schemas.PlansBody))
def list_plans(_: Reader, services: UsesServices) -> JSONResponse:
    """List every published plan with its versions."""
    with services.engine.connect() as conn:
        found = published_plans(conn)
    return JSONResponse({"data": [_plan(found[code]) for code in sorted(found)]})


@router.get("/plans/{code}", responses=shown(sold_schemas.PlanBody))
def show_plan(code: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a published plan."""
    with services.engine.connect() as conn:
        found = published_plans(conn).get(code)
    if found is None:
        missing("plan", code)
    return JSONResponse(_plan(found))


@router.get("/addons", responses=shown(sold_schemas.AddonsBody))
def list_addons(_: Reader, services: UsesServices) -> JSONResponse:
    """List every published add-on with its versions."""
    with services.engine.connect() as conn:
        found = published_addons(conn)
    return JSONResponse({"data": [addon_record(each) for each in found.values()]})


@router.get("/coupons", responses=shown(sold_schemas.CouponsBody))
def list_coupons(_: Reader, services: UsesServices) -> JSONResponse:
    """List every published coupon, and how often each was redeemed."""
    with services.engine.connect() as conn:
        found, redeemed = published_coupons(conn), redeemed_coupons(conn)
    records = [coupon_record(each, redeemed) for each in found.values()]
    return JSONResponse({"data": records})


def _plan(plan: Plan) -> dict[str, Any]:
    absent: dict[str, Any] = {"trial": None, **dict.fromkeys(ANCHORS), "prices": {}}
    return {
        "code": plan.code,
        "product": plan.product,
        "name": plan.name,
        "versions": [
            absent | version.to_terms() | {"effective": version.effective.isoformat()}
            for version in plan.versions
        ],
    }
