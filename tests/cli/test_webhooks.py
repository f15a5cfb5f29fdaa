"""Events on the command line: which there are, what came of them, once more by hand."""

import pytest

from billing.flows.webhooks import handling, inbox
from tests.cli.world import World


def handle(world: World) -> None:
    """Read the provider's list, and handle what is due."""
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
        while handling.handle_due(runtime.context):
            pass
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
