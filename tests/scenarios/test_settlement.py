"""Settlement: the provider's balance transactions, matched, corrected, posted, tied out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from billing.errors import BadInput, Conflict, NotFound, Unavailable
from billing.flows.breaks import operator
from billing.flows.context import Context
from billing.flows.cycles import closing
from billing.flows.settlement import charge_list, matching, posting, runs
from billing.flows.settlement import tie_out as settle_close
from billing.flows.settlement.step_run import StepRun
from billing.flows.webhooks import inbox
from billing.gateway.objects import ListedPage, Unreadable
from billing.ids import new_id
from billing.presenters import break_notes
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import AmountOutOfRange, Money
from billing.rules.reconciliation import BreakFound, BreakKind, TieOutReason
from billing.store.journal import reads
from billing.store.payments import payment_history
from billing.store.settlement import breaks, exchanges, staging
from billing.store.settlement import matching as settlement_match
from billing.store.settlement import rows as settlement_rows
from billing.store.settlement import runs as settlement
from tests.scenarios.world import Killed, Subscriber, World, only_account


def paid(world: World, until: str = "2026-01-02", **order: Any) -> Subscriber:
    customer = world.subscribed("video-premium", **order)
    world.run_until(until)
    return customer


def context(world: World, gateway: Any = None) -> Context:
    return replace(world.runtime.context, gateways=only_account(gateway or world.gateway))


def run(world: World) -> runs.Worked:
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    return runs.work(run_id, context(world))


def steps(world: World, run_id: UUID) -> dict[str, Any]:
    with world.engine.connect() as conn:
        return {row.step: row for row in settlement.steps(conn, run_id)}


def balance(world: World, code: str) -> dict[str, int]:
    rows = {}
    with world.engine.connect() as conn:
        for row in reads.trial_balance(conn):
            if row.code == code and row.balance:
                rows[row.currency] = row.balance
    return rows


def control(world: World, path: str, **body: Any) -> dict[str, Any]:
    return world.psp._control("POST", path, **body)


def charge_of(world: World, customer: Subscriber) -> dict[str, Any]:
    return next(c for c in world.psp.charges(customer) if c["captured"] and c["paid"])


def open_breaks(world: World) -> list[str]:
    return sorted(row.kind for row in world.breaks())


def resolutions(world: World) -> list[tuple[str, str]]:
    with world.engine.connect() as conn:
        rows = breaks.page(conn, include_resolved=True)
    return [(row.kind, row.resolution) for row in rows if row.resolution is not None]


# --- what agrees ----------------------------------------------------------------------------------


def test_a_charge_is_settled_with_its_fee(world: World) -> None:
    customer = paid(world)

    done = run(world)

    assert done.state == "succeeded"
    payment = world.payment(customer)
    assert (payment.state, payment.settled_at) == ("SETTLED", world.now)
    assert balance(world, "psp_fees") == {"USD": 88}
    assert balance(world, "psp_clearing") == {"USD": 1999 - 88} == world.gateway.balance()
    found = steps(world, done.run_id)
    assert list(found) == ["fetch", "stage", "match", "correct", "post", "close"]
    assert {row.state for row in found.values()} == {"succeeded"}
    assert found["match"].counts["matched"] == 1
    world.assert_everything_adds_up()


def test_running_again_changes_nothing(world: World) -> None:
    paid(world, "2026-01-01")
    run(world)
    before = balance(world, "psp_clearing")

    again = run(world)

    found = steps(world, again.run_id)
    assert (found["stage"].counts["read"], found["stage"].counts["new"]) == (1, 0)
    assert found["post"].counts.get("entries", 0) == 0
    assert balance(world, "psp_clearing") == before
    world.assert_everything_adds_up()


def test_a_cycle_closes_only_when_its_settlement_was_matched(world: World) -> None:
    customer = paid(world)
    charge_list.run(context(world), read_until=None)
    closing.run(world.engine, now=world.now)

    assert world.payment(customer).confirmed_at is not None, "the charge is listed"
    assert [cycle.state for cycle in world.cycles(customer)] == ["opened"]
    with world.engine.connect() as conn:
        assert settle_close.report(conn, now=world.now, balances=None).waiting == {
            "not settled by the provider yet": 1
        }

    world.close_books()

    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]
    world.assert_everything_adds_up()


def test_the_night_begins_at_midnight_and_once(world: World) -> None:
    paid(world, "2026-01-02 09:00")
    every = timedelta(days=1)
    begun = runs.begin(world.engine, world.provider, now=world.now, every=every)
    assert begun is not None
    assert not night_is_done(world)
    runs.work(begun, context(world))
    assert night_is_done(world)

    world.run_until("2026-01-02 23:59")
    assert runs.begin(world.engine, world.provider, now=world.now, every=every) is None
    assert night_is_done(world)
    world.run_until("2026-01-03 00:00")
    assert not night_is_done(world)
    assert runs.begin(world.engine, world.provider, now=world.now, every=every) is not None


def night_is_done(world: World) -> bool:
    with world.engine.connect() as conn:
        return runs.is_done(conn, world.provider, now=world.now, every=timedelta(days=1))


def test_nothing_is_begun_before_money_moved(world: World) -> None:
    assert runs.begin(world.engine, world.provider, now=world.now) is None
    assert night_is_done(world)


# --- crashes --------------------------------------------------------------------------------------


def kill_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, nth: int) -> None:
    """Let the process die when a function is called for the n-th time, before it does anything."""
    real: Callable[..., Any] = getattr(target, name)
    calls = 0

    def dying(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise Killed
        return real(*args, **more)

    monkeypatch.setattr(target, name, dying)


KILLS = {
    "before a page is written": (staging, "stage", 1),
    "before rows are judged": ("match", "judge", 1),
    "before breaks are written": (matching, "_record", 1),
    "before a correction": ("correct", "_correct_one", 1),
    "between two batches of postings": (posting, "_entries", 3),
    "before refunds are settled": (settlement_rows, "settle_refunds", 2),
    "before the balances are compared": (settle_close, "compare_balances", 1),
    "before a step is noted as done": (settlement, "finish", 3),
}


@pytest.mark.parametrize(("target", "name", "nth"), KILLS.values(), ids=KILLS)
def test_a_run_that_was_killed_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, target: Any, name: str, nth: int
) -> None:
    from billing.flows.settlement import correcting
    from billing.store.settlement import matching as settlement_match

    target = {"match": settlement_match, "correct": correcting}.get(
        target if isinstance(target, str) else "", target
    )
    gave_up = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    good = [world.subscribed("video-premium") for _ in range(3)]
    world.run_until("2026-01-02")
    pay_behind_our_back(world, gave_up)
    world.psp.take_money(700)
    monkeypatch.setattr(posting, "BATCH", 1)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    with monkeypatch.context() as dying:
        kill_at(dying, target, name, nth)
        with pytest.raises(Killed):
            runs.work(run_id, context(world))

    assert runs.work(run_id, context(world)).state == "running", "its lease holds"
    world.wait(world.policy.reconciler_lease)
    assert runs.work(run_id, context(world)).state == "succeeded"

    assert {world.payment(each).state for each in [gave_up, *good]} == {"SETTLED"}
    assert open_breaks(world) == ["unknown_at_provider"]
    assert world.entries("fee_settled") == 4
    assert forced_corrections(world) == 1
    world.assert_promises_hold()


def pay_behind_our_back(world: World, customer: Subscriber) -> None:
    intent = world.payment(customer).provider_payment_id
    card = world.psp.post(
        "payment_methods/pm_card_visa/attach", customer=customer.provider_customer_id
    )
    world.psp.post(
        f"payment_intents/{intent}/confirm", payment_method=card["id"], off_session="true"
    )


def forced_corrections(world: World) -> int:
    with world.engine.connect() as conn:
        return int(
            conn.execute(
                text(
                    "SELECT count(DISTINCT payment_id) FROM payment_transitions"
                    " WHERE cause = 'forced_correction'"
                )
            ).scalar_one()
        )


def test_two_at_once_do_the_work_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        world.subscribed("video-premium")
    world.run_until("2026-01-02")
    monkeypatch.setattr(posting, "BATCH", 1)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    assert run_id == runs.begin(world.engine, world.provider, now=world.now)
    meanwhile: list[str] = []
    real = posting._entries

    def busy(row: Any) -> Any:
        meanwhile.append(runs.work(run_id, context(world)).state)
        return real(row)

    monkeypatch.setattr(posting, "_entries", busy)
    assert runs.work(run_id, context(world)).state == "succeeded"
    assert set(meanwhile) == {"running"}
    assert world.entries("fee_settled") == 4


def test_who_lost_the_lease_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paid(world)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    real = matching._judge_next

    def slow(step: StepRun) -> bool:
        monkeypatch.setattr(matching, "_judge_next", real)
        world.wait(world.policy.reconciler_lease)
        assert runs.work(run_id, context(world)).state == "succeeded", "a successor took over"
        return real(step)

    monkeypatch.setattr(matching, "_judge_next", slow)
    assert runs.work(run_id, context(world)).state == "running"
    assert world.entries("fee_settled") == 1
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    "error", [Unavailable, AmountOutOfRange, OverflowError, AssertionError, RecursionError]
)
def test_a_step_that_fails_shows_its_error_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    paid(world)
    with monkeypatch.context() as broken:
        broken.setattr(type(world.gateway), "list_payouts", _raise(error("the provider is down")))
        failed = run(world)
    assert (failed.state, failed.step) == ("running", "fetch")
    assert str(failed.error) == "the provider is down"
    assert steps(world, failed.run_id)["fetch"].last_error == "the provider is down"

    assert run(world).state == "running", "the pause isn't over"
    world.wait(runs.BACKOFF)
    again = run(world)
    assert (again.run_id, again.state) == (failed.run_id, "succeeded")
    assert steps(world, again.run_id)["fetch"].last_error is None


def test_a_batch_that_lost_a_deadlock_is_done_again_and_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(world)
    judge, lost = settlement_match.judge, iter([True, True])

    def sometimes_given_up(conn: Connection, *args: Any, **more: Any) -> dict[str, int]:
        counts = judge(conn, *args, **more)
        if next(lost, False):
            raise OperationalError("", {}, psycopg.errors.DeadlockDetected("deadlock detected"))
        return counts

    monkeypatch.setattr(settlement_match, "judge", sometimes_given_up)
    done = run(world)

    assert (done.state, done.error) == ("succeeded", None)
    step = steps(world, done.run_id)["match"]
    assert (step.tries, step.counts["rows"], step.counts["matched"]) == (1, 1, 1)
    world.assert_everything_adds_up()


def test_a_run_that_fails_for_good_is_followed_by_one_that_covers_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = paid(world)
    with monkeypatch.context() as broken:
        broken.setattr(
            type(world.gateway), "list_payouts", _raise(Unavailable("the provider is down"))
        )
        failed = run(world)
        for _ in range(runs.TRIES_MAX - 1):
            world.wait(runs.BACKOFF_MAX)
            failed = run(world)
    assert failed.state == "failed"

    world.run_until("2026-01-03")
    assert run(world).run_id != failed.run_id
    assert world.payment(customer).state == "SETTLED"
    runs.resume(world.engine, failed.run_id)
    assert runs.work(failed.run_id, context(world)).state == "succeeded"
    world.assert_everything_adds_up()


def _raise(error: Exception) -> Callable[..., Any]:
    def raising(*args: object, **more: object) -> Any:
        raise error

    return raising


# --- forced corrections ---------------------------------------------------------------------------


def test_money_taken_after_we_gave_up_is_booked_with_its_evidence(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    assert world.entries("write_off") == 1
    pay_behind_our_back(world, customer)

    run(world)

    payment = world.payment(customer)
    charge = charge_of(world, customer)
    assert (payment.state, payment.provider_charge_id) == ("SETTLED", charge["id"])
    assert world.entries("write_off_reversed") == world.entries("payment_captured") == 1
    assert world.invoices(customer)[0].status == "paid"
    history = transitions(world, payment.id)
    assert [(row.to_state, row.cause) for row in history[-2:]] == [
        ("CAPTURED", "forced_correction"),
        ("SETTLED", "settlement"),
    ]
    evidence = history[-2].evidence
    assert (evidence["charge"], evidence["was"], evidence["amount"]) == (
        charge["id"],
        "FAILED",
        1999,
    )
    assert world.events(customer)[-1] == "corrected"
    assert world.status(customer) == "canceled", "a person decides whether to refund"
    world.assert_everything_adds_up()


def transitions(world: World, payment_id: UUID) -> list[Any]:

    with world.engine.connect() as conn:
        return payment_history.transitions(conn, payment_id)


def test_a_correction_after_the_cycle_was_closed_leaves_the_close_as_it_was(
    world: World,
) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-02-02")
    world.close_books()
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]
    pay_behind_our_back(world, customer)

    world.close_books()

    assert world.payment(customer).state == "SETTLED"
    world.assert_everything_adds_up()


def test_an_answer_that_never_came_is_found_in_the_settlement(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()
    run(world)
    assert world.payment(customer).state == "CREATED", "young: its own resolution comes first"

    world.jump_to("2026-01-01 03:00")
    world.wait(world.policy.lease)
    run(world)

    assert world.payment(customer).state == "SETTLED"
    assert [row.outcome for row in world.attempts(customer)] == ["succeeded"]
    assert forced_corrections(world) == 1
    world.run_until("2026-01-02")
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_a_payment_that_a_worker_holds_is_left_to_the_worker(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    outcome = world.send(sending)
    world.jump_to("2026-01-01 03:00")

    run(world)
    assert world.payment(customer).state == "CREATED"
    world.finish(sending, outcome)
    run(world)

    assert world.payment(customer).state == "SETTLED"
    assert forced_corrections(world) == 0
    world.assert_everything_adds_up()


# --- differences ----------------------------------------------------------------------------------


def alter(world: World, customer: Subscriber, **change: Any) -> None:
    control(world, f"charges/{charge_of(world, customer)['id']}", **change)


def charge_again(world: World, customer: Subscriber, mode: str) -> None:
    charge = charge_of(world, customer)
    control(world, f"charges/{charge['id']}/duplicate", payment_intent=mode)


DIFFERENCES: dict[str, tuple[Callable[[World, Subscriber], Any], str]] = {
    "another amount": (lambda w, c: alter(w, c, amount=2500), "amount_mismatch"),
    "a fee larger than the charge": (lambda w, c: alter(w, c, fee=5000), "fee_mismatch"),
    "a second charge of the PaymentIntent": (
        lambda w, c: charge_again(w, c, "same"),
        "duplicate_charge",
    ),
    "a charge nobody knows": (lambda w, c: w.psp.take_money(700), "unknown_at_provider"),
}


@pytest.mark.parametrize(("spoil", "kind"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_is_a_break_with_both_sides(
    world: World, spoil: Callable[[World, Subscriber], Any], kind: str
) -> None:
    customer = paid(world)
    spoil(world, customer)

    world.close_books()
    world.close_books()

    (found,) = world.breaks()
    assert found.kind == kind
    assert found.theirs["balance_transaction"].startswith("txn_")
    assert found.suggested_cause
    assert (found.ours == {}) == (kind == "unknown_at_provider")
    assert world.payment(customer).state == (
        "SETTLED" if kind in ("duplicate_charge", "unknown_at_provider") else "CAPTURED"
    )
    with world.engine.connect() as conn:
        lines = settle_close.compare_balances(conn, "stripe", world.gateway.balance())
    assert [line.unexplained for line in lines] == [0], "the break explains it"
    assert lines[0].reasons


def test_what_the_provider_does_not_show_is_missing_and_found_again(world: World) -> None:
    customer = paid(world)
    charge = charge_of(world, customer)["id"]
    control(world, f"charges/{charge}", hidden=True)
    world.run_until("2026-01-03")
    world.close_books()
    assert open_breaks(world) == ["missing_at_provider"]

    control(world, f"charges/{charge}", hidden=False)
    world.close_books()

    assert open_breaks(world) == []
    assert resolutions(world)[0][1].startswith("the provider shows it by now: txn_")
    assert world.payment(customer).state == "SETTLED"
    world.assert_everything_adds_up()


def test_an_unknown_charge_that_turns_out_to_be_ours_is_resolved_by_itself(world: World) -> None:
    customer = paid(world)
    with world.engine.begin() as conn:
        conn.execute(
            text("UPDATE payments SET provider_payment_id = NULL, provider_charge_id = NULL")
        )
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    runs.work(run_id, context(world, _Forgetful(world.gateway)))
    assert open_breaks(world) == ["unknown_at_provider"]

    with world.engine.begin() as conn:
        conn.execute(
            text("UPDATE payments SET provider_payment_id = :id"),
            {"id": charge_of(world, customer)["payment_intent"]},
        )
    run(world)

    assert open_breaks(world) == []
    assert resolutions(world) == [("unknown_at_provider", "both sides agree by now")]
    world.assert_everything_adds_up()


class _Forgetful:
    """A provider that has lost our metadata."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [replace(row, metadata={}) for row in page]


