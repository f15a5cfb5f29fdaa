"""Commands that change something: what they ask, what they say, what they leave alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from billing.flows.cycles import opening
from billing.flows.payments import collecting
from tests.cli.world import CATALOG, DAY, START, World, do_what_is_due, me

LASTING = [
    ("subscriptions", "cancel", "bob-sub", "--now"),
    ("subscriptions", "cancel", "bob-sub", "--at-period-end"),
    ("charges", "retry", "PAYMENT"),
    ("clock", "advance", "2d"),
    ("plans", "apply"),
]


@pytest.fixture
def ready(declined: World) -> World:
    """A declined payment, and a catalog with something new in it."""
    more = CATALOG.replace("video-", "audio-").replace("Video", "Audio")
    (declined.folder / "catalog" / "audio.toml").write_text(more)
    return declined


def filled(world: World, args: tuple[str, ...]) -> list[str]:
    payment = world.json("charges", "list")[0]["id"]
    return [payment if arg == "PAYMENT" else arg for arg in args]


def picture(world: World) -> list[object]:
    """Return what a command that does nothing must leave as it is."""
    return [
        world.json("subscriptions", "show", "bob-sub"),
        world.json("charges", "list"),
        world.json("plans", "show"),
        world.json("clock", "show")["now"],
    ]


@pytest.mark.parametrize("args", LASTING, ids=" ".join)
def test_a_dry_run_changes_nothing(args: tuple[str, ...], ready: World) -> None:
    before = picture(ready)

    done = ready.json(*filled(ready, args), "--dry-run")

    assert done["dry_run"] is True
    assert picture(ready) == before


@pytest.mark.parametrize("args", LASTING, ids=" ".join)
def test_without_a_terminal_nothing_is_done_unless_yes_is_said(
    args: tuple[str, ...], ready: World
) -> None:
    before = picture(ready)

    result = ready.run(*filled(ready, args))

    assert result.exit_code == 2
    assert "remedy: add --yes to go ahead, or --dry-run" in result.stderr
    assert result.stdout == ""
    assert picture(ready) == before


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_a_no_changes_nothing(answer: str, ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.cli.options.has_terminal", lambda: True)
    before = picture(ready)

    result = ready.run("subscriptions", "cancel", "bob-sub", "--now", input=answer)

    assert result.exit_code == 1
    assert "nothing was changed" in result.stderr
    assert result.stdout == ""
    assert picture(ready) == before


def test_a_yes_is_enough(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.cli.options.has_terminal", lambda: True)

    result = ready.run("subscriptions", "cancel", "bob-sub", "--now", input="y\n")

    assert result.exit_code == 0
    assert "void 1 invoice(s)" in result.stderr
    assert ready.json("subscriptions", "show", "bob-sub")["status"] == "canceled"


def test_canceling_needs_to_know_when(ready: World) -> None:
    result = ready.run("subscriptions", "cancel", "bob-sub")

    assert result.exit_code == 2
    assert "--now or --at-period-end" in result.stderr


def test_canceling_twice_is_refused_before_anything_is_asked(ready: World) -> None:
    cancel = ("subscriptions", "cancel", "bob-sub", "--now", "--reason", "moved away")
    assert ready.json(*cancel, "--yes")["action"] == "cancel"

    again = ready.run(*cancel)

    assert again.exit_code == 2
    assert "canceled already" in again.stderr
    last = ready.lines("subscriptions", "timeline", "bob-sub")[-1]
    assert (last["kind"], last["actor"]) == ("canceled", me())
    assert "moved away" in last["what"]


def test_a_pause_is_taken_back(ready: World) -> None:
    paused = ready.json("subscriptions", "pause", "bob-sub", "--reason", "holiday")
    status = ready.json("subscriptions", "show", "bob-sub")["status"]
    resumed = ready.json("subscriptions", "resume", "bob-sub", "--reason", "back")

    assert (paused["action"], status, resumed["action"]) == ("pause", "paused", "resume")
    assert ready.json("subscriptions", "show", "bob-sub")["status"] == "past_due"
    assert ready.run("subscriptions", "resume", "bob-sub").exit_code == 2


def test_a_retry_is_made_now_and_uses_no_rung(ready: World) -> None:
    payment = ready.json("charges", "list")[0]

    done = ready.json("charges", "retry", payment["id"], "--yes", "--reason", "they called")

    after = ready.json("charges", "show", payment["id"])
    assert done["payment_id"] == payment["id"]
    assert after["next_attempt_kind"] == "manual"
    assert after["rung"] == payment["rung"] - 1
    assert after["decision"] == f"retried by {me()}: they called"


def test_what_is_paid_is_not_retried(paid: World) -> None:
    payment = paid.json("charges", "list")[0]["id"]

    result = paid.run("charges", "retry", payment, "--yes")

    assert result.exit_code == 2
    assert "nothing to retry" in result.stderr


def test_plans_are_published_once(ready: World) -> None:
    diff = ready.json("plans", "diff")
    applied = ready.json("plans", "apply", "--yes")

    assert {(change["kind"], change["plan"]) for change in diff} >= {("new_plan", "audio-basic")}
    assert applied["changes"] == diff
    assert ready.json("plans", "diff") == []
    assert ready.json("plans", "apply")["changes"] == []


def test_a_published_version_can_t_be_changed(ready: World) -> None:
    file = ready.folder / "catalog" / "video.toml"
    file.write_text(file.read_text().replace('"9.99"', '"10.99"'))

    diff = ready.run("plans", "diff", "-o", "json")
    apply = ready.run("plans", "apply", "--yes")

    assert diff.exit_code == 3
    assert "changed_terms" in diff.stdout
    assert apply.exit_code == 2
    assert "published versions can't change" in apply.stderr
    assert "prices: " in apply.stderr


def test_a_version_that_moves_subscriptions_says_what_it_moves(paid: World) -> None:
    file = paid.folder / "catalog" / "video.toml"
    version = """
  [[plan.version]]
  effective = 2026-06-01
  existing = "move"
  price = { USD = "12.99", EUR = "11.99" }

