"""Events on the command line: which there are, what came of them, once more by hand."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from billing.flows.webhooks import handling, inbox
from tests import processes
from tests.cli.test_process import COMMAND, environment
from tests.cli.world import World
from tests.waiting import PATIENCE


def handle(world: World) -> None:
    """Read the provider's list, and handle what is due."""
    receive(world)
    runtime = world.runtime()
    try:
        while handling.handle_due(runtime.context):
            pass
    finally:
        runtime.close()


def receive(world: World) -> None:
    """Read the provider's list."""
    runtime = world.runtime()
    try:
        now, wall = runtime.clock.now(), runtime.clock.wall()
        inbox.sweep(
            runtime.engine,
            "stripe",
            runtime.gateway,
            watermark=None,
            complete=True,
            now=now,
            wall=wall,
        )
    finally:
        runtime.close()


@pytest.fixture
def handled(paid: World) -> World:
    """One customer who paid, all of whose events were handled."""
    handle(paid)
    return paid


def test_events_are_listed_with_what_came_of_them(handled: World) -> None:
    listed = handled.json("webhooks", "list", "--type", "payment_intent.succeeded")

    (event,) = listed
    assert event["words"] == "booked already"
    assert (event["handling"], event["source"], event["last_error"]) == (
        "already_booked",
        "sweep",
        None,
    )
    assert handled.json("webhooks", "show", event["event_id"]) == event
    kind = handled.json("webhooks", "list", "--kind", "payment_succeeded")
    assert kind == listed
    about = handled.json("webhooks", "list", "--object", event["object_id"])
    assert event in about
    assert handled.json("webhooks", "list", "--unhandled") == []


def test_a_long_list_is_read_page_by_page(handled: World) -> None:
    every = handled.json("webhooks", "list")
    first = handled.json("webhooks", "list", "--limit", "2")

    rest = handled.json("webhooks", "list", "--after", first[-1]["event_id"])

    assert first + rest == every
    assert (
        f"more: --after {first[-1]['event_id']}"
        in handled.run("webhooks", "list", "--limit", "2").stderr
    )


def test_a_replay_says_what_came_of_it_and_changes_nothing_that_is_right(handled: World) -> None:
    before = handled.json("ledger", "trial-balance")
    (event,) = handled.json("webhooks", "list", "--type", "payment_intent.succeeded")

    (dry,) = handled.json("webhooks", "replay", event["event_id"], "--dry-run")
    (done,) = handled.json("webhooks", "replay", event["event_id"])

    assert (dry["dry_run"], dry["words"]) == (
        True,
        "would be handled again; so far: booked already",
    )
    assert (done["dry_run"], done["failed"], done["words"]) == (False, False, "booked already")
    assert handled.json("ledger", "trial-balance") == before
    (line,) = handled.json("audit", "list")
    assert (line["action"], line["subject"]) == ("webhook.replay", event["event_id"])


def test_a_replay_since_a_day_finds_what_never_reached_us(paid: World) -> None:
    dry = paid.run("webhooks", "replay", "--since", "2026-01-01", "--dry-run", "-o", "json")
    assert dry.exit_code == 0
    assert not dry.stderr.startswith("0 event(s)")
    assert paid.json("webhooks", "list") == []

    paid.json("webhooks", "replay", "--since", "2026-01-01")

    listed = paid.json("webhooks", "list")
    assert {event["source"] for event in listed} == {"replay"}
    again = paid.run("webhooks", "replay", "--since", "2026-01-01", "-o", "json")
    assert again.stderr.startswith("0 event(s) had not reached us")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "evt_none"), "no event 'evt_none'"),
        (("replay", "evt_none"), "no event 'evt_none'"),
        (("list", "--after", "evt_none"), "no event 'evt_none'"),
        (("replay",), "say what to replay"),
        (("replay", "evt_1", "--since", "2026-01-01"), "say what to replay"),
    ],
)
def test_what_cant_be_done_is_said(world: World, args: tuple[str, ...], says: str) -> None:
    result = world.run("webhooks", *args)

    assert result.exit_code == 2
    assert says in result.stderr


# --- listening ------------------------------------------------------------------------------------


@dataclass
class Listening:
    """A run of `billing webhooks listen` that has begun to listen."""

    process: "subprocess.Popen[str]"

    def line(self) -> str:
        """Return the next line of data, once it is there."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ended(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and return the exit code and what was left to read."""
        self.process.send_signal(signal.SIGINT)
        left, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, left, said


