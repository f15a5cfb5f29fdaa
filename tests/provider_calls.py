"""Reading the calls to the provider that were made for one thing."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from billing.store.payments.provider_calls import ProviderCall, call_of
from billing.store.tables import provider_calls


def of_subject(conn: Connection, subject_id: UUID) -> Sequence[ProviderCall]:
    """Return the calls of a subject, in the order in which they were first sent."""
    query = select(provider_calls).where(provider_calls.c.subject_id == subject_id)
    ordered = query.order_by(provider_calls.c.first_sent_at, provider_calls.c.kind)
    return [call_of(row) for row in conn.execute(ordered.order_by(provider_calls.c.n))]