# --- what a person does ---------------------------------------------------------------------------


def notes_in_words(conn: Connection, break_id: UUID) -> list[str]:
    notes = breaks.notes(conn, break_id)
    return [break_notes.in_words(note.kind, note.words, note.facts) for note in notes]


def resolve(world: World, reason: str, adjustment: Money | None = None) -> operator.Resolution:
    (found,) = world.breaks()
    return operator.resolve(
        world.engine,
        found.id,
        reason=reason,
        adjustment=adjustment,
        now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )


def test_an_unknown_charge_is_adjusted_into_the_books(world: World) -> None:
    paid(world)
    world.psp.take_money(700)
    world.close_books()
    (found,) = world.breaks()
    with world.engine.connect() as conn:
        suggested = operator.preview(conn, found.id, None).suggested
    assert suggested == Money(700 - 50, "USD")

    resolve(world, "sold at the counter", suggested)

    world.close_books()
    assert world.breaks() == []
    assert balance(world, "adjustments") == {"USD": -650}
    assert balance(world, "psp_clearing") == world.gateway.balance()
    with world.engine.connect() as conn:
        assert notes_in_words(conn, found.id) == [
            "sold at the counter; psp_clearing is adjusted by 6.50 USD, against adjustments"
        ]


def test_a_difference_that_is_accepted_settles_the_payment(world: World) -> None:
    customer = paid(world)
    alter(world, customer, amount=2500)
    world.close_books()

    resolve(world, "the customer left a tip", Money(501, "USD"))
    world.close_books()

    assert world.payment(customer).state == "SETTLED"
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]
    assert balance(world, "psp_clearing") == world.gateway.balance()
    world.assert_promises_hold()


