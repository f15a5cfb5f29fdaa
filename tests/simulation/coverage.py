"""How often each kind of thing happened in a story, counted in the database at its end.

A kind that never happens is a part of the engine that no story tries.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

_DISCOUNTED: Final = (
    "invoice_discounts d JOIN invoices i ON i.id = d.invoice_id"
    " JOIN redemptions r ON r.id = d.redemption_id"
)
_CHANGES: Final = (
    "(SELECT *, detail -> 'items' AS items FROM subscription_changes"
    "  WHERE kind IN ('quantity', 'plan')) c"
)
_NOTED: Final = (
    "credit_note_lines n JOIN credit_notes c ON c.id = n.note_id"
    " JOIN invoice_lines l ON l.invoice_id = n.invoice_id AND l.line = n.line"
)
_DECLINED: Final = (
    "EXISTS (SELECT FROM attempts a WHERE a.payment_id = p.id AND a.decline_class IS NOT NULL)"
)
_ADDON: Final = "EXISTS (SELECT FROM jsonb_each_text(c.items) e JOIN addons a ON a.code = e.key"

KINDS: Final[Mapping[str, str]] = {
    "cycle in trial": "cycles WHERE kind = 'trial'",
    "cycle paused": "cycles WHERE kind = 'paused'",
    "cycle skipped": "cycles WHERE kind = 'skipped'",
    "cycle free": "cycles WHERE kind = 'free'",
    "cycle opened late": "cycles WHERE kind = 'regular' AND opened_at > period_end",
    "cycle closed": "cycles WHERE state = 'closed'",
    "subscription past due": "subscriptions WHERE status = 'past_due'",
    "subscription unpaid": "subscriptions WHERE status = 'unpaid'",
    "subscription ended by its ladder": "subscriptions WHERE ended_by = 'ladder'",
    "subscription ended at once": "subscriptions WHERE ended_by = 'operator'",
    "subscription ended with its period": "subscriptions WHERE ended_by = 'period_end'",
    "invoice void": "invoices WHERE status = 'void'",
    "invoice void, with credit": "invoices WHERE status = 'void' AND credit > 0",
    "invoice uncollectible": "invoices WHERE status = 'uncollectible'",
    "invoice paid after it was declined": (
        f"invoices i JOIN payments p ON p.invoice_id = i.id WHERE i.status = 'paid' AND {_DECLINED}"
    ),
    "decline, soft": "attempts WHERE decline_class = 'soft'",
    "decline, for the customer": "attempts WHERE decline_class = 'needs_customer'",
    "decline, hard": "attempts WHERE decline_class = 'hard'",
    "call repeated": "provider_calls WHERE sends > 1",
    "call proved absent": "provider_calls WHERE outcome = 'absent'",
    "coupon on a period": f"{_DISCOUNTED} WHERE i.kind = 'cycle'",
    "coupon on a change": f"{_DISCOUNTED} WHERE i.kind = 'change'",
    "coupon of a customer": f"{_DISCOUNTED} WHERE r.subscription_id IS NULL",
    "coupon after another": (
        "(SELECT invoice_id FROM invoice_discounts GROUP BY invoice_id HAVING count(*) > 1) d"
    ),
    "coupon beside what is charged once": (
        f"{_DISCOUNTED} JOIN invoice_lines l ON l.invoice_id = i.id"
        " WHERE l.item = 'setup' AND r.coupon IN ('spring', 'half', 'month', 'nothing', 'rare')"
    ),
    "coupon's months over": (
        "redemptions r JOIN cycles c ON c.subscription_id = r.subscription_id"
        " WHERE r.coupon = 'month' AND c.kind = 'regular'"
        "   AND c.period_start > r.at + interval '31 days'"
    ),
    "coupon used up": (
        "(SELECT r.id FROM redemptions r JOIN invoice_discounts d ON d.redemption_id = r.id"
        "  WHERE r.coupon = 'gift' GROUP BY r.id HAVING sum(d.amount) >= 2500) r"
    ),
    "coupon redeemed between a period's start and its cycle": (
        "redemptions r JOIN cycles c ON c.subscription_id = r.subscription_id"
        " WHERE c.kind = 'regular' AND c.period_start < r.at - interval '2 hours'"
        "   AND r.at < c.opened_at"
    ),
    "change at once": f"{_CHANGES} WHERE applies = 'now'",
    "change at a period's end": f"{_CHANGES} WHERE applies = 'period_end'",
    "change withdrawn": "subscription_changes WHERE kind = 'withdraw'",
    "change of plan": f"{_CHANGES} WHERE kind = 'plan'",
    "add-on added": f"{_CHANGES} WHERE {_ADDON} WHERE e.value <> '0')",
    "add-on removed": f"{_CHANGES} WHERE {_ADDON} WHERE e.value = '0')",
    "change charges": "invoices WHERE kind = 'change' AND due > 0",
    "change paid by credit": "invoices WHERE kind = 'change' AND credit > 0",
    "change declined": (
        f"invoices i JOIN payments p ON p.invoice_id = i.id WHERE i.kind = 'change' AND {_DECLINED}"
    ),
    "change gives back": (
        "credit_notes n JOIN subscription_changes c ON c.subscription_id = n.subscription_id"
        " AND c.asked_at = n.created_at"
    ),
    "change follows another in its period": (
        "(SELECT c.id FROM subscription_changes c JOIN cycles k"
        "    ON k.subscription_id = c.subscription_id AND c.holds_from > k.period_start"
        "   AND c.holds_from < k.period_end JOIN subscription_changes o"
        "    ON o.subscription_id = c.subscription_id AND o.holds_from > k.period_start"
        "   AND o.holds_from < c.holds_from AND o.applies = 'now'"
        "  WHERE c.applies = 'now') c"
    ),
    "note as credit": "credit_notes WHERE destination = 'credit'",
    "note as a refund": "credit_notes WHERE destination = 'refund'",
    "note outside": "credit_notes WHERE destination = 'outside'",
    "note of a part with a discount": f"{_NOTED} WHERE l.discount > 0 AND n.gross < l.gross",
    "credit applied": "credit_moves WHERE kind = 'applied'",
    "credit returned": "credit_moves WHERE kind = 'returned'",
    "credit expired": "credit_moves WHERE kind = 'expired'",
    "credit waived": (
        "credit_moves m JOIN credit_grants g ON g.id = m.grant_id"
        " WHERE g.source = 'small' AND m.kind = 'applied'"
    ),
    "credit bought": "credit_grants WHERE source = 'bought'",
    "one-off invoice": "invoices WHERE kind = 'one_off' AND due > 0",
    "one-off invoice paid by credit": "invoices WHERE kind = 'one_off' AND credit > 0",
    "refund succeeded": "refunds WHERE state = 'succeeded'",
    "refund failed": "refunds WHERE state = 'failed'",
    "dispute won": "disputes WHERE state = 'won'",
    "dispute lost": "disputes WHERE state = 'lost'",
    "dispute open": "disputes WHERE state NOT IN ('won', 'lost')",
    "charge of a shop": "payments WHERE invoice_id IS NULL AND captured_at IS NOT NULL",
    "charge of a shop, canceled": (
        "payments WHERE invoice_id IS NULL AND capture_method = 'manual' AND state = 'FAILED'"
    ),
    "movement of another engine": "settlement_rows WHERE outcome = 'other_engine'",
    "exchange": "fx_events",
    "payout paid": "payouts WHERE status = 'paid'",
    "fee": "settlement_rows WHERE fee <> 0",
    "usage counted": "usage_events",
    "usage counted late": "usage_counts WHERE outcome = 'late'",
    "usage repeated": "usage_counts WHERE outcome = 'repeated'",
    "usage conflicting": "usage_counts WHERE outcome = 'conflicting'",
    "usage too old": "usage_counts WHERE outcome = 'too_old'",
    "usage after an end, or while paused": (
        "usage_counts WHERE outcome IN ('canceled', 'paused', 'unpaid')"
    ),
    "usage billed": "usage_closings WHERE invoice_id IS NOT NULL AND events > 0",
    "usage billed later than its period": "usage_closings WHERE revision > 1",
    "usage billed by segments": "usage_closings WHERE segment > 0",
    "usage of a trial": (
        "usage_closings u JOIN cycles c ON c.subscription_id = u.subscription_id AND c.n = u.n"
        " WHERE c.kind = 'trial' AND u.events > 0"
    ),
    "usage up to a minimum": (
        "(SELECT FROM invoice_lines WHERE item = 'calls' GROUP BY invoice_id HAVING count(*) > 1) l"
    ),
    "usage on a last invoice": "invoices WHERE kind = 'final'",
    "usage of a period without a cycle": (
        "usage_closings u WHERE u.events > 0 AND NOT EXISTS (SELECT FROM cycles c"
        "  WHERE c.subscription_id = u.subscription_id AND c.n = u.n)"
    ),
    "usage with a coupon": (
        "invoice_lines WHERE item IN ('calls', 'data', 'users', 'peak') AND discount > 0"
    ),
    "tax on top": "invoice_lines WHERE tax > 0 AND NOT tax_included",
    "tax in the price": "invoice_lines WHERE tax > 0 AND tax_included",
    "tax owed by the customer": "invoice_taxes WHERE treatment = 'reverse_charge'",
    "tax exempt": "invoice_taxes WHERE treatment = 'exempt'",
    "tax at a later rate": "invoice_taxes WHERE amount > 0 AND rate IN ('16', '5.5')",
    "tax on a change": (
        "invoices i JOIN invoice_taxes t ON t.invoice_id = i.id WHERE i.kind = 'change'"
    ),
    "tax given back by a note": (
        "credit_note_lines n JOIN credit_notes c ON c.id = n.note_id"
        " JOIN invoice_lines l ON l.invoice_id = c.invoice_id AND l.line = n.line WHERE l.tax > 0"
    ),
    "customer who moved": (
        "(SELECT FROM customer_tax_facts GROUP BY customer_id HAVING count(*) > 1) f"
    ),
    "break resolved": "breaks WHERE resolved_at IS NOT NULL",
}


def counted(conn: Connection) -> Counter[str]:
    """Return how often each kind happened, 0 where it didn't."""
    columns = ", ".join(
        f"(SELECT count(*) FROM {rows}) AS kind{n}" for n, rows in enumerate(KINDS.values())
    )
    (row,) = conn.execute(text(f"SELECT {columns}"))
    return Counter(dict(zip(KINDS, row, strict=True)))
