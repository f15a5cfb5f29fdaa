"""The rows of the story that mutants by hand are about, as subqueries."""

from typing import Final

_IN_ORDER: Final = "ORDER BY created_at, subscription_id, amount LIMIT 1)"
_CYCLES_IN_ORDER: Final = "ORDER BY subscription_id, n LIMIT 1)"

SETTLED: Final = (
    "(SELECT id FROM payments WHERE state = 'SETTLED' AND invoice_id IS NOT NULL"
    f" AND currency = 'USD' AND provider = 'stripe' {_IN_ORDER}"
)
OTHER: Final = SETTLED.replace("LIMIT 1", "LIMIT 1 OFFSET 1")
YEN: Final = f"(SELECT id FROM payments WHERE state = 'SETTLED' AND currency = 'JPY' {_IN_ORDER}"
OPEN: Final = (
    "(SELECT id FROM payments WHERE state = 'CREATED' AND invoice_id IS NOT NULL"
    f" AND attempt_n > 0 AND parked_at IS NULL {_IN_ORDER}"
)
FAILED: Final = f"(SELECT id FROM payments WHERE state = 'FAILED' {_IN_ORDER}"
ONE_OFF: Final = (
    f"(SELECT id FROM payments WHERE state = 'SETTLED' AND invoice_id IS NULL {_IN_ORDER}"
)
CLOSED: Final = (
    f"(SELECT id FROM cycles WHERE state = 'closed' AND kind = 'regular' {_CYCLES_IN_ORDER}"
)
OPENED: Final = f"(SELECT id FROM cycles WHERE state = 'opened' {_CYCLES_IN_ORDER}"
REFUND: Final = (
    "(SELECT id FROM refunds WHERE state = 'succeeded' AND note_id IS NULL ORDER BY id LIMIT 1)"
)
ASKED: Final = "(SELECT id FROM refunds WHERE state = 'requested' ORDER BY id LIMIT 1)"
HELD: Final = "(SELECT id FROM disputes WHERE state = 'opened' ORDER BY id LIMIT 1)"
LOST: Final = "(SELECT id FROM disputes WHERE state = 'lost' ORDER BY id LIMIT 1)"
LIVE: Final = "(SELECT id FROM subscriptions WHERE status = 'active' ORDER BY id LIMIT 1)"
CUT: Final = "(SELECT subscription_id FROM cycle_cuts)"
PAUSED: Final = "(SELECT id FROM subscriptions WHERE status = 'paused' ORDER BY id LIMIT 1)"
PAYOUT: Final = (
    "(SELECT provider_payout_id FROM payouts WHERE status = 'paid' ORDER BY created LIMIT 1)"
)
SEATED: Final = "(SELECT subscription_id FROM subscription_items WHERE quantity = 7)"
WITH_ITEMS: Final = (
    f"(SELECT id FROM invoices WHERE subscription_id = {SEATED} ORDER BY issued_at LIMIT 1)"
)
NEXT_WITH_ITEMS: Final = WITH_ITEMS.replace("LIMIT 1", "OFFSET 1 LIMIT 1")
ORDERED: Final = (
    "(SELECT id FROM invoices WHERE kind = 'one_off' AND status = 'paid' ORDER BY id LIMIT 1)"
)
GRANT: Final = "(SELECT id FROM credit_grants WHERE amount = 1500)"
EXPIRING: Final = "(SELECT id FROM credit_grants WHERE amount = 1234)"
EXPIRED: Final = "(SELECT id FROM credit_grants WHERE amount = 5000)"
CREDITED: Final = (
    f"(SELECT invoice_id FROM credit_moves WHERE grant_id = {GRANT} AND n = 1 AND kind = 'applied')"
)
NOTE: Final = (
    "(SELECT id FROM credit_notes WHERE destination = '{to}' AND deferred > 0"
    " ORDER BY series, n LIMIT 1)"
)
NOTE_TO_CREDIT: Final = NOTE.replace("{to}", "credit")
NOTE_TO_CARD: Final = NOTE.replace("{to}", "refund")
NOTED: Final = f"(SELECT invoice_id FROM credit_notes WHERE id = {NOTE_TO_CREDIT})"
USER: Final = "(SELECT subscription_id FROM usage_closings WHERE quantity = 10)"
USED: Final = f"subscription_id = {USER} AND meter = 'searches' AND n = 0 AND revision = 1"
ROW: Final = (
    "(SELECT provider_transaction_id FROM settlement_rows WHERE kind = 'charge'"
    " AND outcome = 'matched' AND payment_id = {payment} LIMIT 1)"
)


def row_of(payment: str) -> str:
    """Return the provider's transaction of a payment's charge."""
    return ROW.replace("{payment}", payment)
