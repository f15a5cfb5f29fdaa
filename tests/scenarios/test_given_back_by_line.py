"""Stories in which parts of a taxed invoice go back and come again, at any instants."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import text

from billing.errors import BillingError
from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked
from billing.pricing import Return
from billing.queries import taxes
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.rules.money import Money
from billing.store.payments import recognition
from billing.store.payments.recognition import Standing
from billing.tax import Seller
from tests.scenarios.money import (
    apply_events_of_dispute,
    apply_events_of_refund,
    decide,
    fail_at_provider,
    give_back,
    open_dispute,
)
from tests.scenarios.test_taxes import sell_from, subscribed
from tests.scenarios.world import World

OPERATOR = Actor(ActorKind.CLI, "operator")
CATALOG = """
product = "Notes"

[[plan]]
code = "notes"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  tax = { class = "saas" }

    [[plan.version.item]]
    code = "base"
    price = { EUR = "99.99" }

    [[plan.version.item]]
    code = "handbook"
    price = { EUR = "10.01" }
    tax = { class = "books" }

    [[plan.version.item]]
    code = "setup"
    once = true
    price = { EUR = "33.37" }

[[tax_rate]]
country = "DE"
class = "saas"
name = "USt"
rate = "19"
from = 2021-01-01

[[tax_rate]]
country = "DE"
class = "books"
name = "USt"
rate = "7"
from = 2021-01-01
treatment = "reduced"
"""


class Story:
    """An invoice of three lines, and what becomes of it: every choice follows from a seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.told: Counter[str] = Counter()
        self.disputes: list[str] = []
        self.customer = subscribed(world, country="DE")
        world.settle()
        self.invoice = world.invoices(self.customer)[0]
        self.payment = world.payment(self.customer)
        assert self.payment.state == "CAPTURED"

    def tell(self) -> None:
        deeds = (self.note, self.refund, self.refund_fails, self.dispute, self.decide)
        for _ in range(14):
            later = self.world.now + timedelta(hours=self.random.randint(1, 60))
            self.world.jump_to(f"{later:%Y-%m-%d %H:%M}")
            deed = self.random.choice(deeds)
            try:
                deed()
            except BillingError:  # more than is left, or in dispute
                self.told[f"{deed.__name__} refused"] += 1
            else:
                self.told[deed.__name__] += 1
            self.check_lines()
            self.world.settle()
            self.world.close_books()
            self.check()

    def note(self) -> None:
        line, where = self.random.randint(0, 2), self.random.choice(list(Destination))
        asked = Asked(lines=[Return(line, self.random.randint(1, 3000))])
        with self.world.engine.begin() as conn:
            issuing.issue(
                conn,
                self.invoice.id,
                asked,
                destination=where,
                reason="part of it",
                actor=OPERATOR,
                now=self.world.now,
            )

    def refund(self) -> None:
        give_back(self.world, self.payment.id, Money(self.random.randint(1, 5000), "EUR"))

    def refund_fails(self) -> None:
        with self.world.engine.connect() as conn:
            found = conn.execute(
                text("SELECT id, provider_refund_id FROM refunds WHERE state = 'succeeded'")
            ).all()
        if found:
            row = self.random.choice(found)
            fail_at_provider(self.world, row.id)
            apply_events_of_refund(self.world, row.provider_refund_id)

    def dispute(self) -> None:
        if not self.disputes:
            amount = self.random.randint(1, 4000)
            self.disputes.append(open_dispute(self.world, self.payment.id, amount=amount))
            apply_events_of_dispute(self.world, self.disputes[0])

    def decide(self) -> None:
        if len(self.disputes) == 1:
            decide(self.world, self.disputes[0], self.random.choice(["won", "lost"]))
            apply_events_of_dispute(self.world, self.disputes[0])
            self.disputes.append("decided")

    def standing(self) -> Standing:
        with self.world.engine.connect() as conn:
            return recognition.standings(conn, [self.invoice.id])[self.invoice.id]

    def check_lines(self) -> None:
        """Check that nothing of any line is below zero."""
        for line in self.standing().lines:
            assert min(line.left.recognised, line.left.deferred, line.left.tax) >= 0

    def check(self) -> None:
        """Check that all lines, and what went back of them, are what the journal has."""
        self.check_lines()
        assert (self.world.findings(), self.told) == ([], self.told)
        with self.world.engine.connect() as conn:
            totals, payable = taxes.totals(conn, None, None), taxes.payable(conn)
        assert min(each.owed for each in totals) >= 0
        assert min(each.base - each.base_back - each.base_lost for each in totals) >= 0
        owed = [("EUR", sum(each.owed for each in totals), 0)]
        assert [(each.currency, each.owed, each.otherwise) for each in payable] == owed


@pytest.mark.parametrize("seed", range(3))
def test_whatever_goes_back_every_line_and_the_journal_add_up(world: World, seed: int) -> None:
    world.publish(CATALOG)
    world.policy = replace(world.policy, recognise="daily")
    sell_from(world, Seller("DE"))
    story = Story(world, seed)

    story.tell()
    world.run_until("2026-04-01")
    world.close_books()

    assert all(line.left.deferred == 0 for line in story.standing().lines)
    assert story.told["refund"] or story.told["note"]
    story.check()