def test_what_is_accepted_without_an_adjustment_still_explains_the_balance(world: World) -> None:
    paid(world)
    world.psp.take_money(700)
    world.close_books()

    resolve(world, "not our business")
    world.close_books()
    world.close_books()

    with world.engine.connect() as conn:
        (line,) = settle_close.compare_balances(conn, "stripe", world.gateway.balance())
    assert line.reasons == {TieOutReason.BREAK_NOT_ADJUSTED: 650}
    assert (line.unexplained, world.breaks()) == (0, [])


def test_a_capture_that_is_given_up_counts_as_settled(world: World) -> None:
    customer = paid(world)
    world.psp.forget_everything()
    world.run_until("2026-01-03")
    world.close_books()

    resolve(world, "charged under the test key", Money(-1999, "USD"))
    world.close_books()

    assert world.payment(customer).state == "SETTLED"
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]
    assert balance(world, "psp_clearing") == {}
    world.assert_promises_hold()


def test_a_break_is_resolved_once_and_with_a_reason(world: World) -> None:
    paid(world)
    world.psp.take_money(700)
    world.close_books()
    (found,) = world.breaks()

    with pytest.raises(BadInput, match="reason"):
        resolve(world, "  ")
    with pytest.raises(BadInput, match="name"):
        operator.assign(
            world.engine, found.id, to=" ", now=world.now, actor=Actor(ActorKind.CLI, "bob")
        )
    with pytest.raises(BadInput, match="note"):
        operator.annotate(
            world.engine, found.id, words=" ", now=world.now, actor=Actor(ActorKind.CLI, "ann")
        )
    with pytest.raises(NotFound):
        operator.assign(
            world.engine, new_id(), to="ann", now=world.now, actor=Actor(ActorKind.CLI, "bob")
        )
    operator.assign(
        world.engine, found.id, to="ann", now=world.now, actor=Actor(ActorKind.CLI, "bob")
    )
    operator.annotate(
        world.engine,
        found.id,
        words="asked the shop",
        now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )
    resolve(world, "sold at the counter")
    with pytest.raises(Conflict, match="sold at the counter"):
        operator.assign(
            world.engine, found.id, to=None, now=world.now, actor=Actor(ActorKind.CLI, "ann")
        )
    with world.engine.connect() as conn:
        words = notes_in_words(conn, found.id)
    assert words[:2] == ["assigned to ann", "asked the shop"]


