"""One world with a row of every sort, for mutants of the data to be made in.

Time goes from January to April 2026. What stands in the rows was written by the engine; only an
event that no process of a scenario writes is inserted.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from pathlib import Path
from typing import Final
from uuid import UUID

from billing.flows.breaks import exchanges, operator
from billing.flows.breaks.exchanges import Exchange
from billing.flows.cycles.digest_repair import repair
from billing.flows.payments import authorizations, declined_settlements
from billing.flows.service import api_keys, console_sessions
from billing.flows.service.api_keys import Scope
from billing.flows.service.idempotency import Claim, KeyedAnswer, KeyedRequest, claim, keep
from billing.flows.subscriptions import lifecycle, reanchoring
from billing.gateway import Declined
from billing.gateway.kinds import DeclineClass, DisputeStage
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.store.payments import payments
from billing.workers.daemons.webhooks import Webhooks
from tests.promises import story_of_items, story_of_taxes, story_of_usage
from tests.scenarios.money import (
    apply_dispute,
    apply_events_of_dispute,
    apply_events_of_refund,
    decide,
    fail_at_provider,
    fetch_dispute,
    give_back,
    one_off,
    open_dispute,
    payment_row,
    refund_row,
    settings,
    usd,
)
from tests.scenarios.test_accounts import take_as_another_engine
from tests.scenarios.test_catalog_items import redeem
from tests.scenarios.test_changes import BASE, HEAD, LADDER, plan
from tests.scenarios.test_digest_repair import BERLIN, as_if_closed_in
from tests.scenarios.test_operators import cancel, change, retry
from tests.scenarios.test_partial_captures import import_rows, row
from tests.scenarios.test_settlement_reports import control, import_, moved, report
from tests.scenarios.world import Subscriber, World, at

ANN: Final = Actor(ActorKind.CLI, "ann")
LOST: Final = timedelta(days=8)  # what the backup doesn't have

FROM_JANUARY: Final = "effective = 2026-01-01\n  price = {"
PLANS: Final = HEAD + "".join(
    (
        plan("monthly", "1 month", f'{FROM_JANUARY} USD = "31.00", JPY = "3100" }}'),
        plan("weekly", "1 week", BASE),
        plan("yearly", "1 year", f'{FROM_JANUARY} USD = "365.00" }}'),
        plan("tried", "1 month", f'{BASE}\n  trial = "14 days"'),
        plan("strict", "1 month", BASE, extra=LADDER.format("unpaid")),
        plan("lenient", "1 month", BASE, extra=LADDER.format("cancel")),
        plan("passing", "1 week", BASE, extra='catch_up = "skip"'),
        plan("waiting", "1 week", BASE, extra='catch_up = "park"'),
        plan("thirteenth", "1 month", f'{FROM_JANUARY} USD = "9.99" }}', extra="anchor_day = 13"),
    )
)  # fmt: skip


def later_price(amount: str) -> str:
    version = f'effective = 2026-06-01\n  existing = "move"\n  price = {{ USD = "{amount}" }}'
    return HEAD + plan("corrected", "1 month", BASE, version)


def beside(price: str) -> str:
    """Return an add-on at a price, and a coupon."""
    version = f'effective = 2026-01-01\n  price = {{ USD = "{price}" }}'
    coupon = '[[coupon]]\ncode = "spring"\npercent = "15"\nfor = "once"\nlimit = 9\n'
    addon = f'[[addon]]\ncode = "sso"\nfits = ["monthly"]\n  [[addon.version]]\n  {version}\n'
    return PLANS + addon + coupon


def tell(world: World, restored: Callable[[World], tuple[World, str]], folder: Path) -> World:
    """Tell everything, and return the world that a backup was restored to, at the end."""
    world.earn_daily()
    world.publish(beside("49.00"))
    world.publish(beside("45.00"))
    world.publish(later_price("2200.00"))
    world.publish(later_price("22.00"))
    story_of_items.publish(world)
    story_of_usage.publish(world)
    people = _subscribers(world)
    story_of_items.subscribe(world)
    used = story_of_usage.Used(world)
    _january(world, people, folder)
    story_of_usage.january(world, used)
    story_of_items.void(world)
    story_of_items.credit_back(world)
    story_of_items.change(world)
    story_of_items.order(world)
    story_of_items.buy(world)
    story_of_taxes.tax(world)
    _february(world, people, folder)
    story_of_usage.february(world, used)
    world, url = restored(world)
    world.earn_daily()
    world.number_in_series("INV")
    _march(world, people, folder)
    _closed_through_a_pooler(world, url, people["plain"])
    _april(world, people)
    return world


def _subscribers(world: World) -> dict[str, Subscriber]:
    plans = {
        "plain": "monthly", "refunded": "monthly", "in part": "monthly", "disputed": "monthly",
        "won": "monthly", "held": "monthly", "inquired": "monthly", "exchanged": "monthly",
        "yearly": "yearly", "trial": "tried", "paused": "weekly", "resumed": "weekly",
        "ending": "monthly", "ended": "monthly", "skipped": "passing", "parked": "waiting",
    }  # fmt: skip
    people = {name: world.subscribed(code) for name, code in plans.items()}
    redeem(world, people["ending"], "spring")
    people["yen"] = world.subscribed("monthly", currency="JPY")
    people["two"] = world.subscribed("monthly", quantity=2)
    people["declined once"] = world.subscribed("monthly", card="pm_sbx_decline_1_then_ok")
    people["unpaid"] = world.subscribed("strict", card="pm_sbx_ok_1_then_stolen_card")
    people["broke"] = world.subscribed("lenient", card="pm_sbx_ok_1_then_insufficient_funds")
    people["late"] = world.subscribed("lenient", card="pm_sbx_insufficient_funds_4_then_ok")
    people["forgiven"] = world.subscribed("lenient", card="pm_sbx_insufficient_funds")
    people["moved"] = world.subscribed("monthly", zone="Europe/Berlin")
    people["bounced"] = world.subscribed("monthly")
    there = world.customer(provider="eu")
    people["there"] = world.subscribe(*there, "monthly")
    people["there too"] = world.subscribe(*world.customer(provider="eu"), "monthly")
    return people


def _january(world: World, people: dict[str, Subscriber], folder: Path) -> None:
    world.run_until("2026-01-03")
    give_back(world, world.payment(people["refunded"]).id)
    give_back(world, world.payment(people["in part"]).id, usd(700))
    give_back(world, world.payment(people["there"]).id, usd(300))
    world.settle()
    bounced = _hidden(world, people["bounced"])
    world.close_books()
    _events(world)
    _declined_settlements(world, bounced)
    _charges_without_invoices(world, folder)
    world.run_until("2026-01-12")
    change(world, people["paused"], lifecycle.pause)
    change(world, people["resumed"], lifecycle.pause)
    cancel(world, people["ending"], at_period_end=True)
    cancel(world, people["ended"])
    cancel(world, people["forgiven"])
    world.run_until("2026-01-20")
    retry(world, people["late"])
    change(world, people["resumed"], lifecycle.resume)
    for name in ("disputed", "won", "inquired"):
        inquiry = name == "inquired"
        made = open_dispute(world, world.payment(people[name]).id, inquiry=inquiry)
        apply_events_of_dispute(world, made)
        if not inquiry:
            decide(world, made, {"disputed": "lost", "won": "won"}[name])
            apply_events_of_dispute(world, made)
    apply_events_of_dispute(world, open_dispute(world, world.payment(people["two"]).id, amount=900))
    _lost_and_won(world, people["resumed"])
    world.close_books()


def _hidden(world: World, subscriber: Subscriber) -> list[UUID]:
    """Hide what was captured of a period, and of a charge without an invoice; return both."""
    captured = [world.payment(subscriber).id, one_off(world, usd(4900))]
    world.settle()
    for payment_id in captured:
        charge = payment_row(world, payment_id).provider_charge_id
        control(world, f"charges/{charge}", hidden=True)
    return captured


def _declined_settlements(world: World, captured: Sequence[UUID]) -> None:
    """The settlement of what was captured is declined."""
    for payment_id in captured:
        with world.engine.begin() as conn:
            assert declined_settlements.undo(
                conn,
                payments.lock_known_payment(conn, payment_id),
                Declined("4001", DeclineClass.SOFT),
                now=world.now,
                policy=world.context().policy,
            )


def _lost_and_won(world: World, subscriber: Subscriber) -> None:
    """A dispute is lost, then won, and the money is on its way."""
    made = open_dispute(world, world.payment(subscriber).id)
    decide(world, made, "lost")
    apply_events_of_dispute(world, made)
    lost = fetch_dispute(world, made)
    apply_dispute(world, replace(lost, stage=DisputeStage.WON))
    apply_dispute(world, lost)


def _charges_without_invoices(world: World, folder: Path) -> None:
    """One charged at once, one declined, one voided, one captured in part and one in full."""
    one_off(world, usd(5000))
    one_off(world, usd(5100), card="pm_card_chargeCustomerFail")
    held = [one_off(world, usd(amount), capture_method="manual") for amount in (5200, 5300, 5400)]
    world.settle()
    void, part, whole = held
    with world.engine.begin() as conn:
        authorizations.request_void(conn, void, now=world.now, actor=ANN, why="sold out")
        for payment_id, amount in ((part, usd(1300)), (whole, None)):
            authorizations.request_capture(
                conn, payment_id, amount=amount, now=world.now, actor=ANN
            )
    world.settle()
    captured = payment_row(world, part)
    import_rows(
        world, folder,
        row(captured, "txn_whole", 5300, 180, "charge"), row(captured, "txn_part", -4000),
    )  # fmt: skip


def _february(world: World, people: dict[str, Subscriber], folder: Path) -> None:
    world.run_until("2026-02-02")
    _failed_refund(world, people["plain"])
    _refund_at_provider(world, people["yen"])
    settings(world, settlement_currency={"usd": "eur"}, exchange_rates={"usd:eur": "0.9"})
    exchanged = world.subscribed("monthly")
    world.settle()
    world.close_books()
    give_back(world, world.payment(exchanged).id, usd(1000))
    world.settle()
    settings(world, settlement_currency={}, exchange_rates={})
    world.close_books()
    _exchange(world)
    _payouts(world)
    _reports(world, folder)
    world.spoil("UPDATE subscriptions SET zone = 'Europe/London'", people["moved"])
    reanchoring.reanchor(
        world.engine,
        reference=None,
        zone="Europe/London",
        now=world.now,
        actor=ANN,
        why="rules changed",
    )


def _failed_refund(world: World, subscriber: Subscriber) -> None:
    """One refund comes back after it succeeded."""
    asked = give_back(world, world.payment(subscriber).id, usd(400))
    world.settle()
    world.close_books()
    fail_at_provider(world, asked)
    apply_events_of_refund(world, str(refund_row(world, asked).provider_refund_id))
    world.close_books()


def _refund_at_provider(world: World, subscriber: Subscriber) -> None:
    """Somebody gives money back in the provider's dashboard."""
    payment = world.payment(subscriber)
    world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="100")
    _events(world)


