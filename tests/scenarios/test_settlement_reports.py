"""Settlement from report files, as the provider makes them."""

import csv
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows.breaks import operator
from billing.flows.context import Context
from billing.flows.disputes import dispute_updates
from billing.flows.settlement import report_source, runs
from billing.gateway import BalanceTransaction, Gateway
from billing.gateway.gateways import NO_GATEWAYS
from billing.gateway.registry import report_reader
from billing.gateway.reports import MalformedReport, ReportFile
from billing.gateway.stripe.objects import read_dispute
from billing.rules.actor import Actor, ActorKind
from billing.store.journal import reads
from billing.store.payments.payments import Payment
from billing.store.settlement import exchanges, staging
from billing.store.settlement import runs as settlement
from tests.scenarios.money import balances, payment_row
from tests.scenarios.world import Killed, Subscriber, World, die, only_account
from tests.waiting import PATIENCE

# What Stripe shows by default, and what it has to be asked for.
COLUMNS = (
    "automatic_payout_id", "automatic_payout_effective_at", "balance_transaction_id", "created",
    "available_on", "currency", "gross", "fee", "net", "reporting_category", "description",
    "source_id", "charge_id", "payment_intent_id", "customer_facing_amount",
    "customer_facing_currency",
)  # fmt: skip


def offline(world: World) -> Context:
    return replace(world.runtime.context, gateways=NO_GATEWAYS)


def import_(world: World, file: Path, *, complete: bool = False) -> runs.Worked:
    run_id = begun(world, file, complete=complete)
    return runs.work(run_id, offline(world), report=of_provider(file))


def of_provider(file: Path) -> ReportFile:
    return ReportFile(file, report_reader("stripe"))


def begun(world: World, file: Path, *, complete: bool = False) -> UUID:
    return report_source.begin(
        world.engine, world.provider, of_provider(file), now=world.now, complete=complete
    )


def paid_out(world: World, customers: int = 3) -> list[Subscriber]:
    """Customers whose charges the provider has paid out."""
    made = [world.subscribed("video-premium") for _ in range(customers)]
    world.run_until("2026-01-05")
    control(world, "payouts", currency="usd")
    world.run_until("2026-01-12")
    return made


def control(world: World, path: str, **body: Any) -> dict[str, Any]:
    return world.psp._control("POST", path, **body)


def report(world: World, folder: Path, kind: str = "payout_reconciliation.itemized.5") -> Path:
    """Let the provider make a report of everything."""
    interval: dict[str, Any] = {"interval_end": int(world.now.timestamp())}
    if kind.startswith("payout"):
        interval["interval_start"] = int((world.now - timedelta(days=60)).timestamp())
    made = control(
        world, "reports", report_type=kind, parameters=interval | {"columns": list(COLUMNS)}
    )
    answer = world.psp._http.get(made["result"]["url"], timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    path = folder / f"{kind}.csv"
    path.write_bytes(answer.content)
    return path


def counts(world: World, run_id: UUID) -> dict[str, Mapping[str, int]]:
    with world.engine.connect() as conn:
        return {step.step: step.counts for step in settlement.steps(conn, run_id)}


def states(world: World, customers: list[Subscriber]) -> set[str]:
    return {world.payment(customer).state for customer in customers}


def test_a_payout_report_settles_what_it_shows(world: World, tmp_path: Path) -> None:
    customers = paid_out(world)
    file = report(world, tmp_path)

    done = import_(world, file)

    assert (done.state, done.error) == ("succeeded", None)
    assert states(world, customers) == {"SETTLED"}
    assert world.entries("fee_settled") == 3
    assert [cycle.state for each in customers for cycle in world.cycles(each)] == ["closed"] * 3
    world.assert_everything_adds_up()


def test_what_was_not_paid_out_yet_is_in_the_report_of_the_ending_balance(
    world: World, tmp_path: Path
) -> None:
    customers = [world.subscribed("video-premium") for _ in range(2)]
    world.run_until("2026-01-02")

    import_(world, report(world, tmp_path, "ending_balance_reconciliation.itemized.4"))

    assert states(world, customers) == {"SETTLED"}
    world.assert_everything_adds_up()


HEAD = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
    "charge_id,payment_intent_id"
)


