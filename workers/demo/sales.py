"""The demo's sales: coupons, credit, changes of subscriptions, orders, credit notes.

A list of planned actions, as in `money`: each is about a customer of `world.CASES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import text

from billing.errors import Conflict, ErrorCode
from billing.flows.coupons import redeeming
from billing.flows.coupons.redeeming import CouponOrder
from billing.flows.credit import granting
from billing.flows.credit.granting import GrantOrder
from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked
from billing.flows.invoices import buying, ordering
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine, ServiceDays
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.pricing import InvoiceKind
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies, ChangeAsked
from billing.workers.demo import world
from billing.workers.demo.money import Action, Done, PlannedAction
from billing.workers.demo.shop import Shop
from billing.workers.demo.world import reference_of
from billing.workers.runtime.runtime import Runtime

ACTOR: Final = Actor(ActorKind.DEMO)
WHY: Final = "the customer asked"


@dataclass
class Sold:
    """What the demo did with coupons, credit, changes, orders and notes, for the report to compare.

    `goodwill` is what it granted, by currency in minor units; `notes` are those of changes, too.
    `ordered` is what was invoiced beside subscriptions, by kind of invoice.
    """

    redeemed: int = 0
    goodwill: dict[str, int] = field(default_factory=dict)
    changes: set[UUID] = field(default_factory=set)
    ordered: dict[InvoiceKind, set[UUID]] = field(default_factory=dict)
    notes: set[UUID] = field(default_factory=set)


class DemoSales:
    """Makes the planned actions, and records what they did in `done`."""

    def __init__(self, runtime: Runtime, money: Done) -> None:
        self.done = Sold()
        self._runtime = runtime
        self._money = money

    def timetable(self, start: datetime, shop: Shop) -> list[PlannedAction]:
        """Return what happens to the first customers; all of it fits into the first month."""
        actions: list[tuple[int, Action]] = [
            (3, self.grant("goodwill", 200_00, "EUR")),
            (3, self.grant("goodwill", 5_00, "EUR", expires=timedelta(days=10))),
            (5, self.redeem("fewer seats", world.COUPON_LATER)),
            (6, self.change("more seats", items={"seats": 9, world.SSO: 1}, applies=Applies.NOW)),
            (
                7,
                self.change(
                    "fewer seats", items={"seats": 5, world.SSO: 0}, applies=Applies.PERIOD_END
                ),
            ),
            (8, self.change("free for a week", plan=world.TEAM, applies=Applies.NOW)),
            (8, self.change("another plan", plan=world.BUSINESS, applies=Applies.NOW)),
            (4, self.buy("credit bought", 60_00, "EUR")),
            (4, self.buy("credit bought elsewhere", 25_00, "EUR")),
            (5, self.invoice("invoiced by hand", 180_00, 45_50)),
            (8, self.change("another day", billing_day=20, zone="Europe/Berlin")),
            (9, self.change("by the year", plan=world.YEARLY, applies=Applies.NOW)),
            (9, self.note("note to credit", Destination.CREDIT, share=2)),
            (9, self.note_over_http("note to the card", Destination.REFUND, 3, shop)),
            (10, self.note("note that comes back", Destination.REFUND, share=4)),
        ]
        return [PlannedAction(start + timedelta(days=day), action) for day, action in actions]

    def grant(
        self, case: str, amount: int, currency: str, *, expires: timedelta | None = None
    ) -> Action:
        """Give a customer credit away."""

        def action(now: datetime) -> bool:
            if not self._exists(case):
                return False
            order = GrantOrder(
                customer=reference_of(case),
                amount=amount,
                currency=currency,
                reason="an apology",
                expires=None if expires is None else now + expires,
            )
            granting.grant(self._runtime.engine, order, now=now, actor=ACTOR)
            granted = self.done.goodwill
            granted[currency] = granted.get(currency, 0) + amount
            return True

        return action

    def redeem(self, case: str, coupon: str) -> Action:
        """Redeem a coupon for a subscription that runs."""

        def action(now: datetime) -> bool:
            if not self._exists(case):
                return False
            order = CouponOrder(coupon, subscription=reference_of(case))
            redeeming.redeem(self._runtime.engine, order, now=now, actor=ACTOR)
            self.done.redeemed += 1
            return True

        return action

    def change(
        self,
        case: str,
        *,
        applies: Applies | None = None,
        plan: str | None = None,
        items: Mapping[str, int] | None = None,
        billing_day: int | None = None,
        zone: str | None = None,
    ) -> Action:
        """Change a subscription; while a payment is under way, it is tried again."""

        def action(now: datetime) -> bool:
            if not self._exists(case):
                return False
            try:
                quoted = changing.change(
                    self._runtime.engine,
                    reference_of(case),
                    ChangeOrder(
                        plan=plan,
                        items=items or {},
                        applies=applies,
                        billing_day=billing_day,
                        zone=zone,
                    ),
                    change_id=_id(case, "change"),
                    now=now,
                    asked=ChangeAsked(now, ACTOR, WHY),
                    policy=self._runtime.policy,
                )
            except Conflict as error:
                if error.code is ErrorCode.CHANGE_PAYMENT_UNDER_WAY:
                    return False
                raise
            self.done.changes.add(_id(case, "change"))
            self.done.notes.update(note.note_id for note in quoted.notes)
            return True

        return action

    def buy(self, case: str, amount: int, currency: str) -> Action:
        """Let a customer buy credit."""

        def action(now: datetime) -> bool:
            if not self._exists(case):
                return False
            with self._runtime.engine.begin() as conn:
                order = TopUpOrder(reference_of(case), amount, currency)
                bought = _id(case, "top_up")
                policy = self._runtime.policy
                buying.buy(conn, order, bought, now=now, actor=ACTOR, policy=policy)
            self._ordered(InvoiceKind.TOP_UP, bought)
            return True

        return action

    def invoice(self, case: str, *amounts: int) -> Action:
        """Invoice a customer for what no plan sells: a line an amount, of as many days."""

        def action(now: datetime) -> bool:
            if not self._exists(case):
                return False
            lines = [OrderedLine(f"Training, day {n}", each) for n, each in enumerate(amounts, 1)]
            last = now.date() + timedelta(days=len(amounts) - 1)
            order = InvoiceOrder(
                customer=reference_of(case),
                currency=world.CASES[case].currency,
                lines=lines,
                service=ServiceDays(now.date(), last),
            )
            with self._runtime.engine.begin() as conn:
                ordered = _id(case, "invoice")
                ordering.create(conn, order, ordered, now=now, policy=self._runtime.policy)
            self._ordered(InvoiceKind.ONE_OFF, ordered)
            return True

        return action

    def _ordered(self, kind: InvoiceKind, invoice_id: UUID) -> None:
        self.done.ordered.setdefault(kind, set()).add(invoice_id)

    def note(self, case: str, destination: Destination, share: int) -> Action:
        """Give back one part in `share` of a customer's first invoice, by hand."""

        def action(now: datetime) -> bool:
            invoice_id = self._paid_invoice(case)
            if invoice_id is None:
                return False
            with self._runtime.engine.begin() as conn:
                issuing.issue(
                    conn,
                    invoice_id,
                    Asked(share=(1, share)),
                    destination=destination,
                    reason=WHY,
                    actor=ACTOR,
                    now=now,
                    note_id=_id(case, "note"),
                )
            self._noted(_id(case, "note"))
            return True

        return action

    def note_over_http(self, case: str, destination: Destination, share: int, shop: Shop) -> Action:
        """Let another program give back one part in `share` of a customer's first invoice."""

        def action(_now: datetime) -> bool:
            invoice_id = self._paid_invoice(case)
            if invoice_id is None:
                return False
            key = f"demo:{reference_of(case)}:note"
            self._noted(shop.credit_note(str(invoice_id), share, destination, key))
            return True

        return action

    def _noted(self, note_id: UUID) -> None:
        self.done.notes.add(note_id)
        with self._runtime.engine.connect() as conn:
            refunds = conn.execute(_REFUNDS_OF_NOTE, {"note": note_id}).scalars()
            self._money.refunds_asked.update(refunds)

    def _exists(self, case: str) -> bool:
        with self._runtime.engine.connect() as conn:
            return bool(conn.execute(_EXISTS, {"reference": reference_of(case)}).scalar_one())

    def _paid_invoice(self, case: str) -> UUID | None:
        with self._runtime.engine.connect() as conn:
            found = conn.execute(_PAID_INVOICE, {"reference": reference_of(case)})
            invoice_id: UUID | None = found.scalar_one_or_none()
            return invoice_id


def _id(case: str, noun: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"demo:{reference_of(case)}:{noun}")


_EXISTS: Final = text("SELECT EXISTS (SELECT FROM subscriptions WHERE external_id = :reference)")
_PAID_INVOICE: Final = text(
    """
    SELECT i.id FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
     WHERE s.external_id = :reference AND i.status = 'paid' ORDER BY i.number LIMIT 1
    """
)
_REFUNDS_OF_NOTE: Final = text("SELECT id FROM refunds WHERE note_id = :note")