[[plan]]
code = "video-trial\""""
    file.write_text(file.read_text().replace('\n[[plan]]\ncode = "video-trial"', version))

    (change,) = paid.json("plans", "diff")

    assert change["effects"] == [
        {"currency": "USD", "subscriptions": 1, "before": 999, "after": 1299}
    ]
    assert "1 subscription(s) from 9.99 USD to 12.99 USD" in paid.run("plans", "diff").stdout


def test_a_subscription_starts_in_its_own_zone_without_a_trial(world: World) -> None:
    world.run(
        "customers", "create", "--name", "Ada", "--external-id", "ada",
        "--payment-method", "pm_card_visa",
    )  # fmt: skip

    made = world.json(
        "subscriptions", "create", "ada", "video-trial", "--zone", "Asia/Tokyo", "--no-trial",
        "--starts", "2026-03-01", "--quantity", "3",
    )  # fmt: skip

    assert made["currency"] == "USD", "the plan is sold in one currency only"
    assert (made["status"], made["quantity"]) == ("scheduled", 3)
    assert made["anchor_local"] == "2026-03-01T00:00:00"
    assert made["renews_at"] == "2026-02-28T15:00:00Z"


def test_a_subscription_that_was_billed_elsewhere_is_taken_over(paid: World) -> None:
    order = (
        "subscriptions",
        "create",
        "ada",
        "video-trial",
        "--no-trial",
        "--starts",
        "2020-01-15",
    )

    refused = paid.run(*order)
    made = paid.json(*order, "--import")

    assert (refused.exit_code, "taken over with --import" in refused.stderr) == (2, True)
    assert made["status"] == "active"
    assert {cycle["kind"] for cycle in made["recent_cycles"]} == {"skipped"}
    assert made["renews_at"] > "2026-01-01"


