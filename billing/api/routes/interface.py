"""The description of this interface."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from billing.api.routes.common import BEARER

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.get("/openapi.json", include_in_schema=False)
def show_interface(request: Request) -> JSONResponse:
    """Describe this interface; any key will do."""
    return JSONResponse(request.app.openapi())
