"""What comes in and what goes out over HTTP, as OpenAPI tells it.

Amounts are JSON integers of minor units: a float, a text or a boolean is refused, not rounded.
Unknown members are refused, so that a mistyped one isn't silently left out.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from billing.api.wording import ACCOUNT, CURRENCY, EMAIL, NAME, NO_CONTROLS, TOKEN, ZONE
from billing.flows.service.orders import Capture
from billing.rules.credit import PRIORITY, CreditSource, MoveKind
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import State
from billing.rules.refunds import RefundState
from billing.rules.subscriptions import Status

AMOUNT_MAX = 999_999_999_999


def _plausible(starts: datetime) -> datetime:
    if starts.tzinfo is not None:
        raise ValueError("is civil time in `zone`: write it without an offset")
    if not 2000 <= starts.year <= 2100:
        raise ValueError("lies between 2000 and 2100")
    return starts


def _instant(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("is an instant: write it with Z or an offset")
    if not 2000 <= at.year <= 2100:
        raise ValueError("lies between 2000 and 2100")
    return at


def _no_null(amount: object) -> object:
    if amount is None:
        raise ValueError("is an amount; leave it out for all there is")
    return amount


Amount = Annotated[
    int,
    Field(strict=True, ge=1, le=AMOUNT_MAX, description="Minor units: 999 is 9.99 USD."),
]
# A missing amount means all there is. A null one is refused: a program sends that by mistake.
AmountIfAny = Annotated[
    Amount | None,
    BeforeValidator(_no_null),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX}),
]
Currency = Annotated[str, Field(pattern=CURRENCY, description="ISO 4217.", examples=["USD"])]
ItemCode = Annotated[str, Field(max_length=64, pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(max_length=500, pattern=NO_CONTROLS)]
Reason = Annotated[
    str, Field(max_length=500, pattern=NO_CONTROLS, description="Why; kept in the history.")
]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=NO_CONTROLS, description="An id, or yours."),
]
Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=TOKEN,
        description="The provider's token, like pm_...; never a card number.",
    ),
]

Account = Annotated[str, Field(pattern=ACCOUNT)]


class _Body(BaseModel):
    """A body's public name, in OpenAPI and its clients, is its class's name without `Body`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__name__ = cls.__qualname__ = cls.__name__.removesuffix("Body")


Body = _Body
"""What bodies of other modules are made of."""


class _RequestBody(_Body):
    model_config = ConfigDict(extra="forbid")


class NewPaymentBody(_RequestBody):
    """A one-off charge. One of `customer` and `payment_source` says who pays."""

    amount: Amount
    currency: Currency
    customer: Reference | None = None
    payment_source: Annotated[
        Token | None, Field(description="A payment method of a customer: its token or id.")
    ] = None
    capture: Capture = "automatic"
    description: Text = ""


class NewCaptureBody(_RequestBody):
    """What to capture; without an amount the whole."""

    amount: AmountIfAny = None


class NewRefundBody(_RequestBody):
    """What to give back; without an amount all that is left."""

    amount: AmountIfAny = None
    reason: Reason = ""


class LineToCreditBody(_RequestBody):
    """A line of an invoice by its number, and how much of it; without an amount all that is left.

    The amount is before the line's discount, which goes back with it, as its tax does.
    """

    line: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    amount: AmountIfAny = None


class ShareToCreditBody(_RequestBody):
    """A share of every line: `part` of `whole`, as 17 of 31 days."""

    part: Annotated[int, Field(strict=True, ge=1, le=999_999)]
    whole: Annotated[int, Field(strict=True, ge=1, le=999_999)]


class NewCreditNoteBody(_RequestBody):
    """What to give back of an invoice: some lines, a share of each, or all that is left."""

    destination: Destination
    lines: Annotated[list[LineToCreditBody], Field(max_length=1000)] = []
    share: ShareToCreditBody | None = None
    reason: Reason = ""


class WhyBody(_RequestBody):
    """A reason, kept in the history."""

    reason: Reason = ""


CivilTime = Annotated[
    datetime,
    AfterValidator(_plausible),
    Field(description="In the subscription's zone.", examples=["2026-03-01T00:00:00"]),
]


class PauseBody(_RequestBody):
    """How long to pause: so many `periods`, or `until` a date; else until it is resumed."""

    periods: Annotated[int, Field(strict=True, ge=1, le=1_000)] | None = None
    until: CivilTime | None = None
    reason: Reason = ""