def _events(world: World) -> None:
    """Ask the provider for its events, and handle them."""
    webhooks = Webhooks(world.runtime, world.metrics)
    webhooks.sweep()
    for _ in range(20):
        if not webhooks.handle_due():
            break
        world.wait(timedelta(seconds=10))


def _exchange(world: World) -> None:
    made = world.psp._control(
        "POST",
        "conversions",
        **{"from": "usd", "to": "eur", "amount": 1000, "received": 920, "fee": 5},
    )
    world.close_books()
    exchanges.record(
        world.engine,
        Exchange(
            provider=world.provider,
            sold=usd(1000),
            bought=Money(920, "EUR"),
            fee=Money(5, "EUR"),
            rate=Decimal("0.92"),
            at=world.now,
            source="the provider's dashboard",
        ),
        [each["id"] for each in made["data"]],
        reason="moved to the euro account",
        now=world.now,
        actor=ANN,
    )


def _payouts(world: World) -> None:
    """One payout arrives, one fails and one is on its way."""
    for status in ("paid", "failed", "in_transit"):
        charged = world.subscribed("monthly")
        world.settle()
        world.run_until(f"{world.now + timedelta(days=7):%Y-%m-%d}")
        payout = control(world, "payouts", currency="usd")
        control(world, f"payouts/{payout['id']}", status="in_transit")
        world.close_books()
        if status != "in_transit":
            control(world, f"payouts/{payout['id']}", status="paid")
        if status == "failed":
            world.close_books()
            control(world, f"payouts/{payout['id']}", status="failed")
        world.close_books()
        assert world.payment(charged).state == "SETTLED"


