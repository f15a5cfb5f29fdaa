"""What comes in over HTTP, as OpenAPI tells it.

Amounts are JSON integers of minor units: a float, a text or a boolean is refused, not rounded.
Unknown members are refused, so that a mistyped one isn't silently left out.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
)

from billing.api.schema_types import (
    Account,
    Amount,
    AmountIfAny,
    Body,
    CivilTime,
    Currency,
    Day,
    ItemCode,
    Reason,
    Reference,
    Text,
    Token,
    instant,
    plausible,
)
from billing.api.wording import COUNTRY, DIGEST, EMAIL, NAME, NO_CONTROLS, REGION, ZONE
from billing.flows.service.orders import Capture
from billing.flows.subscriptions.changed_terms import ChangeOrder, GivenBack
from billing.rules.credit import PRIORITY
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies


class RequestBody(Body):
    """A body that names nothing which isn't known."""

    model_config = ConfigDict(extra="forbid")


class NewPaymentBody(RequestBody):
    """A one-off charge. One of `customer` and `payment_source` says who pays."""

    amount: Amount
    currency: Currency
    customer: Reference | None = None
    payment_source: Annotated[
        Token | None, Field(description="A payment method of a customer: its token or id.")
    ] = None
    capture: Capture = "automatic"
    description: Text = ""


class NewCaptureBody(RequestBody):
    """What to capture; without an amount the whole."""

    amount: AmountIfAny = None


class NewRefundBody(RequestBody):
    """What to give back; without an amount all that is left."""

    amount: AmountIfAny = None
    reason: Reason = ""


class LineToCreditBody(RequestBody):
    """A line of an invoice by its number, and how much of it; without an amount all that is left.

    The amount is before the line's discount, which goes back with it, as its tax does.
    """

    line: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    amount: AmountIfAny = None


class ShareToCreditBody(RequestBody):
    """A share of every line: `part` of `whole`, as 17 of 31 days."""

    part: Annotated[int, Field(strict=True, ge=1, le=999_999)]
    whole: Annotated[int, Field(strict=True, ge=1, le=999_999)]


class NewCreditNoteBody(RequestBody):
    """What to give back of an invoice: some lines, a share of each, or all that is left."""

    destination: Destination
    lines: Annotated[list[LineToCreditBody], Field(default_factory=list, max_length=1000)]
    share: ShareToCreditBody | None = None
    reason: Reason = ""


class NewInvoiceLineBody(RequestBody):
    """What a line is for, and its amount."""

    text: Annotated[str, Field(min_length=1, max_length=200, pattern=NAME)]
    amount: Amount


class ServiceBody(RequestBody):
    """The first and the last day of the service that is invoiced, in `zone`."""

    first: Day
    last: Day
    zone: Annotated[str, Field(max_length=64, pattern=ZONE)] = "UTC"


class NewInvoiceBody(RequestBody):
    """What a customer is invoiced for. Without a `service`, it is earned at once."""

    customer: Reference
    currency: Currency
    lines: Annotated[list[NewInvoiceLineBody], Field(min_length=1, max_length=100)]
    service: ServiceBody | None = None
    tax_class: Annotated[
        str | None,
        Field(
            max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="Else the usual one."
        ),
    ] = None
    tax_included: Annotated[
        bool, Field(strict=True, description="Whether the amounts contain the tax.")
    ] = False
    reason: Reason = ""


class WhyBody(RequestBody):
    """A reason, kept in the history."""

    reason: Reason = ""


class PauseBody(RequestBody):
    """How long to pause: so many `periods`, or `until` a date; else until it is resumed."""

    periods: Annotated[int, Field(strict=True, ge=1, le=1_000)] | None = None
    until: CivilTime | None = None
    reason: Reason = ""


class ResumeBody(RequestBody):
    """When to go on: with `on`, with the first period that starts then or later."""

    on: CivilTime | None = None
    reason: Reason = ""


class CancelBody(RequestBody):
    """How to cancel; with `on`, with the period in which that lies."""

    on: CivilTime | None = None
    at_period_end: Annotated[bool, Field(strict=True)] = True
    forgive: Annotated[bool, Field(strict=True)] = False
    credit_note: Annotated[
        Literal["credit", "refund"] | None,
        Field(
            description="At once: where goes what was paid for the days left; `refund` needs that"
            " scope."
        ),
    ] = None
    reason: Reason = ""

    @property
    def more(self) -> dict[str, datetime | Destination | None]:
        """What only some cancellations say, by the name of the flow's argument."""
        to = None if self.credit_note is None else Destination(self.credit_note)
        return {"on": self.on, "gives_back": to}