def test_subscriptions_are_re_anchored_one_by_one_by_zone_or_all(paid: World) -> None:
    for which in ((), ("--zone", "UTC", "--all")):
        refused = paid.run("subscriptions", "re-anchor", *which, "--yes")
        assert (refused.exit_code, "say which" in refused.stderr) == (2, True)

    shown = paid.run("subscriptions", "re-anchor", "--all", "--dry-run")
    done = paid.run("subscriptions", "re-anchor", "--zone", "UTC", "--yes")

    assert (shown.exit_code, done.exit_code) == (0, 0)
    assert "0 subscription(s) would be re-anchored" in shown.stderr
    assert "0 subscription(s) re-anchored" in done.stderr


@pytest.mark.parametrize("zone", ["localtime", "Factory", "posixrules", "posix/UTC", "right/UTC"])
def test_a_zone_that_differs_between_machines_is_refused(paid: World, zone: str) -> None:
    refused = paid.run("subscriptions", "create", "ada", "video-trial", "--zone", zone)

    assert refused.exit_code == 2
    assert "on every machine" in refused.stderr or "not an IANA time zone" in refused.stderr


@pytest.mark.parametrize("starts", ["9999-12-15", "2101-01-01", "1999-12-31", "0001-01-01"])
def test_a_start_beyond_the_calendar_is_bad_input(paid: World, starts: str) -> None:
    refused = paid.run("subscriptions", "create", "ada", "video-trial", "--starts", starts)

    assert refused.exit_code == 2
    assert "from 2000 to 2100" in refused.stderr


def test_a_plan_of_several_currencies_asks_for_one(paid: World) -> None:
    result = paid.run("subscribe", "ada", "video-basic")

    assert result.exit_code == 2
    assert "EUR, USD" in result.stderr


@pytest.fixture
def parked(paid: World) -> World:
    """A subscription that was parked three periods ago."""
    from billing.flows.cycles import opening
    from billing.flows.cycles.deciding import CannotOpen
    from billing.rules.subscriptions import ParkedReason
    from billing.store.subscriptions import subscriptions

    runtime = paid.runtime()
    with runtime.engine.begin() as conn:
        found = subscriptions.find(conn, "ada-sub")
        assert found is not None
        why = CannotOpen(ParkedReason.ERROR, "ValueError: no such thing")
        opening.park(conn, found, START, why)
    runtime.close()
    paid.at(START + 100 * DAY)
    return paid


def test_what_is_parked_is_listed_with_its_error(parked: World) -> None:
    (listed,) = parked.json("parked", "list")

    assert (listed["kind"], listed["reason"]) == ("subscription", "error")
    assert parked.json("parked", "show", "ada-sub")["error"] == "ValueError: no such thing"
    assert parked.json("parked", "list", "--kind", "payment") == []
    assert parked.json("parked", "list", "--reason", "other") == []
    assert parked.json("subscriptions", "list", "--parked")[0]["id"] == listed["id"]


@pytest.mark.parametrize(
    ("option", "promised", "kinds"),
    [
        ("--bill", "bill 3 period(s) now", ["regular", "regular", "regular", "regular"]),
        ("--skip", "pass over 2 missed period(s)", ["regular", "skipped", "skipped"]),
    ],
)
def test_releasing_bills_or_skips_as_it_promised(
    option: str, promised: str, kinds: list[str], parked: World
) -> None:
    dry = parked.run("parked", "release", "ada-sub", option, "--dry-run")
    refused = parked.run("parked", "release", "ada-sub", option)
    done = parked.json("parked", "release", "ada-sub", option, "--yes")

    cycles = parked.json("subscriptions", "show", "ada-sub")["recent_cycles"]
    assert promised in dry.stdout
    assert refused.exit_code == 2
    assert done["kind"] == "subscription"
    assert [cycle["kind"] for cycle in reversed(cycles)] == kinds
    assert parked.json("parked", "list") == []
    assert parked.run("parked", "release", "ada-sub", "--yes").exit_code == 2


