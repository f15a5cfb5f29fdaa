"""The gRPC service: messages to the payment service's values and back."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

from billing.api import cursors
from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.api.generated.perennial.v1.payments_pb2_grpc import PaymentServiceServicer
from billing.api.metrics import ApiMetrics
from billing.api.problems import Refused
from billing.api.rpc_calls import visitor
from billing.api.rpc_values import instant, invalid, key_of, reference_of, text_of, was_replayed
from billing.api.schema_types import AMOUNT_MAX
from billing.flows.service import views
from billing.flows.service.api_keys import Scope
from billing.flows.service.idempotency import DECLINED, REFUSED, KeyedAnswer
from billing.flows.service.orders import Capture, ChargeOrder
from billing.flows.service.payments import PaymentApi
from billing.presenters.decisions import with_sentence

_CURRENCY: Final = re.compile("[A-Z]{3}")
_CAPTURE: Final[Mapping[int, Capture]] = {
    pb.CAPTURE_METHOD_UNSPECIFIED: "automatic",
    pb.CAPTURE_METHOD_AUTOMATIC: "automatic",
    pb.CAPTURE_METHOD_MANUAL: "manual",
}
SCOPES: Final[Mapping[str, Scope]] = {
    "Charge": Scope.CHARGE,
    "GetStatus": Scope.READ,
    "Capture": Scope.CHARGE,
    "Void": Scope.CHARGE,
    "Refund": Scope.REFUND,
    "ListTransactions": Scope.READ,
}
"""The scope that each method needs, checked before its message is waited for."""
_Response = TypeVar("_Response")


class PaymentService(PaymentServiceServicer):
    """Answers calls; `rpc_calls` has admitted them and turns what is raised into statuses."""

    def __init__(self, payments: PaymentApi, metrics: ApiMetrics) -> None:
        self._payments = payments
        self._metrics = metrics

    def Charge(  # noqa: N802  gRPC's name
        self, request: pb.ChargeRequest, _: object
    ) -> pb.ChargeResponse:
        """Charge once a key. A decline is an answer here, FAILED, and no status."""
        asking = visitor.get()
        if request.capture not in _CAPTURE:
            invalid("capture", "is no capture method")
        order = ChargeOrder(
            amount=_amount(request.amount_cents),
            currency=_currency(request.currency),
            customer=reference_of(request.customer, "customer") or None,
            payment_source=reference_of(request.payment_source, "payment_source") or None,
            capture=_CAPTURE[request.capture],
            description=text_of(request.description, "description"),
        )
        answer = self._payments.charge(asking.caller, key_of(request.idempotency_key), order)
        return self._answered(answer, pb.ChargeResponse, payment, also=DECLINED)

    def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, _: object
    ) -> pb.GetStatusResponse:
        """Tell where a payment stands."""
        view = self._payments.status(_payment_id(request.payment_id))
        return pb.GetStatusResponse(
            payment=payment(view), refunds=[refund(each) for each in view["refunds"]]
        )

    def Capture(  # noqa: N802
        self, request: pb.CaptureRequest, _: object
    ) -> pb.CaptureResponse:
        """Capture an authorised payment."""
        asking = visitor.get()
        answer = self._payments.capture(
            asking.caller,
            key_of(request.idempotency_key),
            _payment_id(request.payment_id),
            _amount(request.amount_cents) if request.HasField("amount_cents") else None,
        )
        return self._answered(answer, pb.CaptureResponse, payment)

    def Void(  # noqa: N802
        self, request: pb.VoidRequest, _: object
    ) -> pb.VoidResponse:
        """Give an authorisation up."""
        asking = visitor.get()
        answer = self._payments.void(
            asking.caller,
            key_of(request.idempotency_key),
            _payment_id(request.payment_id),
            text_of(request.reason, "reason"),
        )
        return self._answered(answer, pb.VoidResponse, payment)

    def Refund(  # noqa: N802
        self, request: pb.RefundRequest, _: object
    ) -> pb.RefundResponse:
        """Give money back once a key."""
        asking = visitor.get()
        answer = self._payments.refund(
            asking.caller,
            key_of(request.idempotency_key),
            _payment_id(request.payment_id),
            _amount(request.amount_cents) if request.HasField("amount_cents") else None,
            text_of(request.reason, "reason"),
        )
        replayed = was_replayed(answer, self._metrics)
        _refuse(answer)
        return pb.RefundResponse(refund=refund(answer.body), replayed=replayed)

    def ListTransactions(  # noqa: N802
        self, request: pb.ListTransactionsRequest, _: object
    ) -> pb.ListTransactionsResponse:
        """List charges and refunds, the newest first."""
        if not 0 <= request.page_size <= cursors.LIMIT_MAX:
            invalid("page_size", f"is from 1 to {cursors.LIMIT_MAX}")
        limit = request.page_size or cursors.LIMIT_DEFAULT
        rows = self._payments.transactions(
            customer=reference_of(request.customer, "customer") or None,
            limit=limit + 1,
            before=cursors.decode(request.page_token),
        )
        found, next_cursor = cursors.cut(rows, limit)
        return pb.ListTransactionsResponse(
            transactions=[transaction(views.transaction(row)) for row in found],
            next_page_token=next_cursor or "",
        )

    def _answered(
        self,
        answer: KeyedAnswer,
        response: Callable[..., _Response],
        message: Callable[[Mapping[str, Any]], Any],
        also: int | None = None,
    ) -> _Response:
        replayed = was_replayed(answer, self._metrics)
        if answer.status != also:
            _refuse(answer)
        return response(payment=message(answer.body), replayed=replayed)


def _refuse(answer: KeyedAnswer) -> None:
    if answer.status == REFUSED:
        body = with_sentence(answer.body)
        words = body.get("decision") or body.get("failure_reason")
        raise Refused("provider_refused", words or "refused")


# --- what comes in ------------------------------------------------------------------------------


def _amount(amount: int) -> int:
    if not 1 <= amount <= AMOUNT_MAX:
        invalid("amount_cents", f"is from 1 to {AMOUNT_MAX} minor units")
    return amount


def _currency(code: str) -> str:
    if not _CURRENCY.fullmatch(code):
        invalid("currency", "is three capital letters, like USD")
    return code


def _payment_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        invalid("payment_id", "is no UUID")


# --- what goes out ------------------------------------------------------------------------------


def payment(view: Mapping[str, Any]) -> pb.Payment:
    """Return a payment's message."""
    return pb.Payment(
        id=view["id"],
        customer_id=view["customer_id"],
        payment_method_id=view["payment_method_id"] or "",
        amount_cents=view["amount"],
        currency=view["currency"],
        state=f"PAYMENT_STATE_{view['state']}",
        pending=view["pending"],
        amount_captured_cents=view["amount_captured"],
        amount_refunded_cents=view["amount_refunded"],
        capture=f"CAPTURE_METHOD_{view['capture'].upper()}",
        description=view["description"],
        decline_code=view["decline_code"] or "",
        decision=with_sentence(view)["decision"] or "",
        authorized_until=instant(view["authorized_until"]),
        captured_at=instant(view["captured_at"]),
        created_at=instant(view["created_at"]),
    )


def refund(view: Mapping[str, Any]) -> pb.Refund:
    """Return a refund's message."""
    return pb.Refund(
        id=view["id"],
        payment_id=view["payment_id"],
        amount_cents=view["amount"],
        currency=view["currency"],
        state=f"REFUND_STATE_{view['state'].upper()}",
        reason=view["reason"],
        failure_reason=view["failure_reason"] or "",
        created_at=instant(view["created_at"]),
        finished_at=instant(view["finished_at"]),
    )


def transaction(view: Mapping[str, Any]) -> pb.Transaction:
    """Return a transaction's message."""
    return pb.Transaction(
        id=view["id"],
        kind=f"TRANSACTION_KIND_{view['kind'].upper()}",
        payment_id=view["payment_id"],
        customer_id=view["customer_id"],
        amount_cents=view["amount"],
        currency=view["currency"],
        state=view["state"],
        created_at=instant(view["created_at"]),
    )
