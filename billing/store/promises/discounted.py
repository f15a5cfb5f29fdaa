"""Promise 7 for discounts: what coupons took off, against invoices, redemptions and terms."""

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

_OF_INVOICE = check(
    FindingKind.DISCOUNT_OF_INVOICE,
    """
    SELECT i.number, i.currency, i.discount, coalesce(d.amount, 0) AS amount
      FROM invoices i
      LEFT JOIN (SELECT invoice_id, sum(amount) AS amount
                   FROM invoice_discounts GROUP BY invoice_id) d ON d.invoice_id = i.id
     WHERE i.discount <> coalesce(d.amount, 0)""",
    "number",
)

# The document that an invoice follows from names the redemptions by their ids.
_OF_REDEMPTION = check(
    FindingKind.DISCOUNT_OF_REDEMPTION,
    """
    SELECT i.number, r.coupon, r.id AS redemption
      FROM invoice_discounts d
      JOIN invoices i ON i.id = d.invoice_id
      LEFT JOIN redemptions r ON r.id = d.redemption_id
     WHERE r.id IS NULL OR r.customer_id <> i.customer_id
        OR r.subscription_id <> i.subscription_id
        OR position(d.redemption_id::text IN i.facts) = 0""",
    "number, redemption",
)

# A change is billed with the discounts of its period's invoice, and uses nothing up.
_OVERUSED = check(
    FindingKind.REDEMPTION_OVERUSED,
    """
    SELECT r.id AS redemption, r.coupon, u.invoices, u.taken, c.terms ->> 'for' AS lasts
      FROM redemptions r
      JOIN coupons c ON c.code = r.coupon
      JOIN (SELECT d.redemption_id, count(*) FILTER (WHERE i.kind <> 'change') AS invoices,
                   sum(d.amount) AS taken, min(i.currency) AS currency
              FROM invoice_discounts d JOIN invoices i ON i.id = d.invoice_id
             WHERE i.status <> 'void' GROUP BY d.redemption_id) u ON u.redemption_id = r.id
     WHERE CASE
           WHEN c.terms ->> 'rest' = 'kept'
           THEN u.taken > (c.terms -> 'amount' ->> u.currency)::bigint
           WHEN c.terms ->> 'for' = 'once' THEN u.invoices > 1
           WHEN c.terms ->> 'for' ~ 'invoice'
           THEN u.invoices > split_part(c.terms ->> 'for', ' ', 1)::int
           ELSE false END""",
    "redemption",
)

DISCOUNTS: Final = (_OF_INVOICE, _OF_REDEMPTION, _OVERUSED)