# --- the balance ----------------------------------------------------------------------------------


def test_money_that_nothing_explains_is_a_break_in_the_second_run(world: World) -> None:
    paid(world)
    with_more = _Richer(world.gateway)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    runs.work(run_id, context(world, with_more))
    assert open_breaks(world) == [], "it may be on its way"

    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    runs.work(run_id, context(world, with_more))
    assert open_breaks(world) == ["balance_mismatch"]
    assert world.breaks()[0].theirs["unexplained"] == 5

    run(world)
    assert open_breaks(world) == []


@pytest.mark.parametrize("currency", ["ang", "std"])
def test_a_charge_in_a_currency_that_is_not_sold_stops_nobody(world: World, currency: str) -> None:
    subscriber = paid(world)
    world.psp.take_money(700, currency)
    world.jump_to("2026-01-20")

    run(world)
    world.close_books()

    assert world.cycles(subscriber)[0].state == "closed"
    assert {(each.kind, each.currency) for each in world.breaks()} == {
        ("unknown_at_provider", currency.upper())
    }
    assert world.findings() == []


class _WithUnreadable:
    """A provider that lists, beside all else, one object of each kind that can't be read."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def _more(self, kind: str, pages: Iterator[Sequence[Any]]) -> Iterator[ListedPage[Any]]:
        bad = Unreadable(f"{kind}_1", kind, "'XYZ' is not the code of a currency", "700 xyz")
        yield ListedPage([], [bad], bad.id)
        for page in pages:
            yield ListedPage(page, [], page[-1].id)

    def list_charges(self, **window: Any) -> Iterator[ListedPage[Any]]:
        return self._more("charge", self._real.list_charges(**window))

    def list_payouts(self, **window: Any) -> Iterator[ListedPage[Any]]:
        return self._more("payout", self._real.list_payouts(**window))

    def list_balance_transactions(self, **window: Any) -> Iterator[ListedPage[Any]]:
        pages = self._real.list_balance_transactions(**{**window, "after": None})
        return self._more("balance_transaction", pages)

    def list_events(self, **window: Any) -> Iterator[ListedPage[Any]]:
        return self._more("event", self._real.list_events(**window))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_each_object_that_can_not_be_read_is_one_break_and_stops_no_other(world: World) -> None:
    subscriber = paid(world)
    world.jump_to("2026-01-20")
    strange = _WithUnreadable(world.gateway)

    for _ in range(2):
        charge_list.run(context(world, strange), read_until=None)
        run_id = runs.begin(world.engine, world.provider, now=world.now)
        assert run_id is not None
        assert runs.work(run_id, context(world, strange)).state == "succeeded"
        inbox.sweep(
            world.engine,
            world.provider,
            strange,
            watermark=None,
            complete=True,
            now=world.now,
            wall=world.wall,
        )

    assert world.payment(subscriber).state == "SETTLED"
    assert world.cycles(subscriber)[0].state == "closed"
    found = {(each.kind, each.theirs["id"], each.theirs["shown"]) for each in world.breaks()}
    assert found == {
        ("unreadable_object", f"{kind}_1", "700 xyz")
        for kind in ("charge", "payout", "balance_transaction", "event")
    }
    assert len(world.breaks()) == 4
    assert world.findings() == []


class _WithoutBalance:
    """A provider whose balance can't be read."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.capabilities = replace(real.capabilities, lists_balance=False)

    def __getattr__(self, name: str) -> Any:
        assert name != "balance", "it was asked all the same"
        return getattr(self._real, name)