def _reports(world: World, folder: Path) -> None:
    """A report of what was paid out, and one of what the provider holds back and passes on."""
    import_(world, report(world, folder))
    import_(
        world,
        moved(
            folder,
            "-5.00,0.00,-5.00,reserve_hold",
            "-2.00,0.00,-2.00,contribution",
            "-3.00,0.00,-3.00,fee",
            "-4.00,0.00,-4.00,a_word_of_next_year",
        ),
    )


def _march(world: World, people: dict[str, Subscriber], folder: Path) -> None:
    _breaks(world)
    _requests(world)
    _events(world)
    made = open_dispute(world, world.payment(people["held"]).id)
    apply_events_of_dispute(world, made)
    world.close_books()


def _breaks(world: World) -> None:
    """Money that nobody knows of: one sum is resolved with an adjustment, and one stands open."""
    take_as_another_engine(world)
    for amount in (700, 800):
        world.psp.take_money(amount)
    world.close_books()
    first = next(each for each in world.breaks() if each.kind == "unknown_at_provider")
    operator.annotate(world.engine, first.id, words="asked", now=world.now, actor=ANN)
    operator.assign(world.engine, first.id, to="ann", now=world.now, actor=ANN)
    operator.resolve(
        world.engine, first.id, reason="a gift", adjustment=usd(700), now=world.now, actor=ANN
    )