def test_releasing_what_is_to_end_bills_the_periods_that_begin_before_its_end(
    parked: World,
) -> None:
    parked.run("subscriptions", "cancel", "ada-sub", "--at-period-end", "--reason", "x", "--yes")

    preview = parked.run("parked", "release", "ada-sub", "--bill", "--dry-run")
    done = parked.run("parked", "release", "ada-sub", "--bill", "--yes")

    assert "bill 3 period(s) now" in preview.stdout
    assert done.exit_code == 0
    assert len(parked.json("subscriptions", "show", "ada-sub")["recent_cycles"]) == 4


def test_a_parked_payment_is_tried_again(declined: World) -> None:
    from billing.store.payments import payments

    payment = declined.json("charges", "list")[0]
    runtime = declined.runtime()
    with runtime.engine.begin() as conn:
        payments.change(
            conn, payment["id"], START, parked_at=START, parked_reason="rejected", parked_error="x"
        )
    runtime.close()

    assert declined.json("charges", "list", "--parked")[0]["id"] == payment["id"]
    assert declined.run("parked", "release", payment["id"], "--bill", "--yes").exit_code == 2
    done = declined.json("parked", "release", payment["invoice_number"], "--yes")

    assert (done["kind"], done["id"]) == ("payment", payment["id"])
    assert declined.json("charges", "show", payment["id"])["next_attempt_kind"] == "manual"


@contextmanager
def daemons(world: World) -> Iterator[None]:
    """Do what is due, again and again, as a scheduler and a worker would."""
    stop = threading.Event()
    runtime = world.runtime()

    def work() -> None:
        while not stop.wait(0.01):
            do_what_is_due(runtime)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        runtime.close()


def test_the_clock_goes_through_everything_that_comes_due(paid: World) -> None:
    with daemons(paid):
        moved = paid.json("clock", "advance", "3mo", "--yes")

    assert (moved["from"], moved["to"]) == ("2026-01-31T09:00:00Z", "2026-04-30T09:00:00Z")
    assert paid.json("clock", "show")["now"] == "2026-04-30T09:00:00Z"
    assert paid.json("clock", "show")["source"] == "test clock"
    starts = [
        cycle["period_start"]
        for cycle in paid.json("subscriptions", "show", "ada-sub")["recent_cycles"]
    ]
    assert starts == [
        "2026-04-30T09:00:00Z",
        "2026-03-31T09:00:00Z",
        "2026-02-28T09:00:00Z",
        "2026-01-31T09:00:00Z",
    ]
    states = [payment["state"] for payment in paid.json("charges", "list")]
    assert len(states) == 4
    assert set(states) <= {"CAPTURED", "SETTLED"}


