"""The register of VAT ids: what it says counts from then on, and silence changes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.flows.customers import vat_checks
from billing.flows.customers.vat_checks import VatChecked
from billing.flows.policy import TaxPolicy
from billing.gateway.vat_register import VatAnswer, VatUnknown, Vies
from billing.sandbox import SandboxServer
from billing.tax import Seller
from tests.scenarios.money import settings
from tests.scenarios.test_taxes import CATALOG, invoiced, levied, subscribed
from tests.scenarios.world import Subscriber, World

ID = "IT00743110157"
MONTH = timedelta(days=30)


@pytest.fixture
def register(sandbox: SandboxServer) -> Vies:
    return Vies(f"{sandbox.url}/vies/rest-api")


@pytest.fixture
def world(world: World) -> World:
    """A seller who wants VAT ids to be confirmed."""
    world.publish(CATALOG)
    seller = Seller("DE", reverse_charge="confirmed")
    world.policy = replace(world.policy, tax=TaxPolicy(seller))
    world.runtime.__dict__["policy"] = world.policy
    return world


def asked(world: World, register: Vies) -> VatChecked:
    clock = world.context().clock
    return vat_checks.run(world.engine, register, clock=clock, limit=5, recheck=MONTH)


def treatments(world: World, owner: Subscriber) -> list[str]:
    return [levied(world, each)[0][1] for each in invoiced(world, owner)]


def test_an_id_counts_from_its_confirmation_on(world: World, register: Vies) -> None:
    ada = subscribed(world, country="IT", vat_id=ID)
    world.run_until("2026-01-15")

    assert asked(world, register) == VatChecked(answered=1)
    assert asked(world, register) == VatChecked()
    world.run_until("2026-02-15")

    assert treatments(world, ada) == ["standard", "reverse_charge"]
    world.assert_everything_adds_up()


def test_an_id_that_is_denied_does_not_count(world: World, register: Vies) -> None:
    world.policy = replace(world.policy, tax=TaxPolicy(Seller("DE")))
    world.runtime.__dict__["policy"] = world.policy
    settings(world, vat_ids={ID: "invalid"})
    ada = subscribed(world, country="IT", vat_id=ID)
    world.run_until("2026-01-15")

    assert asked(world, register) == VatChecked(answered=1)
    world.run_until("2026-02-15")

    assert treatments(world, ada) == ["reverse_charge", "standard"]


def test_silence_changes_nothing_and_is_asked_about_again(world: World, register: Vies) -> None:
    ada = subscribed(world, country="IT", vat_id=ID)
    assert asked(world, register) == VatChecked(answered=1)
    world.run_until("2026-01-15")
    settings(world, vat_ids={ID: "unavailable"})

    world.wall += MONTH
    assert asked(world, register) == VatChecked(unknown=1)
    assert asked(world, register) == VatChecked()
    world.run_until("2026-02-15")
    world.wall += timedelta(minutes=6)
    settings(world, vat_ids={ID: "invalid"})
    assert asked(world, register) == VatChecked(answered=1)
    world.run_until("2026-03-15")

    assert treatments(world, ada) == ["reverse_charge", "reverse_charge", "standard"]
    with world.engine.connect() as conn:
        query = text("SELECT confirmed FROM vat_checks ORDER BY at, id")
        assert list(conn.execute(query).scalars()) == [True, False]


def test_who_died_while_asking_leaves_the_id_to_another(world: World, register: Vies) -> None:
    subscribed(world, country="IT", vat_id=ID)

    class Dying:
        def look_up(self, vat_id: str) -> VatAnswer | VatUnknown:
            raise KeyboardInterrupt

    clock = world.context().clock
    with pytest.raises(KeyboardInterrupt):
        vat_checks.run(world.engine, Dying(), clock=clock, limit=5, recheck=MONTH)

    assert asked(world, register) == VatChecked()
    world.wall += timedelta(minutes=6)
    assert asked(world, register) == VatChecked(answered=1)


def test_what_is_no_answer_is_unknown(sandbox: SandboxServer) -> None:
    nowhere = Vies("http://127.0.0.1:9/vies/rest-api").look_up(ID)
    elsewhere = Vies(f"{sandbox.url}/vies/other").look_up(ID)
    known = Vies(f"{sandbox.url}/vies/rest-api").look_up(ID)

    assert isinstance(nowhere, VatUnknown)
    assert isinstance(elsewhere, VatUnknown)
    assert known == VatAnswer(confirmed=True, reference=f"WAPI{ID}")
