"""What routes share: who asks, under which key, and how an answer becomes a response."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from sqlalchemy import Connection, Engine

from billing.api import cursors, problems
from billing.api.metrics import ApiMetrics
from billing.api.middleware import tell
from billing.api.problems import Refused
from billing.api.schemas import PROBLEM
from billing.api.security import Visitor
from billing.api.wording import KEY, NO_CONTROLS
from billing.errors import NotFound
from billing.flows.customers.customers import existing_customer
from billing.flows.service.api_keys import Scope
from billing.flows.service.credit import CreditApi
from billing.flows.service.credit_notes import CreditNoteApi
from billing.flows.service.customers import CustomerApi
from billing.flows.service.idempotency import DECLINED, KEY_LENGTH_MAX, REFUSED, KeyedAnswer
from billing.flows.service.invoices import InvoiceApi
from billing.flows.service.payments import PaymentApi
from billing.flows.service.usage import UsageApi
from billing.flows.service.views import View
from billing.presenters.decisions import with_sentence
from billing.queries import lists
from billing.queries.lists import Listing
from billing.queries.subscriptions import subscription_of

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """What handlers work with."""

    engine: Engine
    payments: PaymentApi
    customers: CustomerApi
    credit: CreditApi
    credit_notes: CreditNoteApi
    invoices: InvoiceApi
    usage: UsageApi
    metrics: ApiMetrics


async def _services(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


def _visitor(scope: Scope) -> Callable[[Request], Any]:
    async def admitted(request: Request) -> Visitor:
        visitor = request.state.visitor
        assert isinstance(visitor, Visitor)
        visitor.needs(scope)
        return visitor

    return admitted


# The request guard checks the key itself; this tells OpenAPI that one is needed.
BEARER: Final = HTTPBearer(
    scheme_name="ApiKey", auto_error=False, description="An API key: perennial_<id>_<secret>."
)
UsesServices = Annotated[Services, Depends(_services)]
Reader = Annotated[Visitor, Depends(_visitor(Scope.READ))]
Charger = Annotated[Visitor, Depends(_visitor(Scope.CHARGE))]
Refunder = Annotated[Visitor, Depends(_visitor(Scope.REFUND))]
Metering = Annotated[Visitor, Depends(_visitor(Scope.USAGE))]
Admin = Annotated[Visitor, Depends(_visitor(Scope.ADMIN))]

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_LENGTH_MAX,
        pattern=KEY,
        description="Yours: one for each request, the same one for every try of it.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=cursors.LIMIT_MAX)]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before.")
]
PaymentId = Annotated[UUID, Path()]
InPath = Annotated[str, Path(min_length=1, max_length=255, pattern=NO_CONTROLS)]
Narrowed = Annotated[str | None, Query(min_length=1, max_length=255, pattern=NO_CONTROLS)]


async def known_query(request: Request) -> None:
    """Check that a query names only parameters of its route, each once. Raises `Refused`.

    A mistyped filter that is left out in silence would list everything.
    """
    if not request.query_params:
        return
    known = _query_names(request.scope["route"].dependant)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise Refused(
                "invalid_request",
                "the query has a parameter that isn't known here",
                where="query",
                remedy=f"the parameters are: {', '.join(sorted(known)) or 'none'}",
            )
        if name in seen:
            raise Refused("invalid_request", f"{name} comes more than once", where="query")
        seen.add(name)


def _query_names(dependant: Dependant) -> set[str]:
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_query_names(each) for each in dependant.dependencies))


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A problem.",
        "content": {problems.CONTENT_TYPE: {"schema": PROBLEM}},
    }
}


def made(model: type, *, pending: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of what makes something."""
    answers: dict[int | str, dict[str, Any]] = {201: {"model": model, "description": "Made."}}
    if pending:
        answers[202] = {"model": model, "description": "Asked for; not known yet."}
    return PROBLEMS | answers


def changed(model: type, *, pending: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of what changes something."""
    answers: dict[int | str, dict[str, Any]] = {200: {"model": model, "description": "Done."}}
    if pending:
        answers[202] = {"model": model, "description": "Asked for; not known yet."}
    return PROBLEMS | answers


def shown(model: type) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of what only looks."""
    return PROBLEMS | {200: {"model": model, "description": "Found."}}


def respond(
    services: Services, answer: KeyedAnswer, *, noun: str, at: str | None = None
) -> JSONResponse:
    """Return what a request came to. `at` is the path below which what was made is found."""
    replayed = {"idempotency-replayed": "true"} if answer.replayed else {}
    if answer.replayed:
        services.metrics.replayed()
    if answer.status in (DECLINED, REFUSED):
        code = "payment_declined" if answer.status == DECLINED else "provider_refused"
        body = with_sentence(answer.body)
        words = body.get("decision") or body.get("failure_reason") or code
        problem = problems.problem(code, words, **{noun: body})
        response = tell(problem)
        response.headers.update(replayed)
        return response
    location = {} if at is None else {"location": f"{at}/{answer.body['id']}"}
    return JSONResponse(with_sentence(answer.body), answer.status, replayed | location)


def narrowed(
    conn: Connection, customer: str | None, subscription: str | None = None, **equal: Any
) -> Mapping[str, Any]:
    """Return what the rows of a list have to equal. Raises `NotFound` for what isn't there."""
    if customer is not None:
        equal["customer_id"] = existing_customer(conn, customer).id
    if subscription is not None:
        found = subscription_of(conn, subscription)
        equal["subscription_id"] = found.id if found else missing("subscription", subscription)
    return equal


def listed(
    conn: Connection,
    listing: Listing[T],
    view: Callable[[T], View],
    *,
    limit: int,
    cursor: str | None,
    equal: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """Return one page of a list."""
    before = cursors.decode(cursor)
    rows = lists.page(conn, listing, limit=limit + 1, before=before, equal=equal)
    found, next_cursor = cursors.cut(rows, limit)
    shown = [with_sentence(view(row)) for row in found]
    return JSONResponse({"data": shown, "next_cursor": next_cursor})


def missing(what: str, reference: object) -> NoReturn:
    """Say that there is no such thing. Raises `NotFound`."""
    raise NotFound(f"no {what} {reference}", where=what)
