"""What goes out over HTTP, as OpenAPI tells it; `request_schemas` has what comes in.

Amounts are JSON integers of minor units.
"""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from billing.api.schema_types import Body
from billing.flows.service.orders import Capture
from billing.rules.credit import CreditSource, MoveKind
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import State
from billing.rules.refunds import RefundState
from billing.rules.subscriptions import Status

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """Some of a list; `next_cursor` is null on the last page."""

    data: list[Item]
    next_cursor: str | None


class CustomerBody(Body):
    """Who pays."""

    id: str
    external_id: str | None
    name: str
    email: str | None
    provider: str
    default_payment_method_id: str | None
    created_at: datetime


class TaxFactsBody(Body):
    """What is known of a customer for taxes, from an instant on."""

    customer_id: str
    holds_from: datetime
    country: str | None
    region: str | None
    postal_code: str | None
    vat_id: str | None
    exempt: str | None


class PaymentMethodBody(Body):
    """What a payment method is recognised by; only a card has all of it."""

    id: str
    customer_id: str
    provider: str
    provider_payment_method_id: str
    kind: PaymentMethodKind
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    created_at: datetime


class PaymentBody(Body):
    """Collecting one amount. `pending` says that the state changes by itself."""

    id: str
    customer_id: str
    payment_method_id: str | None
    invoice_id: str | None
    subscription_id: str | None
    amount: int
    currency: str
    state: State
    pending: bool
    amount_captured: int
    amount_refunded: int
    capture: Capture
    description: str
    decline_code: str | None
    decision: str | None
    authorized_until: datetime | None
    captured_at: datetime | None
    created_at: datetime


class RefundBody(Body):
    """Money given back."""

    id: str
    payment_id: str
    amount: int
    currency: str
    state: RefundState
    reason: str
    failure_reason: str | None
    created_at: datetime
    finished_at: datetime | None


class PaymentWithRefundsBody(PaymentBody):
    """A payment and what was given back of it."""

    refunds: list[RefundBody]


class TransactionBody(Body):
    """A charge or a refund."""

    id: str
    kind: Literal["charge", "refund"]
    payment_id: str
    customer_id: str
    amount: int
    currency: str
    state: str
    created_at: datetime


class SubscriptionBody(Body):
    """A customer's contract."""

    id: str
    external_id: str | None
    customer_id: str
    plan: str
    plan_version: str
    currency: str
    quantity: int
    status: Status
    zone: str
    every: str
    trial: str | None
    next_n: int
    renews_at: datetime | None
    cancel_at_period_end: bool
    cancels_at: datetime | None
    canceled_at: datetime | None
    created_at: datetime
    provider: str | None


class CreditGrantBody(Body):
    """Credit of a customer; `expired_at` is when what was left of it expired or was revoked."""

    id: str
    customer_id: str
    currency: str
    amount: int
    left: int
    source: CreditSource
    priority: int
    subscription_id: str | None
    effective_at: datetime
    expires_at: datetime | None
    expired_at: datetime | None
    reason: str
    created_at: datetime


class CreditMoveBody(Body):
    """What became of a part of a grant."""

    n: int
    at: datetime
    kind: MoveKind
    amount: int
    left_after: int
    invoice_id: str | None
    invoice_number: str | None


class CreditGrantWithMovesBody(CreditGrantBody):
    """A grant of credit and its moves, oldest first."""

    moves: list[CreditMoveBody]


class CreditBody(Body):
    """What a customer has left in a currency; `usable` is what pays invoices now."""

    currency: str
    left: int
    usable: int


class HeldTermsBody(Body):
    """What a subscription holds: a plan in a version, and quantities by item."""

    plan: str
    version: str
    items: dict[str, int]
    addons: dict[str, str] = Field(default_factory=dict)


class DraftedLineBody(Body):
    """A line of an invoice that isn't issued yet."""

    item: str
    description: str
    quantity: int | str
    gross: int
    discount: int
    amount: int
    tax: int


class DraftedInvoiceBody(Body):
    """An invoice to the last line, as it is issued, or as it would be today."""

    currency: str
    lines: list[DraftedLineBody]
    discount: int
    net: int
    tax: int
    total: int
    credit: int
    due: int


class DraftedNoteBody(Body):
    """A credit note of an invoice of the period: it becomes credit, or is refunded."""

    invoice: str
    destination: Destination
    currency: str
    discount: int
    net: int
    tax: int
    total: int


class ScheduleBody(Body):
    """How long periods are, and on which days they begin where these are given."""

    every: str
    zone: str
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None


class MovedPeriodsBody(Body):
    """What becomes of periods from number `n` on, which starts at an instant."""

    n: int
    starts_at: datetime
    before: ScheduleBody
    after: ScheduleBody


class SubscriptionChangeBody(Body):
    """A change, made or quoted; a quote has no id. `invoice` is null where nothing is billed.

    `periods` is null where they stay as they are. The credit of `notes` pays the invoice first.
    `coupon` is the one that is redeemed with it.
    """

    id: str | None
    subscription_id: str
    applies: Applies
    holds_from: datetime
    before: HeldTermsBody
    after: HeldTermsBody
    periods: MovedPeriodsBody | None
    invoice: DraftedInvoiceBody | None
    notes: list[DraftedNoteBody]
    coupon: str | None
    digest: str


class RedemptionBody(Body):
    """A coupon that was redeemed for a subscription."""

    id: str
    coupon: str
    subscription_id: str
    at: datetime


class TimelineLineBody(Body):
    """One thing that happened to a subscription."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    kind: str
    what: str
    actor: str | None


class TimelineBody(Body):
    """All that happened to a subscription, oldest first."""

    data: list[TimelineLineBody]


class AuditLineBody(Body):
    """One change: who, what, when, why."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    why: str
    detail: dict[str, Any]


PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is one of the table in docs/api.md.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "where": {"type": "string"},
        "remedy": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "payment": {"type": "object"},
        "refund": {"type": "object"},
    },
}