def major(cents: int) -> str:
    """Write an amount as reports do."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def disputed_in_parts(world: World, tmp_path: Path, back: int, fee: int) -> tuple[Path, Payment]:
    """A lost dispute over -31.00 and +0.50 that is in our books, and a report that shows it."""
    subscriber = world.subscribed("video-premium")
    world.run_until("2026-01-05")
    payment = world.payment(subscriber)
    amount = payment.amount_captured

    def moved(id_: str, amount: int, fee: int, category: str) -> dict[str, Any]:
        return {
            "id": id_, "object": "balance_transaction", "amount": amount, "fee": fee,
            "net": amount - fee, "currency": "usd", "type": "adjustment", "source": "dp_1",
            "reporting_category": category, "exchange_rate": None,
            "created": 1767300000, "available_on": 1767300000,
        }  # fmt: skip

    told = read_dispute({
        "id": "dp_1", "object": "dispute", "amount": amount, "currency": "usd",
        "charge": payment.provider_charge_id, "payment_intent": payment.provider_payment_id,
        "status": "lost", "reason": "fraudulent", "created": 1767300000,
        "balance_transactions": [
            moved("txn_1", -amount, 1500, "dispute"), moved("txn_2", 50, 0, "dispute_reversal"),
        ],
    })  # fmt: skip
    with world.engine.begin() as conn:
        dispute_updates.apply(conn, told, provider=world.provider, now=world.now)
    whose = f"{payment.provider_charge_id},{payment.provider_payment_id}"
    rows = [
        ("txn_c", amount, 0, "charge", payment.provider_charge_id),
        ("txn_1", -amount, fee, "dispute", "dp_1"),
        ("txn_2", back, 0, "dispute_reversal", "dp_1"),
    ]
    file = tmp_path / "report.csv"
    file.write_text(
        "\n".join([
            HEAD,
            *(
                f"{id_},2026-01-02,usd,{major(gross)},{major(fee)},{major(gross - fee)},"
                f"{category},{source},{whose}"
                for id_, gross, fee, category, source in rows
            ),
        ])
    )  # fmt: skip
    return file, payment


def test_a_part_of_a_dispute_agrees_when_its_own_entry_has_that_amount(
    world: World, tmp_path: Path
) -> None:
    file, payment = disputed_in_parts(world, tmp_path, 50, 1500)

    import_(world, file)

    assert world.breaks() == []
    assert payment_row(world, payment.id).state == "SETTLED"
    world.assert_books_balance()
    assert world.findings() == []


@pytest.mark.parametrize(
    ("back", "fee", "lacks"), [(60, 1500, "0.10 USD"), (50, 2000, "-5.00 USD")]
)
def test_what_a_break_of_a_dispute_lacks_is_counted_from_its_own_entry(
    world: World, tmp_path: Path, back: int, fee: int, lacks: str
) -> None:
    file, _ = disputed_in_parts(world, tmp_path, back, fee)
    before = balances(world)["psp_clearing"]

    import_(world, file)

    (found,) = world.breaks()
    assert found.kind == "dispute_mismatch"
    assert world.findings() == [], "the cycle stays open over its open break"
    with world.engine.begin() as conn:
        suggested = operator.preview(conn, found.id, None).suggested
    assert str(suggested) == lacks
    operator.resolve(
        world.engine, found.id, reason="the bank's", adjustment=suggested, now=world.now,
        actor=Actor(ActorKind.CLI, "ann"),
    )  # fmt: skip
    import_(world, file)
    assert balances(world)["psp_clearing"] == back - fee != before
    world.assert_books_balance()
    assert world.findings() == []


def test_the_same_file_again_changes_nothing(world: World, tmp_path: Path) -> None:
    paid_out(world)
    file = report(world, tmp_path)
    first = import_(world, file)

    again = import_(world, file)

    assert again == first
    assert world.entries("fee_settled") == 3


def test_a_report_after_the_providers_lists_brings_nothing_new(
    world: World, tmp_path: Path
) -> None:
    paid_out(world)
    world.close_books()

    done = import_(world, report(world, tmp_path))

    assert counts(world, done.run_id)["stage"] == {"new": 0, "read": 3}
    assert world.breaks() == []
    world.assert_everything_adds_up()


def test_a_report_that_differs_from_what_was_read_before_is_a_break(
    world: World, tmp_path: Path
) -> None:
    paid_out(world, 1)
    world.close_books()
    file = report(world, tmp_path)
    file.write_text(file.read_text().replace("0.88", "0.90").replace("19.11", "19.09"))

    import_(world, file)

    (found,) = world.breaks()
    assert found.kind == "report_mismatch"
    assert (found.ours["fee"], found.theirs["fee"]) == (88, 90)


@pytest.mark.parametrize(
    ("first", "then"),
    [("fee", "payout"), ("payout", "fee"), ("other_adjustment", "fee"), ("topup", "transfer")],
)
@pytest.mark.parametrize("files", [1, 2])
def test_a_transaction_of_another_category_than_before_is_a_break(
    world: World, tmp_path: Path, first: str, then: str, files: int
) -> None:
    world.jump_to("2026-01-05")
    rows = [f"txn_1,2026-01-02,usd,-5.00,0.00,-5.00,{each},,," for each in (first, then)]
    for n, lines in enumerate([rows] if files == 1 else [rows[:1], rows[1:]]):
        file = tmp_path / f"{n}.csv"
        file.write_text("\n".join([HEAD, *lines]))
        import_(world, file)
        import_(world, file)

    (found,) = [each for each in world.breaks() if each.kind == "report_mismatch"]
    assert {found.ours["category"], found.theirs["category"]} == {first, then}
    assert found.ours["amount"] == found.theirs["amount"] == -500
    world.assert_books_balance()


def test_two_words_of_the_provider_for_one_kind_are_no_contradiction(
    world: World, tmp_path: Path
) -> None:
    world.jump_to("2026-01-05")
    for word in ("fee", "stripe_fee"):
        file = tmp_path / f"{word}.csv"
        file.write_text(f"{HEAD}\ntxn_1,2026-01-02,usd,-5.00,0.00,-5.00,{word},,,")
        import_(world, file)

    assert world.breaks() == []
    assert world.entries("fee_settled") == 1


def test_a_row_that_was_decided_before_its_word_had_a_kind_contradicts_nothing(
    world: World, tmp_path: Path
) -> None:
    world.jump_to("2026-01-05")
    line = "txn_1,2026-01-02,usd,-5.00,0.00,-5.00,reserve_hold,,,"
    for name in ("first", "later"):
        file = tmp_path / f"{name}.csv"
        file.write_text(f"{HEAD},description\n{line},{name}")
        import_(world, file)
        with world.engine.begin() as conn:
            conn.execute(text("UPDATE settlement_rows SET kind = 'other'"))

    assert world.breaks() == []


@pytest.mark.parametrize("category", ["charge", "refund"])
def test_a_report_of_a_foreign_balance_has_to_say_what_customers_paid(
    world: World, tmp_path: Path, category: str
) -> None:
    subscriber = world.subscribed("video-premium")
    world.run_until("2026-01-05")
    payment = world.payment(subscriber)
    source = payment.provider_charge_id if category == "charge" else "re_1"
    whose = f"{source},{payment.provider_charge_id},{payment.provider_payment_id}"
    file = tmp_path / "report.csv"
    line = f"txn_c,2026-01-02,eur,17.40,0.80,16.60,{category},{whose}"
    file.write_text(f"{HEAD}\n{line}\n")

    done = import_(world, file)

    assert isinstance(done.error, MalformedReport)
    assert "doesn't say what was paid in USD" in done.error.what
    assert done.error.facts["columns"] == "customer_facing_amount and customer_facing_currency"
    assert (world.breaks(), staged(world)) == ([], 0)
    file.write_text(
        f"{HEAD},customer_facing_amount,customer_facing_currency\n"
        f"{line},{major(payment.amount_captured)},usd\n"
    )
    assert import_(world, file).error is None


def payouts_report(folder: Path, status: str, *rows: str, name: str = "payouts.csv") -> Path:
    file = folder / name
    lines = rows or ("-60.00,payout,txn_po",)
    file.write_text(
        "payout_id,effective_at_utc,currency,fee,payout_status,gross,reporting_category,"
        "balance_transaction_id,net\n"
        + "".join(
            f"po_1,2026-01-03 00:00:00,usd,0.00,{status},{row},{row.partition(',')[0]}\n"
            for row in lines
        )
    )
    return file


def test_a_report_of_payouts_books_what_left_and_what_arrived(world: World, tmp_path: Path) -> None:
    world.jump_to("2026-01-05")

    import_(world, payouts_report(tmp_path, "in_transit"))
    assert balances(world) == {"payout_transit": 6000, "psp_clearing": -6000}
    import_(world, payouts_report(tmp_path, "paid", name="later.csv"))
    assert balances(world) == {"bank": 6000, "psp_clearing": -6000}
    import_(world, payouts_report(tmp_path, "in_transit", "-60.00,payout,txn_po", name="old.csv"))

    assert balances(world) == {"bank": 6000, "psp_clearing": -6000}
    assert world.breaks() == []
    world.assert_books_balance()


def test_a_report_of_payouts_books_one_that_came_back(world: World, tmp_path: Path) -> None:
    world.jump_to("2026-01-05")
    import_(world, payouts_report(tmp_path, "paid"))

    import_(
        world,
        payouts_report(
            tmp_path, "failed", "-60.00,payout,txn_po", "60.00,payout_reversal,txn_back",
            name="back.csv",
        ),
    )  # fmt: skip

    assert balances(world) == {}
    assert world.breaks() == []
    world.assert_books_balance()
    import_(world, payouts_report(tmp_path, "paid", "-60.00,payout,txn_po", name="again.csv"))
    assert balances(world) == {}, "what failed stays so, whatever an older report says"


def moved(folder: Path, *rows: str, name: str = "moved.csv", first: int = 0) -> Path:
    """A report of movements that are about no customer."""
    file = folder / name
    file.write_text(
        f"{HEAD}\n"
        + "".join(
            f"txn_{n},2026-01-02,usd,{gross},{fee},{net},{category},,,\n"
            for n, (gross, fee, net, category) in enumerate((row.split(",") for row in rows), first)
        )
    )
    return file


OF_OURS = {
    "risk_reserved_funds": "psp_reserves",
    "reserve_transaction": "psp_reserves",
    "reserve_hold": "psp_reserves",
    "payout_minimum_balance_hold": "psp_reserves",
    "contribution": "contributions",
    "climate_order_purchase": "contributions",
}


@pytest.mark.parametrize(("category", "account"), OF_OURS.items())
def test_what_the_provider_holds_back_or_passes_on_has_an_account_of_its_own(
    world: World, tmp_path: Path, category: str, account: str
) -> None:
    world.jump_to("2026-01-05")

    import_(world, moved(tmp_path, f"-5.00,0.00,-5.00,{category}"))
    import_(world, moved(tmp_path, f"-5.00,0.00,-5.00,{category}", name="again.csv"))

    assert balances(world) == {account: 500, "psp_clearing": -500}
    assert world.breaks() == []
    world.assert_books_balance()
    assert world.findings() == []


@pytest.mark.parametrize(
    ("hold", "release"),
    [
        ("reserve_hold", "reserve_release"),
        ("risk_reserved_funds", "risk_reserved_funds"),
        ("payout_minimum_balance_hold", "payout_minimum_balance_release"),
    ],
)
def test_what_is_released_is_held_back_no_more_and_its_fee_is_a_cost(
    world: World, tmp_path: Path, hold: str, release: str
) -> None:
    world.jump_to("2026-01-05")

    import_(world, moved(tmp_path, f"-5.00,0.30,-5.30,{hold}", f"5.00,0.00,5.00,{release}"))

    assert balances(world) == {"psp_fees": 30, "psp_clearing": -30}
    assert world.breaks() == []
    assert world.findings() == []


def test_a_rule_names_the_account_of_what_the_engine_does_not_know(
    world: World, tmp_path: Path
) -> None:
    world.jump_to("2026-01-05")
    file = moved(tmp_path, "50.00,0.00,50.00,topup", "-7.00,0.00,-7.00,transfer")
    import_(world, file)
    assert len(world.breaks()) == 2
    with_rule = replace(
        offline(world),
        policy=replace(world.runtime.context.policy, movement_accounts={"topup": "bank"}),
    )

    run_id = begun(world, moved(tmp_path, "-1.00,0.00,-1.00,fee", name="next.csv", first=2))
    runs.work(run_id, with_rule, report=of_provider(tmp_path / "next.csv"))

    assert balances(world)["bank"] == -5000
    (left,) = world.breaks()
    assert left.theirs["category"] == "transfer"
    world.assert_books_balance()
    assert world.findings() == []


def test_a_movement_whose_rule_is_gone_before_it_is_posted_holds_up_no_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.jump_to("2026-01-05")
    file = moved(tmp_path, "50.00,0.00,50.00,topup", "-1.00,0.00,-1.00,fee")
    ruled = replace(world.runtime.context.policy, movement_accounts={"topup": "bank"})
    run_id = begun(world, file)
    with monkeypatch.context() as dying:
        dying.setattr("billing.flows.settlement.posting._post_next", die)
        with pytest.raises(Killed):
            runs.work(run_id, replace(offline(world), policy=ruled), report=of_provider(file))
    world.wait(timedelta(hours=1))

    runs.work(run_id, offline(world), report=of_provider(file))
    assert balances(world) == {"psp_fees": 100, "psp_clearing": -100}
    import_(world, moved(tmp_path, "-2.00,0.00,-2.00,fee", name="next.csv", first=2))

    assert [row.theirs["category"] for row in world.breaks()] == ["topup"]
    assert world.findings() == []


def test_a_malformed_row_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    customers = paid_out(world)
    file = report(world, tmp_path)
    lines = file.read_text().splitlines()
    lines[3] = lines[3].replace("19.99", "19.999")
    file.write_text("\n".join(lines) + "\n")

    done = import_(world, file)

    assert done.error is not None
    assert f"{file}:4, column gross" in str(done.error)
    assert staged(world) == 0
    assert states(world, customers) == {"CAPTURED"}


def staged(world: World) -> int:
    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT count(*) FROM settlement_rows"))
        return int(rows.scalar_one())


def test_an_import_that_was_killed_goes_on_when_the_file_is_imported_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = paid_out(world)
    file = report(world, tmp_path)

    with monkeypatch.context() as killed:
        killed.setattr(staging, "merge_staging", die)
        with pytest.raises(Killed):
            import_(world, file)
    assert staged(world) == 0
    world.wait(world.policy.reconciler_lease)
    (run,) = runs.work_on_account(
        offline(world).at_provider(world.provider), every=timedelta(days=1)
    )[:1]
    assert run.state == "running", "only who has the file can read it"

    assert import_(world, file).state == "succeeded"
    assert states(world, customers) == {"SETTLED"}


def test_the_reconciler_goes_on_with_an_import_whose_rows_are_staged(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.flows.settlement import matching

    customers = paid_out(world)
    file = report(world, tmp_path)

    with monkeypatch.context() as killed:
        killed.setattr(matching, "_judge_next", die)
        with pytest.raises(Killed):
            import_(world, file)
    world.wait(world.policy.reconciler_lease)

    world.close_books()

    assert states(world, customers) == {"SETTLED"}
    with world.engine.connect() as conn:
        assert {row.state for row in settlement.runs(conn)} == {"succeeded"}


@pytest.mark.parametrize("complete", [True, False])
def test_what_a_complete_report_lacks_is_missing(
    world: World, tmp_path: Path, complete: bool
) -> None:
    customers = paid_out(world)
    file = report(world, tmp_path)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")

    import_(world, file, complete=complete)

    assert [row.kind for row in world.breaks()] == ["missing_at_provider"] * complete
    world.close_books()
    assert world.breaks() == [], "the provider's own list shows it"
    assert states(world, customers) == {"SETTLED"}


def test_a_file_may_be_called_complete_after_it_was_imported(world: World, tmp_path: Path) -> None:
    paid_out(world)
    file = report(world, tmp_path)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")
    first = import_(world, file)
    assert world.breaks() == []

    done = import_(world, file, complete=True)

    assert (done.state, done.run_id != first.run_id) == ("succeeded", True)
    assert [row.kind for row in world.breaks()] == ["missing_at_provider"]
    assert import_(world, file, complete=True) == done


def test_a_report_with_an_exchange_keeps_the_rate_its_amounts_imply(
    world: World, tmp_path: Path
) -> None:
    control(
        world,
        "settings",
        settlement_currency={"usd": "eur"},
        exchange_rates={"usd:eur": "0.8731"},
    )
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-02")

    import_(world, report(world, tmp_path, "ending_balance_reconciliation.itemized.4"))

    with world.engine.connect() as conn:
        (event,) = exchanges.of_payment(conn, world.payment(customer).id)
    assert (event.from_amount, event.to_amount, event.to_currency) == (1999, 1745, "EUR")
    assert str(event.rate) == "0.872936468234"
    assert event.source.endswith("from its amounts")
    assert world.payment(customer).state == "SETTLED"


def test_the_file_of_a_run_is_the_one_it_was_begun_with(world: World, tmp_path: Path) -> None:
    paid_out(world, 1)
    file = report(world, tmp_path)
    run_id = begun(world, file)
    file.write_text(file.read_text() + "\n")

    done = runs.work(run_id, offline(world), report=of_provider(file))

    assert done.error is not None
    assert "not the one" in str(done.error)


def test_what_is_no_report_is_refused_before_anything_is_written(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "letter.csv"
    file.write_text("Dear customer\n")

    with pytest.raises(MalformedReport, match="lacks the column"):
        begun(world, file)
    with world.engine.connect() as conn:
        assert settlement.runs(conn) == []


def without(file: Path, *columns: str) -> Path:
    """Return a copy of a report that lacks some columns."""
    with file.open(newline="") as read:
        rows = list(csv.DictReader(read))
    copy = file.with_name("less.csv")
    kept = [name for name in rows[0] if name not in columns]
    with copy.open("w", newline="") as written:
        writer = csv.DictWriter(written, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return copy


def test_what_a_report_left_out_is_learned_from_the_providers_lists(
    world: World, tmp_path: Path
) -> None:
    customers = paid_out(world)
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE payments SET provider_charge_id = NULL"))
    import_(world, without(report(world, tmp_path), "payment_intent_id"))
    assert {row.kind for row in world.breaks()} == {"unknown_at_provider"}

    world.close_books()

    assert states(world, customers) == {"SETTLED"}
    assert world.breaks() == []
    world.assert_everything_adds_up()


def test_a_payout_that_came_back_is_known_though_a_later_one_carries_it(
    world: World, tmp_path: Path
) -> None:
    paid_out(world, 1)
    world.close_books()
    (first,) = payouts(world)
    control(world, f"payouts/{first}", status="failed")
    file = tmp_path / "report.csv"
    came_back = {row.category: row for row in transactions(world)}["payout_reversal"]
    file.write_text(
        "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
        "automatic_payout_id\n"
        f"{came_back.id},2026-01-12 00:00:00,usd,19.11,0.00,19.11,payout_reversal,{first},"
        "po_later\n"
    )

    import_(world, file)

    assert world.entries("payout_failed") == 1
    with world.engine.connect() as conn:
        assert reads.entry_by_source_key(conn, f"payout_failed:{first}") is not None
    world.assert_everything_adds_up()


def transactions(world: World) -> list[BalanceTransaction]:
    pages = world.gateway.list_balance_transactions(since=None)
    return [row for page in pages for row in page]


def payouts(world: World) -> list[str]:
    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT provider_payout_id FROM payouts"))
        return [row.provider_payout_id for row in rows]


def test_overlapping_reports_with_their_rows_in_any_order_bring_everything_once(
    world: World, tmp_path: Path
) -> None:
    customers = paid_out(world)
    file = report(world, tmp_path)
    header, *rows = file.read_text().splitlines()
    entries = []
    for n, chosen in enumerate(([2, 0], [1, 2, 2], [0, 1, 2])):
        part = tmp_path / f"part{n}.csv"
        part.write_text("\r\n".join([header, *(rows[row] for row in chosen)]))
        assert import_(world, part).error is None
        entries.append(world.entries("fee_settled"))

    assert entries == [2, 3, 3]
    assert states(world, customers) == {"SETTLED"}
    world.assert_everything_adds_up()


def test_two_reports_and_the_providers_lists_at_once_bring_everything_once(
    world: World, tmp_path: Path
) -> None:
    customers = paid_out(world, 12)
    world.psp.take_money(700)
    paid_out_file = report(world, tmp_path)
    rest = report(world, tmp_path, "ending_balance_reconciliation.itemized.4")
    backwards = tmp_path / "backwards.csv"
    header, *rows = paid_out_file.read_text().splitlines()
    backwards.write_text("\n".join([header, *reversed(rows)]))

    read_before = _ReadBefore(world)

    def from_lists() -> runs.Worked:
        run_id = runs.begin(world.engine, world.provider, now=world.now)
        assert run_id is not None
        return runs.work(
            run_id, replace(offline(world), gateways=only_account(cast("Gateway", read_before)))
        )

    works = [
        *[lambda file=file: import_(world, file) for file in (paid_out_file, backwards, rest)],
        from_lists,
        from_lists,
    ]
    with ThreadPoolExecutor(len(works)) as together:
        done = [running.result(120) for running in [together.submit(work) for work in works]]

    assert {each.error for each in done} == {None}, [each.error for each in done]
    assert world.entries("fee_settled") == 12
    assert states(world, customers) == {"SETTLED"}
    assert [row.kind for row in world.breaks()] == ["unknown_at_provider"]
    world.close_books()
    world.assert_promises_hold()


class _ReadBefore:
    """The provider as it was read once: it answers at once, however many ask."""

    def __init__(self, world: World) -> None:
        since = world.now - timedelta(days=60)
        self._transactions = transactions(world)
        self._payouts = [
            payout for page in world.gateway.list_payouts(since=since) for payout in page
        ]
        self._balance = world.gateway.balance()
        self.capabilities = world.gateway.capabilities

    def list_balance_transactions(self, **given: Any) -> Any:
        yield self._transactions

    def list_payouts(self, **given: Any) -> Any:
        yield self._payouts

    def balance(self) -> Any:
        return self._balance
