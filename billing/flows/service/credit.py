"""Credit for callers of the API: granted and revoked once a key, audited."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.credit import granting, revoking
from billing.flows.credit.granting import GrantOrder
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.service import views
from billing.flows.service.callers import Audited, Caller
from billing.flows.service.idempotency import DONE, MADE, KeyedAnswer
from billing.queries import credit as queries
from billing.store.transactions import Joined


class CreditApi(Audited):
    """The credit service that HTTP calls."""

    def grant(
        self,
        caller: Caller,
        key: str,
        customer: str,
        *,
        amount: int,
        currency: str,
        reason: str,
        priority: int,
        expires_at: datetime | None,
        subscription: str | None,
    ) -> KeyedAnswer:
        """Grant credit as goodwill. 201.

        Raises `KeyReused`, `RequestInFlight`, `NotFound`, `BadInput`, `Conflict`.
        """
        refuse_anything_like_a_card(customer=customer, subscription=subscription, reason=reason)
        given = {
            "customer": customer,
            "amount": amount,
            "currency": currency,
            "reason": reason,
            "priority": priority,
            "expires_at": views.plain(expires_at),
            "subscription": subscription,
        }
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            order = GrantOrder(
                customer=customer,
                amount=amount,
                currency=currency,
                reason=reason or "no reason given",
                priority=priority,
                expires=expires_at,
                subscription=subscription,
            )
            grant_id = granting.grant(Joined(conn), order, now=now, actor=caller.actor)
            subject = existing_customer(conn, customer).id
            told = {"amount": amount, "currency": currency, "grant": str(grant_id)}
            self._audit(conn, caller, "credit.grant", subject, reason, told)
            return KeyedAnswer(MADE, _grant(conn, grant_id))

        return self._once(caller, key, "credit.grant", given, work)

    def revoke(self, caller: Caller, key: str, grant_id: UUID, why: str) -> KeyedAnswer:
        """Let what is left of a grant expire now. 200. Raises as `grant`."""
        refuse_anything_like_a_card(reason=why)
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            left = revoking.revoke(Joined(conn), grant_id, now=now, actor=caller.actor)
            told = {"amount": left.amount, "currency": left.currency}
            self._audit(conn, caller, "credit.revoke", grant_id, why, told)
            return KeyedAnswer(DONE, _grant(conn, grant_id))

        given = {"grant": str(grant_id), "reason": why}
        return self._once(caller, key, "credit.revoke", given, work)


def _grant(conn: Connection, grant_id: UUID) -> views.View:
    found = queries.grant(conn, grant_id)
    assert found is not None, "grants are never deleted"
    return views.credit_grant(found)