@contextmanager
def listening(world: World, *options: str) -> Iterator[Listening]:
    pipe = subprocess.PIPE
    command = [*COMMAND, "webhooks", "listen", *options]
    with processes.running(
        command, cwd=world.folder, env=environment(world), stdout=pipe, stderr=pipe
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "listening for events; Ctrl-C ends it\n"
        yield Listening(process)


def test_listening_shows_an_event_when_it_is_received_and_when_it_is_handled(paid: World) -> None:
    handle(paid)
    (payment,) = paid.json("charges", "list")
    with listening(paid, "-o", "jsonl") as run:
        paid.json(
            "webhooks", "trigger", "refund.created", "--object", payment["provider_payment_id"]
        )
        receive(paid)
        heard = [json.loads(run.line()) for _ in range(2)]
        handle(paid)
        heard += [json.loads(run.line()) for _ in range(2)]
        code, left, said = run.ended()

    assert (code, left, said) == (0, "", "")
    states = sorted((each["state"], each["type"]) for each in heard)
    assert states == [
        ("handled", "charge.refunded"),
        ("handled", "refund.created"),
        ("received", "charge.refunded"),
        ("received", "refund.created"),
    ]
    assert {each["provider"] for each in heard} == {"stripe"}
    (created,) = [
        each for each in heard if (each["state"], each["type"]) == ("handled", "refund.created")
    ]
    assert created["handling"] == "refund_applied"
    assert created["words"].endswith("is succeeded")
    assert all("payload" not in each for each in heard)
    assert len(heard[0].keys() & {"event_id", "kind", "object_id", "received_at"}) == 4


def test_listening_prints_what_is_kept_of_the_body(world: World) -> None:
    with listening(world, "--print") as run:
        (made,) = world.json("webhooks", "trigger", "customer.created")
        world.json("webhooks", "replay", "--since", "2026-01-01")

        line = run.line()
        body = json.loads("".join(iter(run.line, "}")) + "}")
        code, _, _ = run.ended()

    assert code == 0
    assert "  received  stripe  customer.created (other)  " in line
    assert line.endswith("ignored: events of this kind are not handled")
    assert (body["id"], body["object_id"]) == (made["event_id"], made["object_id"])


def test_listening_needs_lines(world: World) -> None:
    result = world.run("webhooks", "listen", "-o", "json")

    assert result.exit_code == 2
    assert "-o jsonl" in result.stderr


# --- triggering -----------------------------------------------------------------------------------


def test_an_event_is_triggered_by_its_type(world: World) -> None:
    result = world.run("webhooks", "trigger", "charge.dispute.created", "-o", "json")

    assert result.exit_code == 0, result.output
    made = {each["type"]: each for each in json.loads(result.stdout)}
    assert {"payment_intent.succeeded", "charge.dispute.created"} <= made.keys()
    assert "come with the next sweep, within 5m" in result.stderr
    world.json("webhooks", "replay", "--since", "2026-01-01")
    (kept,) = world.json("webhooks", "list", "--type", "charge.dispute.created")
    assert kept["event_id"] == made["charge.dispute.created"]["event_id"]
    assert kept["kind"] == "dispute_opened"


def test_a_payment_of_ours_is_disputed_where_it_is_named(paid: World) -> None:
    (payment,) = paid.json("charges", "list")

    paid.json(
        "webhooks", "trigger", "charge.dispute.created", "--object", payment["provider_payment_id"]
    )
    handle(paid)

    (dispute,) = paid.json("disputes", "list")
    assert (dispute["payment_id"], dispute["state"]) == (payment["id"], "opened")
    assert paid.json("breaks", "list") == []


def test_a_type_that_isnt_made_is_answered_with_those_that_are(world: World) -> None:
    result = world.run("webhooks", "trigger", "charge.dispute.create")

    assert result.exit_code == 2
    assert "makes no event of type 'charge.dispute.create'" in result.stderr
    assert "Did you mean 'charge.dispute.created'?" in result.stderr
    assert "payout.paid, payout.reconciliation_completed" in result.stderr


def test_an_object_that_an_event_cant_be_made_of_is_named(world: World) -> None:
    result = world.run("webhooks", "trigger", "refund.created", "--object", "pi_none")

    assert result.exit_code == 2
    assert "pi_none is no object" in result.stderr


def test_events_are_triggered_at_a_sandbox_only(world: World) -> None:
    live = world.run(
        "webhooks", "trigger", "payout.paid", BILLING__MODE="live",
        BILLING__PROVIDERS__STRIPE__API_KEY="rk_live_of_the_cli_tests",
        BILLING__PROVIDERS__STRIPE__API_BASE="",
        BILLING__API__PEPPER="p" * 32,
    )  # fmt: skip
    with somebody_elses_server() as url:
        foreign = world.run(
            "webhooks", "trigger", "payout.paid", BILLING__PROVIDERS__STRIPE__API_BASE=url
        )
    test_account = world.run(
        "webhooks", "trigger", "payout.paid", BILLING__PROVIDERS__STRIPE__API_BASE=""
    )

    for result in (live, foreign, test_account):
        assert result.exit_code == 2, result.output
        assert "the account stripe is not at the sandbox" in result.stderr
    nobody = world.run("webhooks", "trigger", "payout.paid", "--provider", "nordic")
    assert nobody.exit_code == 2
    assert "no provider 'nordic'" in nobody.stderr


@contextmanager
def somebody_elses_server() -> Iterator[str]:
    """A server that speaks some provider's interface and has no control pages."""
    asked: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(401)

        def do_POST(self) -> None:
            raise AssertionError("nothing is sent to it")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/_sandbox/stats"]