def test_a_provider_without_a_balance_is_tied_to_the_movements_that_it_showed(world: World) -> None:
    customer = paid(world)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None

    runs.work(run_id, context(world, _WithoutBalance(world.gateway)))

    assert world.payment(customer).state == "SETTLED"
    (line,) = steps(world, run_id)["close"].cursor["tie_out"]
    assert (line["clearing"], line["provider"], line["unexplained"]) == (1911, 1911, 0)


@pytest.mark.parametrize(("lists_movements", "begun"), [(True, 1), (False, 0)])
def test_a_night_is_begun_where_movements_are_listed_with_a_balance_or_without(
    world: World, lists_movements: bool, begun: int
) -> None:
    paid(world)
    gateway = _WithoutBalance(world.gateway)
    gateway.capabilities = replace(gateway.capabilities, lists_movements=lists_movements)

    done = runs.work_on_account(context(world, gateway), every=timedelta(days=1))

    assert [each.state for each in done] == ["succeeded"] * begun


class _Richer:
    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def balance(self) -> dict[str, int]:
        return {code: amount + 5 for code, amount in self._real.balance().items()}


# --- exchange and payouts -------------------------------------------------------------------------


def test_a_settlement_in_another_currency_is_one_exchange(world: World) -> None:
    control(
        world,
        "settings",
        settlement_currency={"usd": "eur"},
        exchange_rates={"usd:eur": "0.8731"},
    )
    customer = paid(world)

    world.close_books()

    payment = world.payment(customer)
    with world.engine.connect() as conn:
        (event,) = exchanges.of_payment(conn, payment.id)
    assert (event.from_currency, event.from_amount) == ("USD", 1999)
    assert (event.to_currency, event.to_amount) == ("EUR", 1745)
    assert str(event.rate) == "0.8731"
    assert balance(world, "fx_position") == {"USD": 1999, "EUR": -1745}
    assert balance(world, "psp_clearing") == world.gateway.balance()
    assert set(balance(world, "psp_fees")) == {"EUR"}
    assert payment.state == "SETTLED"
    world.assert_promises_hold()


