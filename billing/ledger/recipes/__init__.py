"""Recipes: the entry of each business event.

Pure: the event's facts in, one entry out. Debit positive. Source keys are derived from ids, ours or
the provider's, so the same event always makes the same entry, from any caller and at any
repetition. An amount of zero posts nothing: a free invoice has no entry, and asking for one is an
error.

One file a subject; all are used through this package.
"""

from billing.ledger.recipes.credit import (
    credit_applied,
    credit_bought,
    credit_expired,
    credit_granted,
    credit_refunded,
    credit_restored,
    credit_returned,
)
from billing.ledger.recipes.credit_notes import credit_note, credit_note_credited
from billing.ledger.recipes.disputes import (
    dispute_lost,
    dispute_lost_reversed,
    dispute_opened,
    dispute_won,
)
from billing.ledger.recipes.invoices import (
    invoice_issued,
    invoice_voided,
    recognition_taken_back,
    revenue_recognized,
    top_up_issued,
    top_up_written_off,
    write_off,
    write_off_reversed,
)
from billing.ledger.recipes.legs import reversal
from billing.ledger.recipes.payments import (
    capture_returned,
    one_off_charged,
    one_off_returned,
    payment_captured,
)
from billing.ledger.recipes.refunds import (
    refund_failed,
    refund_requested,
    refund_returned,
    refund_succeeded,
)
from billing.ledger.recipes.settlement import (
    adjustment,
    fee_settled,
    fx_event,
    movement_booked,
    payout_arrived,
    payout_came_back,
    payout_failed,
    payout_returned,
    payout_sent,
)

__all__ = [
    "adjustment",
    "capture_returned",
    "credit_applied",
    "credit_bought",
    "credit_expired",
    "credit_granted",
    "credit_note",
    "credit_note_credited",
    "credit_refunded",
    "credit_restored",
    "credit_returned",
    "dispute_lost",
    "dispute_lost_reversed",
    "dispute_opened",
    "dispute_won",
    "fee_settled",
    "fx_event",
    "invoice_issued",
    "invoice_voided",
    "movement_booked",
    "one_off_charged",
    "one_off_returned",
    "payment_captured",
    "payout_arrived",
    "payout_came_back",
    "payout_failed",
    "payout_returned",
    "payout_sent",
    "recognition_taken_back",
    "refund_failed",
    "refund_requested",
    "refund_returned",
    "refund_succeeded",
    "revenue_recognized",
    "reversal",
    "top_up_issued",
    "top_up_written_off",
    "write_off",
    "write_off_reversed",
]
