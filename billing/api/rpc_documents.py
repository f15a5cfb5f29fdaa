"""Subscriptions, changes, credit and credit notes as gRPC's messages have them."""

from collections.abc import Mapping
from typing import Any

from billing.api.generated.perennial.v1 import subscriptions_pb2 as pb
from billing.api.rpc_values import instant

View = Mapping[str, Any]


def subscription(view: View) -> pb.Subscription:
    """Return a subscription's message."""
    return pb.Subscription(
        id=view["id"],
        external_id=view["external_id"] or "",
        customer_id=view["customer_id"],
        plan=view["plan"],
        plan_version=view["plan_version"],
        currency=view["currency"],
        quantity=view["quantity"],
        status=view["status"],
        zone=view["zone"],
        every=view["every"],
        renews_at=instant(view["renews_at"]),
        cancels_at=instant(view["cancels_at"]),
        canceled_at=instant(view["canceled_at"]),
        created_at=instant(view["created_at"]),
        provider=view["provider"] or "",
    )


def change(view: View) -> pb.SubscriptionChange:
    """Return a change's message, or that of its quote."""
    return pb.SubscriptionChange(
        id=view["id"] or "",
        subscription_id=view["subscription_id"],
        applies=f"CHANGE_APPLIES_{view['applies'].upper()}",
        holds_from=instant(view["holds_from"]),
        before=_held(view["before"]),
        after=_held(view["after"]),
        invoice=None if view["invoice"] is None else _invoice(view["invoice"]),
        notes=[_note(note) for note in view["notes"]],
        digest=view["digest"],
        periods=None if view["periods"] is None else _periods(view["periods"]),
        coupon=view["coupon"] or "",
    )


def _periods(view: View) -> pb.MovedPeriods:
    return pb.MovedPeriods(
        n=view["n"],
        starts_at=instant(view["starts_at"]),
        before=_schedule(view["before"]),
        after=_schedule(view["after"]),
    )


def _schedule(view: View) -> pb.PeriodSchedule:
    return pb.PeriodSchedule(
        every=view["every"],
        zone=view["zone"],
        anchor_day=view["anchor_day"] or 0,
        anchor_month=view["anchor_month"] or 0,
        anchor_weekday=view["anchor_weekday"] or 0,
    )


def _held(view: View) -> pb.HeldTerms:
    return pb.HeldTerms(
        plan=view["plan"],
        version=view["version"],
        items=view["items"],
        addons=view.get("addons", {}),
    )


def _invoice(view: View) -> pb.ChangeInvoice:
    return pb.ChangeInvoice(
        currency=view["currency"],
        lines=[_line(line) for line in view["lines"]],
        discount_cents=view["discount"],
        net_cents=view["net"],
        tax_cents=view["tax"],
        total_cents=view["total"],
        credit_cents=view["credit"],
        due_cents=view["due"],
    )


def _line(view: View) -> pb.ChangeLine:
    return pb.ChangeLine(
        item=view["item"],
        description=view["description"],
        quantity=str(view["quantity"]),
        gross_cents=view["gross"],
        discount_cents=view["discount"],
        net_cents=view["amount"],
        tax_cents=view["tax"],
    )


def _note(view: View) -> pb.ChangeNote:
    return pb.ChangeNote(
        invoice=view["invoice"],
        destination=f"NOTE_DESTINATION_{view['destination'].upper()}",
        currency=view["currency"],
        discount_cents=view["discount"],
        net_cents=view["net"],
        tax_cents=view["tax"],
        total_cents=view["total"],
    )


def redemption(view: View) -> pb.Redemption:
    """Return the message of a redeemed coupon."""
    return pb.Redemption(
        id=view["id"],
        coupon=view["coupon"],
        subscription_id=view["subscription_id"],
        at=instant(view["at"]),
    )


def credit_grant(view: View) -> pb.CreditGrant:
    """Return a grant's message."""
    return pb.CreditGrant(
        id=view["id"],
        customer_id=view["customer_id"],
        currency=view["currency"],
        amount_cents=view["amount"],
        left_cents=view["left"],
        source=view["source"],
        priority=view["priority"],
        subscription_id=view["subscription_id"] or "",
        effective_at=instant(view["effective_at"]),
        expires_at=instant(view["expires_at"]),
        reason=view["reason"],
        created_at=instant(view["created_at"]),
    )


def credit_note(view: View) -> pb.CreditNote:
    """Return a credit note's message."""
    return pb.CreditNote(
        id=view["id"],
        number=view["number"],
        invoice_id=view["invoice_id"],
        invoice_number=view["invoice_number"],
        customer_id=view["customer_id"],
        subscription_id=view["subscription_id"] or "",
        currency=view["currency"],
        net_cents=view["net"],
        tax_cents=view["tax"],
        total_cents=view["total"],
        discount_cents=view["discount"],
        destination=f"NOTE_DESTINATION_{view['destination'].upper()}",
        reason=view["reason"],
        refund_id=view["refund_id"] or "",
        grant_id=view["grant_id"] or "",
        created_at=instant(view["created_at"]),
        lines=[
            pb.CreditNoteLine(
                line=line["line"],
                gross_cents=line["gross"],
                discount_cents=line["discount"],
                net_cents=line["net"],
                tax_cents=line["tax"],
            )
            for line in view["lines"]
        ],
    )