def test_an_exchange_between_currencies_with_and_without_decimals_agrees(world: World) -> None:
    control(
        world,
        "settings",
        settlement_currency={"jpy": "usd"},
        exchange_rates={"jpy:usd": "0.0067"},
    )
    customer = paid(world, currency="JPY")

    world.close_books()

    assert open_breaks(world) == []
    with world.engine.connect() as conn:
        (event,) = exchanges.of_payment(conn, world.payment(customer).id)
    assert (event.from_currency, event.from_amount) == ("JPY", 2400)
    assert (event.to_currency, event.to_amount) == ("USD", 1608)
    assert str(event.rate) == "0.0067"
    assert balance(world, "psp_clearing") == world.gateway.balance()
    world.assert_promises_hold()


def test_a_rate_that_does_not_fit_its_amounts_is_a_break(world: World) -> None:
    control(
        world,
        "settings",
        settlement_currency={"usd": "eur"},
        exchange_rates={"usd:eur": "0.8731"},
    )
    customer = paid(world)
    alter(world, customer, settled=1500)

    world.close_books()

    assert open_breaks(world) == ["fx_mismatch"]
    assert world.payment(customer).state == "CAPTURED"


def test_a_payout_is_followed_from_the_balance_to_the_bank(world: World) -> None:
    paid(world)
    world.run_until("2026-01-05")
    payout = control(world, "payouts", currency="usd")
    world.close_books()
    assert balance(world, "payout_transit") == {"USD": 1911}
    assert balance(world, "psp_clearing") == {}

    control(world, f"payouts/{payout['id']}", status="in_transit")
    control(world, f"payouts/{payout['id']}", status="paid")
    world.close_books()
    assert (balance(world, "payout_transit"), balance(world, "bank")) == ({}, {"USD": 1911})

    control(world, f"payouts/{payout['id']}", status="failed")
    world.close_books()
    assert balance(world, "bank") == balance(world, "payout_transit") == {}
    assert balance(world, "psp_clearing") == {"USD": 1911} == world.gateway.balance()
    world.close_books()
    world.assert_everything_adds_up()