class ResumeBody(_RequestBody):
    """When to go on: with `on`, with the first period that starts then or later."""

    on: CivilTime | None = None
    reason: Reason = ""


class CancelBody(_RequestBody):
    """How to cancel; with `on`, with the period in which that lies."""

    on: CivilTime | None = None
    at_period_end: Annotated[bool, Field(strict=True)] = True
    forgive: Annotated[bool, Field(strict=True)] = False
    reason: Reason = ""


class NewCustomerBody(_RequestBody):
    """Who is to pay."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=200, pattern=NAME),
    ]
    email: Annotated[str, Field(max_length=254, pattern=EMAIL)] | None = None
    external_id: Reference | None = None
    payment_method: Token | None = None
    provider: Annotated[
        Account | None,
        Field(description="The account of the configuration that collects; else the default."),
    ] = None


class NewPaymentMethodBody(_RequestBody):
    """A payment method that the provider knows already."""

    payment_method: Token
    provider: Annotated[
        Account | None,
        Field(description="The account that has the token; else the one that collects from them."),
    ] = None
    make_default: Annotated[
        bool,
        Field(strict=True, description="Whether that account collects from them from now on."),
    ] = True


class NewSubscriptionBody(_RequestBody):
    """What a customer subscribes to. `starts` is civil time in `zone`; without it, now."""

    customer: Reference
    plan: Annotated[str, Field(min_length=1, max_length=100, pattern=NO_CONTROLS)]
    currency: Currency
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    items: Annotated[
        dict[ItemCode, Annotated[int, Field(strict=True, ge=0, le=1_000_000)]],
        Field(
            default_factory=dict,
            max_length=100,
            description="Quantities by item, where the plan sells several; else their defaults.",
        ),
    ]
    coupons: Annotated[
        tuple[ItemCode, ...],
        Field(max_length=20, description="Codes of coupons to redeem, from its first invoice on."),
    ] = ()
    zone: Annotated[str, Field(max_length=64, pattern=ZONE)] = "UTC"
    starts: Annotated[
        datetime | None,
        AfterValidator(lambda starts: None if starts is None else _plausible(starts)),
        Field(examples=["2026-03-01T00:00:00"]),
    ] = None
    external_id: Reference | None = None
    trial: Annotated[bool, Field(strict=True)] = True
    provider: Annotated[
        Account | None,
        Field(description="The account that it is collected over; else its customer's."),
    ] = None


class NewCreditGrantBody(_RequestBody):
    """Credit that is given away. It pays invoices until `expires_at`; without it, for good."""

    amount: Amount
    currency: Currency
    reason: Reason = ""
    priority: Annotated[
        int, Field(strict=True, ge=1, le=100, description="The lowest is used first.")
    ] = PRIORITY
    expires_at: Annotated[
        datetime | None, AfterValidator(_instant), Field(examples=["2027-03-01T00:00:00Z"])
    ] = None
    subscription: Annotated[
        Reference | None, Field(description="It pays this one's invoices only.")
    ] = None


class ChangeOrderBody(_RequestBody):
    """What a subscription is to hold. Without `applies`, its plan says when that begins."""

    plan: Annotated[str, Field(min_length=1, max_length=100, pattern=NO_CONTROLS)] | None = None
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    items: Annotated[
        dict[ItemCode, Annotated[int, Field(strict=True, ge=0, le=1_000_000)]],
        Field(
            default_factory=dict,
            max_length=100,
            description="Quantities by item or add-on; 0 removes an add-on.",
        ),
    ]
    applies: Applies | None = None


class NewChangeBody(ChangeOrderBody):
    """A change; with the digest of a quote it is made only if nothing has moved since."""

    quote_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    reason: Reason = ""


class AccountBody(_RequestBody):
    """The account that a subscription is collected over; null is its customer's."""

    provider: Account | None
    reason: Reason = ""


# --- what goes out ------------------------------------------------------------------------------

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """Some of a list; `next_cursor` is null on the last page."""

    data: list[Item]
    next_cursor: str | None


class CustomerBody(_Body):
    """Who pays."""

    id: str
    external_id: str | None
    name: str
    email: str | None
    provider: str
    default_payment_method_id: str | None
    created_at: datetime


class PaymentMethodBody(_Body):
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


class PaymentBody(_Body):
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


class RefundBody(_Body):
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


