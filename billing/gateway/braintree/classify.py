"""The outcome of each answer of Braintree, from plain facts and without any I/O.

In doubt the outcome is `Unknown`: asking again under the same key costs a request, a wrong "no"
costs the customer a second payment. A key that is sent again brings the transaction as it is by
then, so that these rules hold for repetitions and for look-ups too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.gateway.braintree.declines import REJECTED, classify
from billing.gateway.braintree.faults import RequestFault
from billing.gateway.braintree.fields import Node, instant, money, reference, several
from billing.gateway.braintree.statuses import CAPTURED, DECLINED, GONE, UNDECIDED
from billing.gateway.kinds import Doubt, FaultKind
from billing.gateway.outcomes import (
    Absent,
    ChargeRequest,
    Declined,
    Deferred,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
)
from billing.gateway.untrusted import mapping, required, text
from billing.rules.dunning import METHOD_UNUSABLE, OWN_CODES
from billing.rules.money import Money
from billing.rules.payments import RefusalReason

# The payment method is gone, or isn't this customer's any more.
_METHOD_GONE: Final = frozenset({"91516", "91518"})
_ORDER_PAID: Final = "2069"  # at PayPal, which blocks a second payment for an order
NOT_AUTHORISED: Final = "91507"
NOT_VOIDABLE: Final = "91504"
_REFUSED: Final = frozenset({FaultKind.INVALID_REQUEST})
_REFUSED_ON_FIRST_SEND: Final = frozenset({FaultKind.PERMISSION, FaultKind.IDEMPOTENCY})
# Not executed, may be sent again as it is. After an earlier send this doesn't tell its outcome.
_DEFERRED_ON_FIRST_SEND: Final = frozenset(
    {FaultKind.AUTHENTICATION, FaultKind.RATE_LIMIT, FaultKind.NOT_SENT}
)


@dataclass(frozen=True, slots=True)
class Sale:
    """The facts of a transaction that decide an outcome. `authorised` is the amount at first."""

    id: str
    type: str
    status: str
    amount: Money
    authorised: Money
    customer: str | None
    order_id: str | None
    created: datetime
    code: str
    message: str
    response_type: str | None = None
    advice: str | None = None
    rejection: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it holds a customer's money, or may yet."""
        return self.status not in DECLINED | GONE


def read_sale(data: Node) -> Sale:
    """Read a transaction. Raises: Malformed."""
    amount = money(data, "amount")
    history = several(data.get("status_history"))
    currency = amount.currency
    first = money(history[0], "amount", currency) if history else amount
    settlement = text(data, "processor_settlement_response_code")
    late = data.get("status") in ("settlement_declined", "settlement_failed")
    code = settlement if late else text(data, "processor_response_code")
    told = "processor_settlement_response_text" if late else "processor_response_text"
    return Sale(
        id=required(data, "id"),
        type=required(data, "type"),
        status=required(data, "status"),
        amount=amount,
        authorised=first,
        customer=reference(mapping(data.get("customer")), "id"),
        order_id=text(data, "order_id"),
        created=instant(data, "created_at"),
        code=code or "",
        message=text(data, told) or "",
        response_type=None if late else text(data, "processor_response_type"),
        advice=None if late else text(data, "merchant_advice_code"),
        rejection=text(data, "gateway_rejection_reason"),
    )


def outcome_of_sale(
    sale: Sale, request: ChargeRequest, order_id: str | None, request_id: str | None = None
) -> Outcome:
    """Return the outcome of an attempt from its transaction; another payment's is never its
    success.

    Without an order id the transaction may be of any attempt of the payment.
    """
    difference = difference_from(sale, request, order_id)
    if difference is not None:
        message = f"{sale.id} has another {difference} than the request"
        return Unknown(f"wrong_{difference}", message, None, request_id)
    if sale.status in CAPTURED and sale.amount != request.amount:
        message = f"{sale.amount} was captured, not {request.amount}"
        return Unknown(Doubt.WRONG_AMOUNT, message, sale.id, request_id)
    if sale.status == "authorized" and request.manual_capture:
        return Succeeded(sale.id, sale.amount, False, sale.id, request_id)
    return _by_status(sale, request_id)


def _by_status(sale: Sale, request_id: str | None) -> Outcome:
    if sale.status in CAPTURED:
        return Succeeded(sale.id, sale.amount, True, sale.id, request_id)
    if sale.status in DECLINED:
        return declined_by(sale, request_id)
    if sale.status in GONE:
        return canceled(f"{sale.id} is {sale.status} and can't be paid", request_id)
    label = Doubt.PROCESSING if sale.status in UNDECIDED else Doubt.UNEXPECTED_STATUS
    return Unknown(label, f"the transaction is {sale.status}", sale.id, request_id)


