"""Promise 5: nothing is abandoned silently."""

from typing import Final

from billing.store.promises.check import check

_NOTHING_FOLLOWS = check(
    """
    SELECT id, state, decision FROM payments
     WHERE state IN ('CREATED', 'AUTHORIZED') AND next_attempt_at IS NULL AND parked_at IS NULL""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state} with no attempt to come and is not parked"
        f" (last decision: {row.decision or 'none'})"
    ),
)

_NEVER_RENEWS = check(
    """
    SELECT id, status FROM subscriptions
     WHERE renews_at IS NULL AND status NOT IN ('canceled', 'unpaid')""",
    "id",
    lambda row: f"subscription {row.id} is {row.status} and will never renew",
)

NOTHING_ABANDONED: Final = (_NOTHING_FOLLOWS, _NEVER_RENEWS)

_ATTEMPT_OVERDUE = check(
    """
    SELECT p.id, p.next_attempt_at, p.next_attempt_kind, a.n AS open_attempt, a.last_error
      FROM payments p
      LEFT JOIN attempts a ON a.payment_id = p.id AND a.finished_at IS NULL
     WHERE p.next_attempt_at IS NOT NULL AND p.parked_at IS NULL
       AND p.next_attempt_at <= :overdue AND a.unknown_since IS NULL""",
    "next_attempt_at, id",
    lambda row: (
        f"payment {row.id}: its {row.next_attempt_kind} attempt is due since"
        f" {row.next_attempt_at:%Y-%m-%d %H:%M} UTC and "
        + (
            f"attempt {row.open_attempt} has no outcome: {row.last_error or 'no answer yet'}"
            if row.open_attempt
            else "not begun"
        )
    ),
)

_UNCONFIRMED = check(
    """
    SELECT id, captured_at, provider_payment_id FROM payments p
     WHERE captured_at IS NOT NULL AND confirmed_at IS NULL AND captured_at <= :unreconciled
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)""",
    "captured_at, id",
    lambda row: (
        f"payment {row.id} ({row.provider_payment_id}) was captured on"
        f" {row.captured_at:%Y-%m-%d %H:%M} UTC and never compared with the provider's list"
    ),
)

OVERDUE: Final = (_ATTEMPT_OVERDUE, _UNCONFIRMED)