def _requests(world: World) -> None:
    """Keys of the API, a session, and a request that was answered under an idempotency key."""
    api_keys.create(
        world.engine, name="shop", scopes=[Scope.CHARGE], pepper="p" * 32, wall=world.wall,
        actor=ANN,
    )  # fmt: skip
    _, key = api_keys.create(
        world.engine, name="ann", scopes=[Scope.READ], pepper="p" * 32, wall=world.wall, actor=ANN
    )
    lasts = timedelta(hours=12)
    console_sessions.log_in(world.engine, key, pepper="p" * 32, wall=world.wall, lasts=lasts)
    request = KeyedRequest("shop", "order-1", "charge", {"amount": 1})
    with world.engine.begin() as conn:
        claimed = claim(conn, request, wall=world.wall, lease=timedelta(minutes=1))
        assert isinstance(claimed, Claim)
        keep(conn, claimed, KeyedAnswer(201, {"id": "x"}), wall=world.wall)


def _closed_through_a_pooler(world: World, owners_url: str, subscriber: Subscriber) -> None:
    """Closed cycles whose digests were computed in another zone, as an earlier release did."""
    as_if_closed_in(world, owners_url, subscriber, BERLIN)
    repair(world.engine, [BERLIN], actor=ANN)


def _april(world: World, people: dict[str, Subscriber]) -> None:
    """What is under way at the end: refunds, charges and authorisations in every stage."""
    world.jump_to(f"{world.now + timedelta(days=20):%Y-%m-%d}")
    world.run_until("2026-04-12 12:00")
    world.close_books()
    world.subscribed("strict", card="pm_sbx_insufficient_funds")
    world.subscribed("monthly", starts=at("2027-01-01").replace(tzinfo=None))
    one_off(world, usd(6000), capture_method="manual")
    world.settle()
    world.close_books()
    give_back(world, world.payment(people["plain"]).id, usd(200))
    world.subscribed("thirteenth")
    world.settle()
    refused = world.subscribed("monthly")
    world.rename_at_provider(refused, "cus_gone")
    world.settle()
    world.subscribed("monthly", card="pm_card_chargeCustomerFail")
    lost = world.subscribed("monthly")
    one_off(world, usd(6100))
    world.open()
    payments = world.dispatch()
    for payment_id in payments:
        if payment_id != world.payment(lost).id:
            world.charge(payment_id)
    sending = world.begin(world.payment(lost).id)
    assert sending is not None
    world.send(sending)
    one_off(world, usd(6200))
    give_back(world, world.payment(people["two"], 0).id, usd(100))
