"""Invoices and credit notes, as they go out over HTTP and OpenAPI tells them.

Amounts are JSON integers of minor units.
"""

from datetime import datetime
from typing import Literal

from billing.api.schema_types import Body
from billing.api.schemas import PaymentBody
from billing.rules.credit_notes import Destination
from billing.rules.refunds import RefundState


class InvoiceBody(Body):
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


class InvoiceLineBody(Body):
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


class InvoiceTaxBody(Body):
    """One tax: in which jurisdiction, how it is treated, of what, and how much.

    `rate` is exact, in percent; `reason` says why, where nothing is levied.
    """

    jurisdiction: str
    name: str
    treatment: Literal["standard", "reduced", "zero", "exempt", "reverse_charge", "not_registered"]
    rate: str
    included: bool
    reason: str
    base: int
    amount: int


class InvoiceWithLinesBody(InvoiceBody):
    """An invoice with its lines, its taxes and its payment."""

    lines: list[InvoiceLineBody]
    taxes: list[InvoiceTaxBody]
    payment: PaymentBody | None


class CreditNoteLineBody(Body):
    """What a credit note gives back of a line of its invoice; `gross` is before the discount."""

    line: int
    gross: int
    discount: int
    net: int
    tax: int


class CreditNoteBody(Body):
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


class CreditNotesBody(Body):
    """The credit notes of an invoice."""

    data: list[CreditNoteBody]
