"""Credit notes from the command line."""

import pytest

from tests.cli.test_money import audited, work
from tests.cli.world import World, me


def invoice_of(world: World) -> str:
    return str(world.json("invoices", "list")[0]["number"])


def test_a_credit_note_is_shown_before_it_is_issued(paid: World) -> None:
    invoice = invoice_of(paid)
    asked = ("credit-notes", "create", invoice, "--line", "1=4.00", "--to", "credit")

    dry = paid.json(*asked, "--dry-run")
    assert (dry["dry_run"], dry["total"], dry["number"]) == (True, 400, None)
    assert [(line["line"], line["gross"], line["net"]) for line in dry["lines"]] == [(1, 400, 400)]
    refused = paid.run(*asked)
    assert refused.exit_code == 2
    assert f"this will give back 4.00 USD of invoice {invoice} as credit" in refused.stderr
    assert paid.json("credit-notes", "list") == []

    made = paid.json(*asked, "--reason", "an outage", "--yes")

    prefix = invoice.rpartition("-")[0]
    assert made["number"] == f"{prefix}-C0001"
    shown = paid.json("credit-notes", "show", made["number"])
    assert (shown["id"], shown["total"], shown["destination"]) == (made["note_id"], 400, "credit")
    assert (shown["reason"], shown["actor"], shown["invoice_number"]) == (
        "an outage",
        me(),
        invoice,
    )
    assert [(line["line"], line["gross"], line["all_gross"]) for line in shown["lines"]] == [
        (1, 400, 400)
    ]
    subject = paid.json("invoices", "show", invoice)["id"]
    assert audited(paid, subject) == [("credit_note.create", "an outage", True)]


def test_an_invoice_tells_its_notes_and_what_is_left(paid: World) -> None:
    invoice = invoice_of(paid)
    paid.json("credit-notes", "create", invoice, "--share", "1/3", "--to", "credit", "--yes")

    shown = paid.json("invoices", "show", invoice)

    assert [line["left"] for line in shown["lines"]] == [666]
    assert [note["total"] for note in shown["credit_notes"]] == [333]
    assert "3.33 USD" in paid.run("invoices", "show", invoice).stdout


def test_all_of_an_invoice_goes_to_the_card(paid: World) -> None:
    invoice = invoice_of(paid)

    made = paid.json("credit-notes", "create", invoice, "--all", "--to", "refund", "--yes")
    work(paid)

    (note,) = paid.json("credit-notes", "list", "--to", "refund", "--invoice", invoice)
    assert (note["number"], note["refund_state"]) == (made["number"], "succeeded")
    assert paid.json("credit-notes", "list", "--to", "credit") == []
    refused = paid.run("credit-notes", "create", invoice, "--all", "--to", "credit", "--yes")
    assert (refused.exit_code, "would give nothing back" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((), "one of the three"),
        (("--all", "--share", "1/2"), "one of the three"),
        (("--share", "half"), "write it like 17/31"),
        (("--line", "first"), "write it like 1 or 1=5.00"),
        (("--line", "1=5,00"), "write it like 9.99"),
        (("--line", "2"), "has lines 1 to 1, not 2"),
        (("--line", "1=10.00"), "more is to be given back of a line than is left of it"),
        (("--line", "1=10.00"), "line 1: 10.00 USD can't be given back, 9.99 USD is left"),
    ],
)
def test_what_is_asked_for_has_to_make_sense(
    paid: World, asked: tuple[str, ...], says: str
) -> None:
    refused = paid.run("credit-notes", "create", invoice_of(paid), *asked, "--to", "credit")

    assert refused.exit_code == 2
    assert says in refused.stderr
    assert paid.json("credit-notes", "list") == []
