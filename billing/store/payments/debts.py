"""What is owed of a subscription: payments that were declined, and those that were given up."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

_OTHERS_PAST_DUE = text(
    """
    SELECT EXISTS (SELECT FROM payments
                    WHERE subscription_id = :subscription AND id <> :payment
                      AND (state = 'CREATED' AND decline_class IS NOT NULL))
    """
)


def others_past_due(conn: Connection, subscription_id: UUID, payment_id: UUID) -> bool:
    """Tell whether another payment of the subscription was declined and is not decided yet."""
    return bool(
        conn.execute(
            _OTHERS_PAST_DUE, {"subscription": subscription_id, "payment": payment_id}
        ).scalar()
    )


_OTHERS_GIVEN_UP = text(
    """
    SELECT EXISTS (SELECT FROM payments p JOIN invoices i ON i.id = p.invoice_id
                    WHERE p.subscription_id = :subscription AND p.id <> :payment
                      AND p.state = 'FAILED' AND i.status = 'uncollectible'
                      AND EXISTS (SELECT FROM payment_transitions t
                                   WHERE t.payment_id = p.id AND t.to_state = 'FAILED'
                                     AND (CAST(:since AS timestamptz) IS NULL OR t.at >= :since)))
    """
)


def others_given_up(
    conn: Connection, subscription_id: UUID, payment_id: UUID, *, since: datetime | None
) -> bool:
    """Tell whether another payment of the subscription was given up since then, and is owed."""
    values = {"subscription": subscription_id, "payment": payment_id, "since": since}
    return bool(conn.execute(_OTHERS_GIVEN_UP, values).scalar())


_ANY_PAST_DUE = text(
    """
    SELECT EXISTS (SELECT FROM payments
                    WHERE subscription_id = :subscription
                      AND state = 'CREATED' AND decline_class IS NOT NULL)
    """
)


def any_past_due(conn: Connection, subscription_id: UUID) -> bool:
    """Tell whether a payment of the subscription was declined and is not decided yet."""
    return bool(conn.execute(_ANY_PAST_DUE, {"subscription": subscription_id}).scalar())
