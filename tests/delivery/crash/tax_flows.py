"""Flows of taxes: the register is asked for VAT ids."""

from datetime import timedelta
from typing import Final

from billing.flows.customers import vat_checks
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.gateway.vat_register import VatAnswer
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import OPERATOR, paid
from tests.scenarios.world import World

TAXES: Final = "taxes"


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
