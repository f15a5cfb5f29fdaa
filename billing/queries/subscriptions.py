"""Looking a subscription up by what a person or a program calls it."""

from sqlalchemy import Connection

from billing.errors import ErrorCode, NotFound
from billing.store.subscriptions import subscriptions
from billing.store.subscriptions.subscriptions import Subscription


def find_subscription(conn: Connection, reference: str) -> Subscription:
    """Return a subscription by id or external id. Raises `NotFound`."""
    found = subscriptions.find(conn, reference)
    if found is None:
        raise NotFound(
            f"no subscription {reference!r}",
            code=ErrorCode.SUBSCRIPTION_NOT_FOUND,
            subscription=reference,
        )
    return found
