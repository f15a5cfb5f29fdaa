"""Pieces of the statements that read settlement rows `r`."""
# ruff: noqa: S608  statements are put together from constants

from typing import Final

# The unmatched rows `r` of a batch.
RANGE: Final = (
    "r.provider = :provider AND r.matched_at IS NULL AND r.provider_transaction_id > :after"
    " AND r.provider_transaction_id <= :upto"
)
_UUID: Final = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
SHOWN: Final = """coalesce(r.customer_amount, r.amount) AS shown,
             coalesce(r.customer_currency, r.currency) AS shown_in"""


def own_id(key: str) -> str:
    """Return the SQL of our own id in the metadata, or NULL for what is no id."""
    return (
        f"CASE WHEN r.metadata ->> '{key}' ~ {_UUID} THEN CAST(r.metadata ->> '{key}' AS uuid) END"
    )


# The payment of a row: by the provider's id, by ours, or by the charge's.
PAYMENT: Final = f"""(
             SELECT * FROM payments
              WHERE provider = r.provider AND provider_payment_id = r.provider_payment_id
              UNION ALL
             SELECT * FROM payments WHERE provider = r.provider AND id = {own_id("payment")}
              UNION ALL
             SELECT * FROM payments
              WHERE provider = r.provider AND provider_charge_id = r.provider_charge_id
              LIMIT 1)"""
# What is to be captured of a payment `p`, or was.
TO_CAPTURE: Final = "coalesce(nullif(p.amount_captured, 0), p.capture_amount, p.amount)"