class NewCustomerBody(RequestBody):
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


class TaxFactsOrderBody(RequestBody):
    """Where a customer is taxed, in place of all that was known before."""

    country: Annotated[
        str | None, Field(pattern=COUNTRY, description="A code of ISO 3166, like DE.")
    ] = None
    region: Annotated[
        str | None,
        Field(pattern=REGION, description="What follows the dash, as NY of US-NY."),
    ] = None
    postal_code: Annotated[str | None, Field(min_length=1, max_length=20, pattern=NO_CONTROLS)] = (
        None
    )
    vat_id: Annotated[
        str | None,
        Field(min_length=4, max_length=20, pattern=NO_CONTROLS, description="With its letters."),
    ] = None
    exempt: Annotated[
        str | None,
        Field(
            min_length=1, max_length=200, pattern=NO_CONTROLS,
            description="Why they pay no tax; left out, they pay it.",
        ),
    ] = None  # fmt: skip
    holds_from: Annotated[
        datetime | None,
        AfterValidator(instant),
        Field(description="The instant from which it holds; else now."),
    ] = None


class NewPaymentMethodBody(RequestBody):
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


class NewSubscriptionBody(RequestBody):
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
        AfterValidator(lambda starts: None if starts is None else plausible(starts)),
        Field(examples=["2026-03-01T00:00:00"]),
    ] = None
    external_id: Reference | None = None
    trial: Annotated[bool, Field(strict=True)] = True
    provider: Annotated[
        Account | None,
        Field(description="The account that it is collected over; else its customer's."),
    ] = None


class NewCreditGrantBody(RequestBody):
    """Credit that is given away. It pays invoices until `expires_at`; without it, for good."""

    amount: Amount
    currency: Currency
    reason: Reason = ""
    priority: Annotated[
        int, Field(strict=True, ge=1, le=100, description="The lowest is used first.")
    ] = PRIORITY
    expires_at: Annotated[
        datetime | None, AfterValidator(instant), Field(examples=["2027-03-01T00:00:00Z"])
    ] = None
    subscription: Annotated[
        Reference | None, Field(description="It pays this one's invoices only.")
    ] = None


class NewTopUpBody(RequestBody):
    """Credit that a customer buys. It pays invoices for `valid_days` from its payment on."""

    amount: Amount
    currency: Currency
    reason: Reason = ""
    priority: Annotated[
        int, Field(strict=True, ge=1, le=100, description="The lowest is used first.")
    ] = PRIORITY
    valid_days: Annotated[int, Field(strict=True, ge=1, le=36_500)] | None = None


class ChangeOrderBody(RequestBody):
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
    billing_day: Annotated[
        int | None,
        Field(strict=True, ge=1, le=31, description="The day of the month on which periods begin."),
    ] = None
    zone: Annotated[str, Field(max_length=64, pattern=ZONE)] | None = None
    credit: Annotated[
        GivenBack | None,
        Field(description="Where goes what it takes away; `refund` needs that scope to be made."),
    ] = None
    coupon: Annotated[
        ItemCode | None,
        Field(description="A coupon to redeem with it, from the next period that begins on."),
    ] = None

    @property
    def order(self) -> ChangeOrder:
        """The order that it asks for."""
        return ChangeOrder(
            plan=self.plan,
            quantity=self.quantity,
            items=self.items,
            applies=self.applies,
            billing_day=self.billing_day,
            zone=self.zone,
            credit=self.credit,
            coupon=self.coupon,
        )


class NewChangeBody(ChangeOrderBody):
    """A change; with the digest of a quote it is made only if nothing has moved since."""

    quote_digest: Annotated[str, Field(pattern=DIGEST)] | None = None
    reason: Reason = ""


class AccountBody(RequestBody):
    """The account that a subscription is collected over; null is its customer's."""

    provider: Account | None
    reason: Reason = ""


class RedeemBody(RequestBody):
    """The coupon that a subscription redeems."""

    coupon: ItemCode
    reason: Reason = ""
