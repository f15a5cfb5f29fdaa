"""Exchanges, listed and recorded from the command line."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from tests.cli.world import START, World
from tests.waiting import PATIENCE

DASHBOARD = "the provider's dashboard"


def convert(world: World) -> list[str]:
    """Exchange dollars for euros at the provider; returns the references to it as options."""
    answer = requests.post(
        f"{world.sandbox_url}/_sandbox/conversions",
        json={"from": "usd", "to": "eur", "amount": 500, "received": 460, "fee": 2},
        timeout=PATIENCE,
    )
    assert answer.status_code == 200, answer.text
    world.at(START + timedelta(hours=1))
    assert world.run("reconcile", "run").exit_code == 3
    ids = [each["id"] for each in answer.json()["data"]]
    return ["--reference", ids[0], "--reference", ids[1]]


def options(**changes: str) -> list[str]:
    given = {
        "from": "5.00 USD",
        "to": "4.60 EUR",
        "fee": "0.02 EUR",
        "rate": "0.9200",
        "at": "2026-01-31T09:00:00Z",
        "source": DASHBOARD,
        "reason": "rent is paid in euros",
        **changes,
    }
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def test_an_exchange_is_tried_dry_recorded_listed_and_shown(paid: World) -> None:
    references = convert(paid)
    assert [row["kind"] for row in paid.json("breaks", "list")] == ["unknown_at_provider"] * 2
    assert "billing fx record" in paid.json("breaks", "list")[0]["suggested_cause"]

    tried = paid.json("fx", "record", *options(), *references, "--dry-run")

    assert (tried["dry_run"], tried["posts"], tried["explains"]) == (True, True, references[1::2])
    assert paid.json("fx", "list") == []
    done = paid.run("fx", "record", *options(), *references, "--yes")
    assert done.exit_code == 0, done.output
    assert "5.00 USD became 4.60 EUR at 0.9200; 0.02 EUR of it stayed" in done.stdout
    (found,) = paid.json("fx", "list")
    assert (found["from_amount"], found["from_currency"]) == (500, "USD")
    assert (found["to_amount"], found["to_currency"], found["fee"]) == (460, "EUR", 2)
    assert (found["rate"], found["at"]) == ("0.9200", "2026-01-31T09:00:00Z")
    assert found["references"] == sorted(references[1::2])
    assert paid.json("fx", "show", found["id"][:13]) == found
    assert paid.json("fx", "show", tried["source_key"]) == found
    assert paid.json("breaks", "list") == []
    (line,) = paid.json("audit", "list", "--action", "fx.record")
    assert line["why"] == "rent is paid in euros"


def test_tables_write_both_sides_in_words(paid: World) -> None:
    references = convert(paid)
    assert paid.run("fx", "record", *options(), *references, "--yes").exit_code == 0

    for command in (("fx", "list"), ("fx", "show", f"{references[1]}:{references[3]}")):
        shown = paid.run(*command).stdout
        assert all(words in shown for words in ("5.00 USD", "4.60 EUR", "0.02 EUR", "0.9200"))


def test_recording_the_same_again_asks_nothing_and_says_so(paid: World) -> None:
    references = convert(paid)
    assert paid.run("fx", "record", *options(), *references, "--yes").exit_code == 0

    again = paid.run("fx", "record", *options(), *references)

    assert again.exit_code == 0, again.output
    assert "it is recorded already" in again.stdout
    assert len(paid.json("fx", "list")) == 1


def test_an_exchange_is_not_recorded_unasked(paid: World) -> None:
    references = convert(paid)

    result = paid.run("fx", "record", *options(), *references)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert paid.json("fx", "list") == []


def test_what_is_recorded_otherwise_ends_with_two(paid: World) -> None:
    references = convert(paid)
    assert paid.run("fx", "record", *options(), *references, "--yes").exit_code == 0

    result = paid.run("fx", "record", *options(rate="0.9201"), *references, "--yes")

    assert result.exit_code == 2
    assert "recorded otherwise" in result.stderr
    assert "5.00 USD for 4.60 EUR at 0.9200" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": "4.60 USD", "fee": "0.02 USD"}, "that's one currency"),
        ({"from": "0.00 USD"}, "amounts above zero"),
        ({"from": "-5.00 USD"}, "amounts above zero"),
        ({"to": "0.00 EUR"}, "amounts above zero"),
        ({"fee": "0.02 USD"}, "can't be part of"),
        ({"fee": "4.60 EUR"}, "can't be part of"),
        ({"fee": "-0.01 EUR"}, "can't be part of"),
        ({"rate": "0.93"}, "doesn't make"),
        ({"rate": "0"}, "is no rate"),
        ({"rate": "NaN"}, "is no rate"),
        ({"rate": "9.2e-1"}, "is no rate"),
        ({"rate": "0,92"}, "is no rate"),
        ({"from": "five"}, "is no amount"),
        ({"to": "4.605 EUR"}, "is no amount"),
        ({"at": "2026-02-27"}, "still to come"),
        ({"source": " "}, "where its rate is from"),
        ({"reason": " "}, "takes a reason"),
        ({"reference": "txn_alone"}, "two transactions"),
    ],
    ids=str,
)
def test_what_is_no_exchange_is_refused(world: World, change: dict[str, Any], words: str) -> None:
    result = world.run("fx", "record", *options(**change), "--yes")

    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert world.json("fx", "list") == []


def test_an_exchange_that_is_not_there_is_told_where_to_look(world: World) -> None:
    result = world.run("fx", "show", "txn_nobody_knows")

    assert result.exit_code == 2
    assert "billing fx list" in result.stderr
