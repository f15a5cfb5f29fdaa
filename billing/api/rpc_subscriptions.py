"""The gRPC services of subscriptions, their changes and credit, by the rules of HTTP's bodies."""

from collections.abc import Mapping
from typing import Any, Final

from billing.api import request_schemas, rpc_documents
from billing.api.generated.perennial.v1 import subscriptions_pb2 as pb
from billing.api.generated.perennial.v1.subscriptions_pb2_grpc import (
    CreditServiceServicer,
    SubscriptionServiceServicer,
)
from billing.api.metrics import ApiMetrics
from billing.api.rpc_calls import visitor
from billing.api.rpc_values import body_of, invalid, key_of, moment, reference_of, was_replayed
from billing.flows.service.api_keys import Scope
from billing.flows.service.credit import CreditApi
from billing.flows.service.credit_notes import CreditNoteApi, NoteOrder
from billing.flows.service.customers import CustomerApi
from billing.flows.subscriptions.subscribing import SubscriptionOrder

_APPLIES: Final[Mapping[int, str | None]] = {
    pb.CHANGE_APPLIES_UNSPECIFIED: None,
    pb.CHANGE_APPLIES_NOW: "now",
    pb.CHANGE_APPLIES_PERIOD_END: "period_end",
}
_DESTINATIONS: Final[Mapping[int, str]] = {
    pb.NOTE_DESTINATION_CREDIT: "credit",
    pb.NOTE_DESTINATION_REFUND: "refund",
    pb.NOTE_DESTINATION_OUTSIDE: "outside",
}
SUBSCRIPTION_SCOPES: Final[Mapping[str, Scope]] = {
    "Subscribe": Scope.CHARGE,
    "QuoteChange": Scope.READ,
    "MakeChange": Scope.CHARGE,
    "RedeemCoupon": Scope.CHARGE,
    "Cancel": Scope.CHARGE,
    "Pause": Scope.CHARGE,
    "Resume": Scope.CHARGE,
}
CREDIT_SCOPES: Final[Mapping[str, Scope]] = {
    "GrantCredit": Scope.REFUND,
    "CreateCreditNote": Scope.REFUND,
}