# --- what a hostile reader would try --------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 20_000])
def test_of_two_charges_after_we_gave_up_one_is_booked_and_one_is_a_break(
    world: World, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "BATCH", batch)
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    pay_behind_our_back(world, customer)
    charge_again(world, customer, "same")

    run(world)

    assert open_breaks(world) == ["duplicate_charge"]
    assert world.entries("payment_captured") == world.entries("fee_settled") == 1
    assert tie_out(world) == {"USD": 0}
    run(world)
    assert open_breaks(world) == ["duplicate_charge"]
    assert forced_corrections(world) == 1


def tie_out(world: World) -> dict[str, int]:
    """Return what is unexplained, by currency."""
    with world.engine.connect() as conn:
        lines = settle_close.compare_balances(conn, "stripe", world.gateway.balance())
    return {line.currency: line.unexplained for line in lines}


def test_a_charge_that_a_worker_booked_meanwhile_does_not_hide_a_second_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    pay_behind_our_back(world, customer)
    real = settlement_rows.lock_row

    def captured_meanwhile(conn: Any, provider: str, transaction_id: str) -> Any:
        row = real(conn, provider, transaction_id)
        conn.execute(
            text(
                "UPDATE payments SET state = 'CAPTURED', provider_charge_id = 'ch_another',"
                " amount_captured = amount, captured_at = :now, confirmed_at = :now"
            ),
            {"now": world.now},
        )
        return row

    with monkeypatch.context() as racing:
        racing.setattr(settlement_rows, "lock_row", captured_meanwhile)
        run(world)
    run(world)

    assert "duplicate_charge" in open_breaks(world)
    assert world.payment(customer).provider_charge_id == "ch_another"
    assert world.entries("fee_settled") == 0, "of a charge that a person has to look at"


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_break_resolved_before_its_settlement_came_stays_resolved(
    world: World, adjusted: bool
) -> None:
    paid(world)
    world.close_books()
    world.psp.take_money(700)
    charge_list.run(context(world), read_until=world.now - timedelta(hours=1))
    (found,) = world.breaks()
    assert "balance_transaction" not in found.theirs
    resolve(world, "sold at the counter", Money(650, "USD") if adjusted else None)

    for _ in range(3):
        world.close_books()

    assert open_breaks(world) == []
    assert tie_out(world) == {"USD": 0}
    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT count(*) FROM settlement_rows WHERE matched_at IS NULL"))
        assert rows.scalar_one() == 0, "the row is done with, and not judged every night"