class TransactionBody(_Body):
    """A charge or a refund."""

    id: str
    kind: Literal["charge", "refund"]
    payment_id: str
    customer_id: str
    amount: int
    currency: str
    state: str
    created_at: datetime


class SubscriptionBody(_Body):
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


class CreditGrantBody(_Body):
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


class CreditMoveBody(_Body):
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


class CreditBody(_Body):
    """What a customer has left in a currency; `usable` is what pays invoices now."""

    currency: str
    left: int
    usable: int


class HeldTermsBody(_Body):
    """What a subscription holds: a plan in a version, and quantities by item."""

    plan: str
    version: str
    items: dict[str, int]
    addons: dict[str, str] = {}


class DraftedLineBody(_Body):
    """A line of an invoice that isn't issued yet."""

    item: str
    description: str
    quantity: int | str
    gross: int
    discount: int
    amount: int
    tax: int


class DraftedInvoiceBody(_Body):
    """An invoice to the last line, as it is issued, or as it would be today."""

    currency: str
    lines: list[DraftedLineBody]
    discount: int
    net: int
    tax: int
    total: int
    credit: int
    due: int


class DraftedNoteBody(_Body):
    """A credit note of an invoice of the period, which becomes credit of the customer."""

    invoice: str
    currency: str
    discount: int
    net: int
    tax: int
    total: int


class SubscriptionChangeBody(_Body):
    """A change, made or quoted; a quote has no id. `invoice` is null where nothing is billed.

    The credit of `notes` pays the invoice first.
    """

    id: str | None
    subscription_id: str
    applies: Applies
    holds_from: datetime
    before: HeldTermsBody
    after: HeldTermsBody
    invoice: DraftedInvoiceBody | None
    notes: list[DraftedNoteBody]
    digest: str


class RedeemBody(_RequestBody):
    """The coupon that a subscription redeems."""

    coupon: ItemCode
    reason: Reason = ""


class RedemptionBody(_Body):
    """A coupon that was redeemed for a subscription."""

    id: str
    coupon: str
    subscription_id: str
    at: datetime


class InvoiceBody(_Body):
    """What a customer owes; `net` is without discounts, `due` without what credit pays."""

    id: str
    number: str
    kind: Literal["cycle", "change", "final", "one_off", "top_up"]
    customer_id: str
    subscription_id: str | None
    currency: str
    discount: int
    net: int
    tax: int
    total: int
    credit: int
    due: int
    status: Literal["open", "paid", "void", "uncollectible"]
    issued_at: datetime
    resolved_at: datetime | None


class InvoiceLineBody(_Body):
    """What for; `amount` is the gross less the discount, and less the tax that prices contain.

    `unit_price` is the exact price of a unit, `unit_amount` the same where it is whole. `left` is
    what credit notes left of the gross.
    """

    line: int
    item: str
    description: str
    quantity: int | str
    unit_amount: int | None
    unit_price: str | None
    gross: int
    discount: int
    amount: int
    tax: int
    left: int
    period_start: datetime | None
    period_end: datetime | None


class InvoiceWithLinesBody(InvoiceBody):
    """An invoice with its lines and its payment."""

    lines: list[InvoiceLineBody]
    payment: PaymentBody | None


class CreditNoteLineBody(_Body):
    """What a credit note gives back of a line of its invoice; `gross` is before the discount."""

    line: int
    gross: int
    discount: int
    net: int
    tax: int


class CreditNoteBody(_Body):
    """What was given back of an invoice, and as what: `refund_*` and `grant_id` where it has them.

    A note whose refund failed has a grant of credit beside it.
    """

    id: str
    number: str
    invoice_id: str
    invoice_number: str
    customer_id: str
    subscription_id: str | None
    currency: str
    net: int
    tax: int
    total: int
    discount: int
    destination: Destination
    reason: str
    refund_id: str | None
    refund_state: RefundState | None
    grant_id: str | None
    created_at: datetime
    lines: list[CreditNoteLineBody]


class CreditNotesBody(_Body):
    """The credit notes of an invoice."""

    data: list[CreditNoteBody]


class TimelineLineBody(_Body):
    """One thing that happened to a subscription."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    kind: str
    what: str
    actor: str | None


class TimelineBody(_Body):
    """All that happened to a subscription, oldest first."""

    data: list[TimelineLineBody]


class AuditLineBody(_Body):
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