def declined_by(sale: Sale, request_id: str | None = None) -> Declined | Unknown:
    """Return the decline that a transaction records; a rejected duplicate is none of the card.

    PayPal's refusal of a second payment for one order is such a duplicate: each of our attempts has
    an order id of its own.
    """
    if _is_duplicate(sale):
        message = f"{sale.id} was rejected as a duplicate: another transaction is there"
        return Unknown(FaultKind.CONFLICT, message, None, request_id)
    if sale.status == "gateway_rejected":
        word, message = f"{REJECTED}{sale.rejection}", f"rejected by the gateway: {sale.rejection}"
    else:
        word, message = sale.code or sale.status, sale.message
    code, decline_class, advice = classify(word, sale.response_type, sale.advice)
    return Declined(code, decline_class, advice, message, sale.id, request_id)


def _is_duplicate(sale: Sale) -> bool:
    if sale.status == "gateway_rejected":
        return sale.rejection in (None, "duplicate")
    return sale.status == "processor_declined" and sale.code == _ORDER_PAID


def difference_from(sale: Sale, request: ChargeRequest, order_id: str | None) -> str | None:
    """Return the first difference that shows the transaction to be another payment's, if any."""
    if sale.type != "sale" or order_id not in (None, sale.order_id):
        return "id"
    if sale.authorised.currency != request.amount.currency:
        return "currency"
    if sale.authorised != request.amount:
        return "amount"
    return None if sale.customer == request.provider_customer_id else "customer"


def outcome_of_found(
    found: Sequence[Sale], request: ChargeRequest, order_id: str | None
) -> Outcome | Absent:
    """Return the outcome that a payment's transactions show; at most one of them is live."""
    if not found:
        return Absent()
    live = [each for each in found if each.is_live]
    if len(live) > 1:
        ids = " and ".join(each.id for each in live)
        return Unknown(Doubt.SEVERAL_PAYMENTS, f"{ids} have the same order", live[0].id)
    return outcome_of_sale((live or found)[0], request, order_id)


def outcome_of_fault(
    fault: RequestFault, *, first_send: bool, provider_payment_id: str | None = None
) -> Declined | Rejected | Deferred | Unknown:
    """Return the outcome of an attempt whose request failed."""
    refused = fault.kind in _REFUSED or (first_send and fault.kind in _REFUSED_ON_FIRST_SEND)
    if refused and fault.codes & _METHOD_GONE:
        return Declined(
            METHOD_UNUSABLE,
            OWN_CODES[METHOD_UNUSABLE],
            message=fault.message,
            request_id=fault.request_id,
        )
    if refused:
        return rejected(fault)
    if first_send and fault.kind in _DEFERRED_ON_FIRST_SEND:
        return Deferred(fault.kind.value, fault.message, fault.retry_after, fault.request_id)
    return Unknown(fault.kind.value, fault.message, provider_payment_id, fault.request_id)


def rejected(fault: RequestFault, reason: RefusalReason = RefusalReason.OTHER) -> Rejected:
    """Return the refusal of a request."""
    word = fault.kind.value if fault.kind is FaultKind.IDEMPOTENCY else fault.word
    return Rejected(word, fault.message, fault.request_id, reason)


def outcome_of_capture(
    sale: Sale, provider_payment_id: str, amount: Money, request_id: str | None = None
) -> Outcome:
    """Return the outcome of a capture from its transaction; another sum is never its success."""
    if sale.id != provider_payment_id:
        message = "the answer is about another transaction"
        return Unknown(Doubt.WRONG_ID, message, provider_payment_id, request_id)
    if sale.status in CAPTURED and sale.amount != amount:
        message = f"{sale.amount} was captured, not {amount}"
        return Unknown(Doubt.WRONG_AMOUNT, message, sale.id, request_id)
    return _by_status(sale, request_id)


def outcome_of_refused_capture(
    fault: RequestFault, sale: Sale, provider_payment_id: str, amount: Money
) -> Outcome:
    """Return the outcome of a capture that was refused because of the payment's present state."""
    if sale.status == "authorization_expired":
        return rejected(fault, RefusalReason.AUTHORIZATION_EXPIRED)
    if sale.status in DECLINED - {"settlement_declined", "settlement_failed"}:
        return rejected(fault)
    return outcome_of_capture(sale, provider_payment_id, amount, fault.request_id)


def outcome_of_cancel(sale: Sale, request_id: str | None = None) -> Outcome | Absent:
    """Return the outcome of canceling a payment."""
    if not sale.is_live:
        return Absent()
    if sale.status in CAPTURED:
        return Succeeded(sale.id, sale.amount, True, sale.id, request_id)
    label = Doubt.PROCESSING if sale.status in UNDECIDED else "not_canceled"
    return Unknown(label, f"the transaction is {sale.status}, not voided", sale.id, request_id)
