"""Flows of taxes: the register is asked for VAT ids, and a provider computes and records them."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked
from billing.flows.customers import vat_checks
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.flows.invoices import ordering
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine
from billing.flows.taxes import asking
from billing.gateway.vat_register import VatAnswer
from billing.ids import new_id
from billing.rules.credit_notes import Destination
from tests.delivery.crash import processes
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import OPERATOR, monthly, paid, tick, work
from tests.scenarios.world import Subscriber, World, WorldRuntime

TAXES: Final = "taxes"
OF_PROVIDER: Final = "taxes of a provider"


class Certain:
    """A register that confirms every id."""

    def look_up(self, vat_id: str) -> VatAnswer:
        return VatAnswer(confirmed=True, reference=vat_id)


def _known(world: World) -> None:
    order = TaxFactsOrder(paid(world).customer, "IT", vat_id="IT00743110157")
    with world.engine.begin() as conn:
        set_facts(conn, order, now=world.now, actor=OPERATOR)


@flow("a VAT id is looked up", _known, group=TAXES)
def _look_up(world: World, _: None) -> None:
    vat_checks.run(
        world.engine,
        Certain(),
        clock=world.context().clock,
        limit=5,
        recheck=timedelta(days=30),
    )


# --- taxes that a provider computes --------------------------------------------------------------


def _external(world: World) -> None:
    """Let a provider compute the taxes from now on, also for processes that begin later."""
    settings = world.runtime.settings
    if settings.tax.provider != "external":
        tax = settings.tax.model_copy(update={"provider": "external"})
        world.runtime = WorldRuntime(settings.model_copy(update={"tax": tax}), world=world)
        world.engine, world.policy = world.runtime.engine, world.runtime.policy
        world.gateway, world.gateways = world.runtime.gateway, world.runtime.gateways


def _placed(world: World) -> Subscriber:
    _external(world)
    ada = monthly(world)
    with world.engine.begin() as conn:
        set_facts(conn, TaxFactsOrder(ada.customer, "DE"), now=world.now, actor=OPERATOR)
    return ada


def _waiting(world: World, fault: str | None = None) -> None:
    _placed(world)
    tick(world)
    _meets(world, fault, "calculations")


def _meets(world: World, fault: str | None, path: str) -> None:
    if fault is not None:
        match = {"method": "POST", "path": f"/v1/tax/{path}"}
        world.psp._control("POST", "faults", kind=fault, times=1, match=match)


@flow("a cycle waits for taxes", _placed, group=OF_PROVIDER)
def _wait(world: World, _: object) -> None:
    tick(world)


flow("taxes are computed", _waiting, group=OF_PROVIDER)(work)
flow(
    "taxes are computed and the answer is lost",
    lambda world: _waiting(world, "reset_after_commit"),
    group=OF_PROVIDER,
)(work)


def _issued(world: World, fault: str | None = None) -> None:
    _waiting(world)
    processes.drained(world)
    tick(world)
    _meets(world, fault, "transactions/create_from_calculation")


flow("an invoice is recorded for taxes", _issued, group=OF_PROVIDER)(work)
flow(
    "an invoice is recorded for taxes and the answer is lost",
    lambda world: _issued(world, "reset_after_commit"),
    group=OF_PROVIDER,
)(work)


def _given_back(world: World) -> None:
    ada = _placed(world)
    processes.restarted(world)
    (invoice,) = world.invoices(ada)
    with world.engine.begin() as conn:
        issuing.issue(
            conn,
            invoice.id,
            Asked(),
            destination=Destination.CREDIT,
            reason="an outage",
            actor=OPERATOR,
            now=world.now,
        )
    tick(world)


flow("what a note took back is recorded for taxes", _given_back, group=OF_PROVIDER)(work)


def _to_invoice(world: World) -> tuple[str, UUID]:
    return _placed(world).customer, new_id()


@flow("somebody is invoiced with taxes of a provider", _to_invoice, again=True, group=OF_PROVIDER)
def _invoice(world: World, wanted: tuple[str, UUID]) -> None:
    customer, invoice_id = wanted
    order = InvoiceOrder(customer, "USD", [OrderedLine("Set-up", 19900)])

    def issued() -> None:
        with world.engine.begin() as conn:
            ordering.create(conn, order, invoice_id, now=world.now, policy=world.policy)

    asking.with_taxes(world.context(), issued)