def test_an_unexplained_amount_that_comes_back_is_a_break_again(world: World) -> None:
    paid(world)

    def tick(gateway: Any) -> None:
        run_id = runs.begin(world.engine, world.provider, now=world.now)
        assert run_id is not None
        runs.work(run_id, context(world, gateway))

    richer = _Richer(world.gateway)
    tick(richer)
    tick(richer)
    tick(world.gateway)
    assert open_breaks(world) == []

    tick(richer)
    tick(richer)
    assert open_breaks(world) == ["balance_mismatch"]
    resolve(world, "a bank's gift")
    tick(richer)
    tick(richer)
    assert open_breaks(world) == [], "what a person has decided is not opened again"


def test_an_adjustment_is_in_a_currency_of_its_break(world: World) -> None:
    paid(world)
    world.psp.take_money(700)
    world.close_books()

    with pytest.raises(BadInput, match="USD"):
        resolve(world, "sold at the counter", Money(650, "EUR"))

    assert open_breaks(world) == ["unknown_at_provider"]
    assert world.entries("adjustment") == 0


def test_accepting_what_a_refund_differs_in_says_nothing_of_the_capture(world: World) -> None:
    customer = paid(world)
    with world.engine.begin() as conn:
        found = BreakFound(
            kind=BreakKind.REFUND_MISMATCH, subject="x", payment_id=world.payment(customer).id
        )
        breaks.record(conn, found, now=world.now)
    assert world.payment(customer).confirmed_at is None

    resolve(world, "looked at")

    assert world.payment(customer).confirmed_at is None


def test_a_payout_that_failed_before_we_saw_it_leave_is_entered_once(world: World) -> None:
    """Reports come in any order: the failure's first, that of the payout after it."""
    paid(world)
    world.run_until("2026-01-05")
    payout = control(world, "payouts", currency="usd")
    for status in ("in_transit", "paid", "failed"):
        control(world, f"payouts/{payout['id']}", status=status)
    run_id = runs.begin(world.engine, world.provider, now=world.now)
    assert run_id is not None
    runs.work(run_id, context(world, _Without(world.gateway, "payout")))
    assert balance(world, "psp_clearing") == {"USD": 1911 * 2}

    for _ in range(2):
        assert run(world).error is None

    assert balance(world, "psp_clearing") == {"USD": 1911} == world.gateway.balance()
    assert balance(world, "bank") == balance(world, "payout_transit") == {}
    assert tie_out(world) == {"USD": 0}


class _Without:
    """A provider that doesn't show transactions of one category yet."""

    def __init__(self, real: Any, category: str) -> None:
        self._real = real
        self._category = category

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def list_balance_transactions(self, **given: Any) -> Any:
        for page in self._real.list_balance_transactions(**given):
            yield [row for row in page if row.category != self._category]


@pytest.mark.parametrize("adjusted", [True, False])
def test_another_amount_taken_after_we_gave_up_is_lacking_as_a_whole(
    world: World, adjusted: bool
) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    pay_behind_our_back(world, customer)
    alter(world, customer, amount=2500)
    run(world)
    (found,) = world.breaks()
    assert found.kind == "amount_mismatch"
    with world.engine.connect() as conn:
        suggested = operator.preview(conn, found.id, None).suggested
    assert suggested == Money(2500, "USD")

    resolve(world, "kept as a deposit", suggested if adjusted else None)

    for _ in range(2):
        run(world)
    assert open_breaks(world) == []
    assert tie_out(world) == {"USD": 0}


def test_a_difference_that_comes_back_is_open_again(world: World) -> None:
    customer = paid(world)
    alter(world, customer, amount=2500)
    run(world)
    charge = charge_of(world, customer)["id"]
    for known, kind in (("ch_x", "duplicate_charge"), (charge, "amount_mismatch")) * 2:
        with world.engine.begin() as conn:
            conn.execute(text("UPDATE payments SET provider_charge_id = :known"), {"known": known})
        run(world)
        assert open_breaks(world) == [kind]

    resolve(world, "the customer left a tip", Money(501, "USD"))
    for _ in range(2):
        run(world)
    assert open_breaks(world) == []
    assert tie_out(world) == {"USD": 0}
