"""The part of the story that is about taxes: rates, places, decisions, and what is given back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from billing.flows.credit_notes import issuing
from billing.flows.customers import vat_checks
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.flows.invoices import ordering
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine
from billing.flows.policy import ExternalTaxes, TaxPolicy
from billing.flows.taxes import asking
from billing.gateway.vat_register import VatAnswer
from billing.ids import new_id
from billing.rules.credit_notes import Destination
from billing.tax import Seller
from tests.scenarios.test_credit import OPERATOR
from tests.scenarios.test_credit_notes import part
from tests.scenarios.world import World

RATES: Final = """
[[tax_rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "19"
from = 2021-01-01
"""


class Certain:
    """A register that confirms every id."""

    def look_up(self, vat_id: str) -> VatAnswer:
        return VatAnswer(confirmed=True, reference=vat_id)


def tax(world: World) -> None:
    """Invoice somebody at home, who is given some back, and a business of another state."""
    world.publish(RATES)
    at_home, abroad = (str(world.customer()[0]) for _ in range(2))
    with _selling_from_germany(world):
        with world.engine.begin() as conn:
            for known in (
                TaxFactsOrder(at_home, "DE", postal_code="10115"),
                TaxFactsOrder(abroad, "IT", vat_id="IT00743110157"),
            ):
                set_facts(conn, known, now=world.now, actor=OPERATOR)
        vat_checks.run(
            world.engine,
            Certain(),
            clock=world.context().clock,
            limit=5,
            recheck=timedelta(days=30),
        )
        for customer in (at_home, abroad):
            order = InvoiceOrder(customer, "EUR", [OrderedLine("Set-up", 19900)])
            with world.engine.begin() as conn:
                made = ordering.create(conn, order, new_id(), now=world.now, policy=world.policy)
            world.settle()
            if customer == at_home:
                _given_back(world, made.id)
    _by_provider(world)


def _by_provider(world: World) -> None:
    """Let a provider compute the taxes of an invoice, and be told what is given back of it."""
    customer = str(world.customer()[0])
    order = InvoiceOrder(customer, "EUR", [OrderedLine("Set-up", 19900)])
    with world.engine.begin() as conn:
        known = TaxFactsOrder(customer, "FR")
        set_facts(conn, known, now=world.now, actor=OPERATOR)
    external = TaxPolicy(Seller(""), external=ExternalTaxes(world.provider))

    def issued() -> UUID:
        with world.engine.begin() as conn:
            now, policy = world.now, world.policy
            return ordering.create(conn, order, new_id(), now=now, policy=policy).id

    with _taxed_by(world, external):
        invoice_id = asking.with_taxes(world.context(), issued)
        world.settle()
        _given_back(world, invoice_id)
        world.settle()


def _given_back(world: World, invoice_id: UUID) -> None:
    with world.engine.begin() as conn:
        issuing.issue(
            conn,
            invoice_id,
            part(1900),
            destination=Destination.CREDIT,
            reason="an outage",
            actor=OPERATOR,
            now=world.now,
        )


def _selling_from_germany(world: World) -> AbstractContextManager[None]:
    return _taxed_by(world, TaxPolicy(Seller("DE")))


@contextmanager
def _taxed_by(world: World, policy: TaxPolicy) -> Iterator[None]:
    before = world.policy
    world.policy = replace(before, tax=policy)
    world.runtime.__dict__["policy"] = world.policy
    yield
    world.policy = before
    world.runtime.__dict__["policy"] = before