def test_the_clock_stops_when_nobody_does_what_is_due(
    paid: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.workers.up import advance

    monkeypatch.setattr(advance, "PATIENCE", -timedelta(minutes=2))
    monkeypatch.setattr(advance, "TELL_EVERY_SECONDS", 0.0)

    result = paid.run("clock", "advance", "3mo", "--yes")

    assert result.exit_code == 4
    assert "billing up" in result.stderr
    assert "1 renewal(s)" in result.stderr


def test_the_clock_waits_for_a_lease_and_says_so(
    paid: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker died with the charge in its hands: its lease is two minutes, which is no failure."""
    from billing.workers.up import advance

    runtime = paid.runtime()
    due = datetime(2026, 2, 28, 9, tzinfo=UTC)
    try:
        monkeypatch.setattr(advance, "PATIENCE", timedelta(0))
        monkeypatch.setattr(advance, "TELL_EVERY_SECONDS", 0.0)
        controls, others = advance.controls_of(runtime)
        assert others == []
        advance.set_clock(runtime, controls, due)
        context = runtime.context.at_one_instant()
        opening.open_due_cycles(runtime.engine, now=due, limit=10, policy=runtime.policy)
        (payment_id,) = collecting.dispatch_due(context, limit=10)
        sending = collecting.begin(context, payment_id)
        assert sending is not None
        passed, told = iter(range(0, 100_000, 30)), list[str]()

        def tell(words: str) -> None:
            told.append(words)
            if len(told) == 3:  # a minute and a half later the worker is there after all
                collecting.finish(context, sending, collecting.attempt(context, sending))

        monkeypatch.setattr(
            advance,
            "time",
            SimpleNamespace(monotonic=lambda: float(next(passed)), sleep=lambda _: None),
        )

        advance.wait_until_done(runtime, due, tell)

        assert "1 attempt(s); 1 of them may be in the hands of a worker" in told[0]
        assert len(told) == 3
    finally:
        runtime.close()


def test_another_server_keeps_its_clock_and_ours_moves(world: World) -> None:
    """A fake of Stripe that isn't ours answers 401 to what it doesn't know."""
    with another_fake() as url:
        result = world.run(
            "clock", "advance", "1d", "--yes", BILLING__PROVIDERS__STRIPE__API_BASE=url
        )

    assert result.exit_code == 0, result.output
    assert "account stripe" in result.stderr
    assert "its clock stays" in result.stderr
    assert world.json("clock", "show")["now"] == "2026-02-01T09:00:00Z"


@contextmanager
def another_fake() -> Iterator[str]:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815  as the library names it

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "how far"),
        (("3mo", "--to", "2027-01-01"), "how far"),
        (("3 moons",), "length of time"),
        (("--to", "2026-01-01"), "only goes forward"),
        (("0s",), "only goes forward"),
        (("9999y",), "too far"),
        (("1m",), "minutes or months"),
        (("12 m",), "minutes or months"),
        (("1d", "--step", "1m"), "minutes or months"),
    ],
)
def test_a_clock_is_moved_forward_by_a_length_of_time(
    args: tuple[str, ...], words: str, world: World
) -> None:
    result = world.run("clock", "advance", *args, "--yes")

    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("args", "to"),
    [
        (("36h",), "2026-02-01T21:00:00Z"),
        (("2w",), "2026-02-14T09:00:00Z"),
        (("1mo",), "2026-02-28T09:00:00Z"),
        (("--to", "2026-03-01"), "2026-03-01T00:00:00Z"),
    ],
)
def test_how_far_the_clock_goes(args: tuple[str, ...], to: str, world: World) -> None:
    assert world.json("clock", "advance", *args, "--dry-run")["to"] == to


def test_a_live_engine_has_no_clock_to_move(world: World) -> None:
    live = {
        "BILLING__MODE": "live",
        "BILLING__PROVIDERS__STRIPE__API_BASE": "",
        "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_live_of_nobody",
    }

    result = world.run("clock", "advance", "1d", "--yes", **live)

    assert result.exit_code == 2
    assert "only a sandbox" in result.stderr
    shown = world.json("clock", "show", **live)
    assert shown["source"] == "system"
    assert datetime.fromisoformat(shown["now"]) > datetime(2026, 2, 1, tzinfo=UTC)


def test_the_folder_is_left_as_it_was(paid: World, tmp_path: Path) -> None:
    assert sorted(file.name for file in tmp_path.iterdir()) == ["catalog", "config.toml"]


def test_a_changed_price_is_money_and_a_change_is_told_once(paid: World) -> None:
    file = paid.folder / "catalog" / "video.toml"
    file.write_text(
        file.read_text()
        .replace('USD = "9.99", EUR = "8.99"', 'USD = "10.99", JPY = "1200"')
        .replace('retry_after = ["3d", "5d"]', 'retry_after = ["3d"]')
    )

    diff = paid.run("plans", "diff", "-o", "json")
    words = {change["words"] for change in json.loads(diff.stdout)}

    assert "prices: 8.99 EUR is gone, 1200 JPY is new, 9.99 USD -> 10.99 USD" in words
    assert "dunning: 3 days, 5 days, then unpaid -> 3 days, then unpaid" in words


@pytest.mark.parametrize("yes", [True, False])
def test_what_is_published_is_told_once(
    ready: World, yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.cli.options.has_terminal", lambda: True)
    args = ("plans", "apply", "--yes") if yes else ("plans", "apply")

    said = ready.run(*args, input=None if yes else "y\n")

    assert said.exit_code == 0
    assert (said.stdout + said.stderr).count("new plan 'Audio Basic'") == 1
