"""Digests that a pooler spoilt: proven in the zone of the server, and in no other way."""

import psycopg
import pytest

from billing.errors import BadInput
from billing.flows.cycles import digest_repair
from billing.flows.cycles.digest import cycle_digests
from billing.rules.actor import Actor, ActorKind
from billing.store.access import audit
from tests.scenarios.world import Subscriber, World

BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"
ANN = Actor(ActorKind.CLI, "ann")


@pytest.fixture
def closed(world: World) -> Subscriber:
    """Three closed cycles, two of them by a session in Berlin's time."""
    customer = world.subscribed("video-premium")
    world.run_until("2026-03-10")
    world.close_books()
    return customer


def as_if_closed_in(world: World, owners_url: str, customer: Subscriber, zone: str) -> list[int]:
    closed = [cycle for cycle in world.cycles(customer) if cycle.state == "closed"][:2]
    with world.engine.connect() as conn:
        digests = cycle_digests(conn, [cycle.id for cycle in closed], zone)
    write(
        owners_url,
        "cycles",
        *(
            f"UPDATE cycles SET digest = '{digest}' WHERE id = '{id_}'"
            for id_, digest in digests.items()
        ),
    )
    return [cycle.n for cycle in closed]


def write(owners_url: str, table: str, *statements: str) -> None:
    with psycopg.connect(owners_url) as owner:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        for statement in statements:
            owner.execute(statement.encode())
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())


def test_a_digest_of_another_zone_is_proven_in_it_and_the_proof_holds_again(
    world: World, closed: Subscriber, db_url: str
) -> None:
    spoilt = as_if_closed_in(world, db_url, closed, BERLIN)
    assert len(world.findings()) == len(spoilt) == 2

    assert {each.zone for each in digest_repair.repair(world.engine, [TOKYO], actor=ANN)} == {None}
    assert len(world.findings()) == 2, "a zone that isn't theirs proves nothing"

    found = digest_repair.repair(world.engine, [TOKYO, BERLIN], actor=ANN)

    assert [(each.n, each.zone) for each in found] == [(n, BERLIN) for n in spoilt]
    assert world.findings() == []
    assert digest_repair.repair(world.engine, [BERLIN], actor=ANN) == []
    with world.engine.connect() as conn:
        (line,) = audit.page(conn, action="close.repair_digests")
    assert (line.actor, line.detail) == (str(ANN), {"cycles": 2, "zones": [BERLIN]})
    world.assert_everything_adds_up()


def test_a_cycle_that_is_changed_afterwards_is_found_as_any_other(
    world: World, closed: Subscriber, db_url: str
) -> None:
    as_if_closed_in(world, db_url, closed, BERLIN)
    digest_repair.repair(world.engine, [BERLIN], actor=ANN)
    invoice = world.invoices(closed)[0]

    write(db_url, "invoices", f"UPDATE invoices SET number = 'X' WHERE id = '{invoice.id}'")

    assert [words for words in world.findings() if "is not what it was" in words]


def test_a_cycle_that_was_changed_before_is_not_excused(
    world: World, closed: Subscriber, db_url: str
) -> None:
    as_if_closed_in(world, db_url, closed, BERLIN)
    invoice = world.invoices(closed)[0]
    write(db_url, "invoices", f"UPDATE invoices SET number = 'X' WHERE id = '{invoice.id}'")

    found = digest_repair.repair(world.engine, [BERLIN], actor=ANN)

    assert sorted(each.zone or "" for each in found) == ["", BERLIN]


def test_a_zone_that_nobody_knows_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="no time zone"):
        digest_repair.repair(world.engine, ["Europe/Atlantis"], actor=ANN)
