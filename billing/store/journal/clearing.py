"""What `psp_clearing` of an account has of one movement, by the keys of its entries."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from billing.ledger.accounts import AccountCode
from billing.ledger.keys import EntryKind
from billing.rules.money import Money

_BOOKED = text(f"""
SELECT p.currency, sum(p.amount) AS amount
  FROM ledger.entries e
  JOIN ledger.postings p ON p.entry_id = e.id
  JOIN ledger.accounts a ON a.id = p.account_id
                        AND a.code = '{AccountCode.PSP_CLEARING}' AND a.provider = :provider
 WHERE e.source_key = ANY(:keys)
 GROUP BY p.currency ORDER BY p.currency
""")  # noqa: S608  our constants

# A capture has the number of its attempt, or the charge or transaction that corrected it; its
# reversal has the same.
_CAPTURES = text(f"""
SELECT k.kind || ':' || p.id || ':' || x.capture AS key
  FROM payments p
 CROSS JOIN (VALUES ('{EntryKind.PAYMENT_CAPTURED}'), ('{EntryKind.CAPTURE_RETURNED}')) k(kind)
 CROSS JOIN LATERAL (
       SELECT n::text AS capture FROM generate_series(0, p.attempt_n) n
        UNION SELECT p.provider_charge_id WHERE p.provider_charge_id IS NOT NULL
        UNION SELECT t.evidence ->> k.name
                FROM payment_transitions t,
                     unnest(ARRAY['charge', 'balance_transaction']) AS k(name)
               WHERE t.payment_id = p.id AND t.cause = 'forced_correction'
                 AND t.evidence ->> k.name IS NOT NULL) x
 WHERE p.id = :payment
""")  # noqa: S608  our constants

_ADJUSTMENTS = text(f"""
SELECT '{EntryKind.ADJUSTMENT}:' || id AS key FROM breaks
 WHERE provider = :provider AND provider_transaction_id = :transaction
   AND id IS DISTINCT FROM CAST(:besides AS uuid)
""")  # noqa: S608  our constants


def booked(conn: Connection, provider: str, keys: Sequence[str]) -> tuple[Money, ...]:
    """Return the sum of `psp_clearing` of an account over these entries, by currency."""
    if not keys:
        return ()
    rows = conn.execute(_BOOKED, {"provider": provider, "keys": list(keys)})
    return tuple(Money(int(row.amount), row.currency) for row in rows)


def captures_of(conn: Connection, payment_id: UUID) -> list[str]:
    """Return the keys under which a capture of this payment, or its return, may be booked."""
    return [row.key for row in conn.execute(_CAPTURES, {"payment": payment_id})]


def adjustments_of(
    conn: Connection, provider: str, transaction_id: str, *, besides: UUID | None
) -> list[str]:
    """Return the keys of adjustments of breaks about a transaction, besides that of one break."""
    params = {"provider": provider, "transaction": transaction_id, "besides": besides}
    return [row.key for row in conn.execute(_ADJUSTMENTS, params)]