class SubscriptionService(SubscriptionServiceServicer):
    """Subscribes customers and changes what they hold."""

    def __init__(self, customers: CustomerApi, metrics: ApiMetrics) -> None:
        self._customers = customers
        self._metrics = metrics

    def Subscribe(  # noqa: N802  gRPC's name
        self, request: pb.SubscribeRequest, _: object
    ) -> pb.SubscribeResponse:
        """Subscribe a customer to a plan, once a key."""
        body = body_of(
            request_schemas.NewSubscriptionBody,
            {
                "customer": request.customer,
                "plan": request.plan,
                "currency": request.currency,
                "quantity": request.quantity or None,
                "items": dict(request.items),
                "coupons": tuple(request.coupons),
                "zone": request.zone,
                "starts": request.starts,
                "external_id": request.external_id,
                "trial": not request.no_trial,
                "provider": request.provider,
            },
        )
        answer = self._customers.subscribe(
            visitor.get().caller,
            key_of(request.idempotency_key),
            SubscriptionOrder(**body.model_dump()),
        )
        return pb.SubscribeResponse(
            subscription=rpc_documents.subscription(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )

    def QuoteChange(  # noqa: N802
        self, request: pb.QuoteChangeRequest, _: object
    ) -> pb.QuoteChangeResponse:
        """Tell what a change would do."""
        body = body_of(request_schemas.ChangeOrderBody, _asked(request.order))
        view = self._customers.quote_change(_named(request.subscription), body.order)
        return pb.QuoteChangeResponse(change=rpc_documents.change(view))

    def MakeChange(  # noqa: N802
        self, request: pb.MakeChangeRequest, _: object
    ) -> pb.MakeChangeResponse:
        """Change what a subscription holds, once a key."""
        more = {"quote_digest": request.quote_digest, "reason": request.reason}
        body = body_of(request_schemas.NewChangeBody, _asked(request.order) | more)
        if body.credit == "refund":
            visitor.get().needs(Scope.REFUND)
        answer = self._customers.change_items(
            visitor.get().caller,
            key_of(request.idempotency_key),
            _named(request.subscription),
            body.order,
            digest=body.quote_digest,
            why=body.reason,
        )
        return pb.MakeChangeResponse(
            change=rpc_documents.change(answer.body), replayed=was_replayed(answer, self._metrics)
        )

    def RedeemCoupon(  # noqa: N802
        self, request: pb.RedeemCouponRequest, _: object
    ) -> pb.RedeemCouponResponse:
        """Redeem a coupon for a subscription, once a key."""
        body = body_of(
            request_schemas.RedeemBody, {"coupon": request.coupon, "reason": request.reason}
        )
        answer = self._customers.redeem_coupon(
            visitor.get().caller,
            key_of(request.idempotency_key),
            _named(request.subscription),
            body.coupon,
            why=body.reason,
        )
        return pb.RedeemCouponResponse(
            redemption=rpc_documents.redemption(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )

    def Cancel(self, request: pb.CancelRequest, _: object) -> pb.CancelResponse:  # noqa: N802
        """End a subscription, once a key."""
        if request.credit_note and request.credit_note not in _DESTINATIONS:
            invalid("credit_note", "is no destination")
        body = body_of(
            request_schemas.CancelBody,
            {
                "on": request.on,
                "at_period_end": not request.now,
                "forgive": request.forgive,
                "credit_note": _DESTINATIONS.get(request.credit_note),
                "reason": request.reason,
            },
        )
        if body.credit_note == "refund":
            visitor.get().needs(Scope.REFUND)
        answer = self._customers.change_subscription(
            visitor.get().caller,
            key_of(request.idempotency_key),
            "cancel",
            _named(request.subscription),
            why=body.reason,
            at_period_end=body.at_period_end,
            forgive=body.forgive,
            more=body.more,
        )
        return pb.CancelResponse(
            subscription=rpc_documents.subscription(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )

    def Pause(self, request: pb.PauseRequest, _: object) -> pb.PauseResponse:  # noqa: N802
        """Let the periods that start later pass unbilled, once a key."""
        body = body_of(
            request_schemas.PauseBody,
            {
                "periods": request.periods or None,
                "until": request.until,
                "reason": request.reason,
            },
        )
        answer = self._customers.change_subscription(
            visitor.get().caller,
            key_of(request.idempotency_key),
            "pause",
            _named(request.subscription),
            why=body.reason,
            more={"periods": body.periods, "until": body.until},
        )
        return pb.PauseResponse(
            subscription=rpc_documents.subscription(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )

    def Resume(self, request: pb.ResumeRequest, _: object) -> pb.ResumeResponse:  # noqa: N802
        """Let a subscription be billed again, once a key."""
        body = body_of(request_schemas.ResumeBody, {"on": request.on, "reason": request.reason})
        answer = self._customers.change_subscription(
            visitor.get().caller,
            key_of(request.idempotency_key),
            "resume",
            _named(request.subscription),
            why=body.reason,
            more={"on": body.on},
        )
        return pb.ResumeResponse(
            subscription=rpc_documents.subscription(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )


class CreditService(CreditServiceServicer):
    """Grants credit and gives back invoices."""

    def __init__(self, credit: CreditApi, notes: CreditNoteApi, metrics: ApiMetrics) -> None:
        self._credit = credit
        self._notes = notes
        self._metrics = metrics

    def GrantCredit(  # noqa: N802
        self, request: pb.GrantCreditRequest, _: object
    ) -> pb.GrantCreditResponse:
        """Give credit away, once a key."""
        expires = moment(request.expires_at) if request.HasField("expires_at") else None
        body = body_of(
            request_schemas.NewCreditGrantBody,
            {
                "amount": request.amount_cents,
                "currency": request.currency,
                "reason": request.reason,
                "priority": request.priority or None,
                "expires_at": expires,
                "subscription": request.subscription,
            },
        )
        answer = self._credit.grant(
            visitor.get().caller,
            key_of(request.idempotency_key),
            _named(request.customer, "customer"),
            **body.model_dump(),
        )
        return pb.GrantCreditResponse(
            grant=rpc_documents.credit_grant(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )

    def CreateCreditNote(  # noqa: N802
        self, request: pb.CreateCreditNoteRequest, _: object
    ) -> pb.CreateCreditNoteResponse:
        """Give back an invoice, or parts of it, once a key."""
        body = body_of(
            request_schemas.NewCreditNoteBody,
            {
                "destination": _DESTINATIONS.get(request.destination),
                "lines": [_line(line) for line in request.lines],
                "share": _share(request),
                "reason": request.reason,
            },
        )
        order = NoteOrder(
            destination=body.destination,
            lines=[(line.line, line.amount) for line in body.lines],
            share=None if body.share is None else (body.share.part, body.share.whole),
            reason=body.reason,
        )
        answer = self._notes.issue(
            visitor.get().caller,
            key_of(request.idempotency_key),
            _named(request.invoice, "invoice"),
            order,
        )
        return pb.CreateCreditNoteResponse(
            note=rpc_documents.credit_note(answer.body),
            replayed=was_replayed(answer, self._metrics),
        )


# --- what comes in ------------------------------------------------------------------------------


def _named(reference: str, where: str = "subscription") -> str:
    """Return what a message has to name. Raises `Refused`."""
    if not reference:
        invalid(where, "is empty")
    return reference_of(reference, where)


def _asked(order: pb.ChangeOrder) -> dict[str, Any]:
    if order.applies not in _APPLIES:
        invalid("applies", "is no time at which a change may hold")
    return {
        "plan": order.plan,
        "quantity": order.quantity or None,
        "items": dict(order.items),
        "applies": _APPLIES[order.applies],
        "billing_day": order.billing_day or None,
        "zone": order.zone,
        "credit": "refund" if order.refund else None,
        "coupon": order.coupon,
    }


def _line(line: pb.LineToCredit) -> dict[str, int]:
    found = {"line": line.line}
    return found | ({"amount": line.amount_cents} if line.HasField("amount_cents") else {})


def _share(request: pb.CreateCreditNoteRequest) -> dict[str, int] | None:
    if not request.HasField("share"):
        return None
    return {"part": request.share.part, "whole": request.share.whole}
