"""Exchanges that somebody made of what the provider holds, recorded by hand."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any

import pytest
from sqlalchemy import text

from billing.cli.remedies import remedy_of
from billing.errors import BadInput, BillingError, Conflict, NotFound
from billing.flows.breaks import exchanges as exchange
from billing.flows.breaks import operator
from billing.flows.breaks.exchanges import Exchange, Recording
from billing.flows.settlement import tie_out as settle_close
from billing.presenters import break_notes
from billing.presenters.exchanges import in_words
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.rules.reconciliation import TieOutReason
from billing.store.access import audit
from billing.store.settlement import breaks, rows
from billing.store.settlement import exchanges as fx
from tests.scenarios.money import balances
from tests.scenarios.world import Killed, Subscriber, World


@pytest.fixture
def customer(world: World) -> Subscriber:
    """Somebody who paid 19.99 USD, of which the provider kept 0.88."""
    paying = world.subscribed("video-premium")
    world.run_until("2026-01-02")
    world.close_books()
    return paying


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


def convert(world: World, amount: int = 1000, received: int = 920, fee: int = 5) -> list[str]:
    """Exchange dollars for euros at the provider; returns the transactions, out and in."""
    made = world.psp._control(
        "POST",
        "conversions",
        **{"from": "usd", "to": "eur", "amount": amount, "received": received, "fee": fee},
    )
    return [each["id"] for each in made["data"]]


def of_dollars(world: World, **changes: Any) -> Exchange:
    made = Exchange(
        provider=world.provider,
        sold=usd(1000),
        bought=eur(920),
        fee=eur(5),
        rate=Decimal("0.9200"),
        at=world.now,
        source="the provider's dashboard",
    )
    return replace(made, **changes)


def record(world: World, made: Exchange, references: list[str]) -> Recording:
    return exchange.record(
        world.engine,
        made,
        references,
        reason="moved to the euro account",
        now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )


def exchanges(world: World) -> list[fx.RecordedExchange]:
    with world.engine.connect() as conn:
        return fx.page(conn)


def everything(world: World) -> list[Any]:
    """Return all that recording writes."""
    with world.engine.connect() as conn:
        return [
            conn.execute(text(f"SELECT * FROM {table} ORDER BY 1")).all()
            for table in (
                "fx_events", "ledger.entries", "ledger.postings", "settlement_rows", "breaks",
                "break_notes", "audit_log",
            )
        ]  # fmt: skip


def open_breaks(world: World) -> list[str]:
    return [row.kind for row in world.breaks()]


def tie_out(world: World) -> dict[str, tuple[int, dict[TieOutReason, int]]]:
    """Return by currency what is unexplained, and the reasons for the rest."""
    with world.engine.connect() as conn:
        lines = settle_close.compare_balances(conn, "stripe", world.gateway.balance())
    return {line.currency: (line.unexplained, dict(line.reasons)) for line in lines}


def test_two_breaks_are_recorded_as_one_exchange(world: World, customer: Subscriber) -> None:
    references = convert(world)
    world.close_books()
    assert open_breaks(world) == ["unknown_at_provider"] * 2
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]

    done = record(world, of_dollars(world), references)

    assert (done.posts, list(done.explains)) == (True, references)
    assert open_breaks(world) == []
    (row,) = exchanges(world)
    assert row.source_key == f"fx_event:{references[0]}:{references[1]}"
    assert (row.from_amount, row.from_currency) == (1000, "USD")
    assert (row.to_amount, row.to_currency, row.fee) == (920, "EUR", 5)
    assert (str(row.rate), row.at, row.payment_id) == ("0.9200", world.now, None)
    assert row.source == "the provider's dashboard"
    assert row.references == sorted(references)
    dollars, euros = balances(world, "USD"), balances(world, "EUR")
    assert (dollars["psp_clearing"], dollars["fx_position"]) == (1911 - 1000, 1000)
    assert (euros["psp_clearing"], euros["fx_position"], euros["psp_fees"]) == (915, -920, 5)
    assert world.gateway.balance() == {"USD": 911, "EUR": 915}
    assert tie_out(world) == {"USD": (0, {}), "EUR": (0, {})}
    world.assert_everything_adds_up()
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]


@pytest.mark.usefixtures("customer")
def test_who_recorded_it_and_why_stands_in_breaks_and_audit_log(world: World) -> None:
    references = convert(world)
    world.close_books()

    done = record(world, of_dollars(world), references)

    with world.engine.connect() as conn:
        resolved = [row for row in breaks.page(conn, include_resolved=True) if row.resolved_at]
        notes = [breaks.notes(conn, row.id)[-1] for row in resolved]
        (line,) = audit.page(conn, action="fx.record")
    assert {row.provider_transaction_id for row in resolved} == set(references)
    for row, note in zip(resolved, notes, strict=True):
        assert (row.resolution, row.resolved_by) == ("moved to the euro account", "cli:ann")
        assert operator.UNADJUSTED not in row.provider
        told = break_notes.in_words(note.kind, note.words, note.facts)
        assert told == f"moved to the euro account; it is a side of {done.source_key}"
    assert (line.actor, line.subject) == ("cli:ann", done.source_key)
    assert line.detail["references"] == references


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("with_references", [True, False])
def test_recording_again_changes_nothing(world: World, with_references: bool) -> None:
    references = convert(world)
    world.close_books()
    made = of_dollars(world)
    first = record(world, made, references)
    before = everything(world)
    world.wait(timedelta(hours=1))

    again = record(world, made, references if with_references else [])

    assert (again.posts, again.explains, again.source_key) == (False, (), first.source_key)
    assert in_words(again, made) == [f"it is recorded already, as {first.source_key}"]
    assert everything(world) == before


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize(
    "change",
    [
        {"sold": usd(2000), "bought": eur(1840)},
        {"rate": Decimal("0.9201")},
        {"fee": eur(4)},
        {"source": "a bank"},
    ],
    ids=lambda change: " ".join(change),
)
def test_what_is_recorded_cannot_be_recorded_otherwise(
    world: World, change: dict[str, Any]
) -> None:
    references = convert(world)
    world.close_books()
    record(world, of_dollars(world), references)
    before = everything(world)

    with pytest.raises(Conflict, match="recorded otherwise"):
        record(world, of_dollars(world, **change), references)

    assert everything(world) == before


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize(
    ("mixed_up", "error", "words"),
    [
        (lambda out, back, _: [back, out], BadInput, "moved 9.15 EUR, where the exchange moves"),
        (lambda out, _, __: [out], BadInput, "two transactions"),
        (lambda out, _, __: [out, out], BadInput, "two transactions"),
        (lambda out, _, other: [out, other], BadInput, "moved 18.35 EUR"),
        (lambda out, _, __: [out, "txn_nobody_knows"], NotFound, "txn_nobody_knows"),
    ],
    ids=["swapped", "one", "twice the same", "of another exchange", "not there"],
)
def test_mixed_up_references_are_refused_and_nothing_is_half_done(
    world: World, mixed_up: Any, error: type[BillingError], words: str
) -> None:
    out, back = convert(world)
    _, other = convert(world, 500, 1840)
    world.close_books()
    before = everything(world)

    with pytest.raises(error, match=words):
        record(world, of_dollars(world), mixed_up(out, back, other))

    assert everything(world) == before
    assert tie_out(world)["USD"][0] == tie_out(world)["EUR"][0] == 0


@pytest.mark.usefixtures("customer")
def test_a_charge_is_no_side_of_an_exchange(world: World) -> None:
    _, back = convert(world)
    world.psp.take_money(1050)
    world.close_books()
    with world.engine.connect() as conn:
        found = conn.execute(
            text(
                "SELECT provider_transaction_id AS id, outcome, net FROM settlement_rows"
                " WHERE category = 'charge' ORDER BY created, id"
            )
        ).all()
    assert [row.outcome for row in found] == ["matched", "unknown_at_provider"]
    before = everything(world)

    with pytest.raises(Conflict, match="is done with: matched"):
        record(world, of_dollars(world), [found[0].id, back])
    with pytest.raises(Conflict, match="is about a payment"):
        record(world, of_dollars(world), [found[1].id, back])

    assert everything(world) == before


@pytest.mark.usefixtures("customer")
def test_a_break_that_a_person_resolved_otherwise_is_no_side_of_an_exchange(world: World) -> None:
    references = convert(world)
    world.close_books()
    found = next(row for row in world.breaks() if row.currency == "EUR")
    operator.resolve(
        world.engine, found.id, reason="a gift", adjustment=eur(915), now=world.now,
        actor=Actor(ActorKind.CLI, "test"),
    )  # fmt: skip
    before = everything(world)

    with pytest.raises(Conflict, match="is done with: resolved"):
        record(world, of_dollars(world), references)

    assert everything(world) == before


@pytest.mark.usefixtures("customer")
def test_a_transaction_is_a_side_of_one_exchange_only(world: World) -> None:
    out, back = convert(world)
    _, other = convert(world)
    world.close_books()
    record(world, of_dollars(world), [out, back])

    with pytest.raises(Conflict, match=f"{out} is done with"):
        record(world, of_dollars(world), [out, other])


# --- recorded before the settlement shows it -----------------------------------------------------


@pytest.mark.usefixtures("customer")
def test_an_exchange_recorded_first_waits_for_its_transactions_and_is_posted_once(
    world: World,
) -> None:
    made = of_dollars(world)
    first = record(world, made, [])
    reason = TieOutReason.EXCHANGED_NOT_SHOWN
    assert tie_out(world) == {"USD": (0, {reason: 1000}), "EUR": (0, {reason: -915})}
    references = convert(world)
    world.close_books()
    assert open_breaks(world) == ["unknown_at_provider"] * 2
    entries = world.entries("fx_event")

    done = record(world, made, references)

    assert (done.posts, done.source_key) == (False, first.source_key)
    assert list(done.explains) == references
    assert (world.entries("fx_event"), entries) == (1, 1)
    assert [row.references for row in exchanges(world)] == [sorted(references)]
    assert open_breaks(world) == []
    assert tie_out(world) == {"USD": (0, {}), "EUR": (0, {})}
    before = everything(world)
    assert in_words(record(world, made, references), made) == [
        f"it is recorded already, as {first.source_key}"
    ]
    assert record(world, made, []).posts is False
    assert everything(world) == before
    world.assert_everything_adds_up()


@pytest.mark.usefixtures("customer")
def test_an_exchange_that_waits_is_not_recorded_beside_itself(world: World) -> None:
    first = record(world, of_dollars(world), [])
    references = convert(world)
    world.close_books()
    before = everything(world)

    for change in ({"source": "a statement"}, {"at": world.now - timedelta(days=1)}):
        with pytest.raises(Conflict, match=f"{first.source_key} has the same amounts and waits"):
            record(world, of_dollars(world, **change), references)

    assert everything(world) == before


@pytest.mark.usefixtures("customer")
def test_the_same_key_takes_no_other_values(world: World) -> None:
    record(world, of_dollars(world), [])
    before = everything(world)

    with pytest.raises(Conflict, match="recorded otherwise"):
        record(world, of_dollars(world, fee=eur(0)), [])

    assert everything(world) == before


@pytest.mark.usefixtures("customer")
def test_what_the_provider_shows_already_is_recorded_with_its_transactions(world: World) -> None:
    references = convert(world)
    world.close_books()
    before = everything(world)

    with pytest.raises(Conflict, match="the provider shows such amounts already") as refused:
        record(world, of_dollars(world), [])

    remedy = remedy_of(refused.value)
    assert remedy is not None
    assert all(f"--reference {each}" in remedy for each in references)
    assert everything(world) == before


@pytest.mark.usefixtures("customer")
def test_an_exchange_that_was_shown_takes_no_second_pair_of_transactions(world: World) -> None:
    made = of_dollars(world)
    record(world, made, [])
    first = convert(world)
    world.close_books()
    record(world, made, first)
    second = convert(world)
    world.close_books()

    with pytest.raises(Conflict, match="is other transactions of the provider's"):
        record(world, made, second)

    later = record(world, of_dollars(world, at=world.now - timedelta(seconds=1)), second)
    assert later.posts
    assert tie_out(world) == {"USD": (0, {}), "EUR": (0, {})}


@pytest.mark.usefixtures("customer")
def test_an_exchange_still_to_come_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="still to come"):
        record(world, of_dollars(world, at=world.now + timedelta(seconds=1)), [])

    assert exchanges(world) == []


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_a_break_is_not_adjusted_for_what_an_exchange_has_posted(
    world: World, currency: str
) -> None:
    made = of_dollars(world)
    first = record(world, made, [])
    references = convert(world)
    world.close_books()
    found = next(row for row in world.breaks() if row.currency == currency)
    side = {"USD": usd(-1000), "EUR": eur(915)}[currency]
    before = everything(world)

    with pytest.raises(Conflict, match=f"{side} is a side of {first.source_key}"):
        operator.resolve(
            world.engine, found.id, reason="a gift", adjustment=side, now=world.now,
            actor=Actor(ActorKind.CLI, "test"),
        )  # fmt: skip

    assert everything(world) == before
    record(world, made, references)
    world.assert_everything_adds_up()


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("dies_at", ["decide_row", "annotate", "record"])
def test_a_death_in_the_middle_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    references = convert(world)
    world.close_books()
    before = everything(world)
    module = {"decide_row": rows, "annotate": breaks, "record": audit}[dies_at]
    with monkeypatch.context() as dying:
        real = getattr(module, dies_at)

        def die(*given: Any, **more: Any) -> None:
            real(*given, **more)
            raise Killed

        dying.setattr(module, dies_at, die)
        with pytest.raises(Killed):
            record(world, of_dollars(world), references)
    assert everything(world) == before

    assert record(world, of_dollars(world), references).posts

    world.assert_everything_adds_up()


@pytest.mark.usefixtures("customer")
def test_two_who_record_the_same_record_it_once(world: World) -> None:
    references = convert(world)
    world.close_books()
    made = of_dollars(world)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: record(world, made, references), range(4)))

    assert sorted(each.posts for each in done) == [False, False, False, True]
    assert len(exchanges(world)) == world.entries("fx_event") == 1
    world.assert_everything_adds_up()
