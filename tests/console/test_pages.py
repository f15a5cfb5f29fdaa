"""What the pages show, read as a person would."""

import csv
import io

import pytest

from billing.queries import attention
from tests.console.console_under_test import Browser, ConsoleUnderTest, Reader
from tests.console.scene import JAPANESE_NAME, LONG_NAME, Scene, prepare


@pytest.fixture
def scene(console: ConsoleUnderTest) -> Scene:
    """A bit of everything that needs somebody."""
    return prepare(console.world)


def table(browser: Browser, path: str) -> list[dict[str, str]]:
    headings, *rows = browser.page(path).rows
    return [dict(zip(headings, row, strict=True)) for row in rows if len(row) == len(headings)]


def test_an_empty_engine_needs_nobody(ann: Browser) -> None:
    assert "Nothing does, as far as the engine knows." in ann.page("/console").text
    for place in ("failed", "payments", "invoices", "subscriptions", "customers", "parked"):
        assert ann.page(f"/console/{place}").rows == []


def test_every_count_leads_to_as_many_rows(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    home = ann.page("/console")
    with console.world.engine.connect() as conn:
        counts = attention.counts(conn)
    counted = [(text, href) for text, href in home.links if text.isdigit()]

    assert {int(count) for count, _ in counted} == {0, 1}
    for count, href in counted:
        rows = ann.page(href).rows
        assert max(len(rows) - 1, 0) == int(count), href
    assert sum(int(count) for count, _ in counted) == sum(counts.values())


def test_failed_charges_say_why_and_what_follows(ann: Browser, scene: Scene) -> None:
    waiting, on_ladder = table(ann, "/console/failed")

    assert (waiting["customer"], waiting["decline"]) == ("Cid", "expired_card")
    assert "no attempt until the payment method changes" in waiting["what follows"]
    assert (on_ladder["customer"], on_ladder["rung"]) == (JAPANESE_NAME, "3")
    assert on_ladder["next try"] == "2026-02-16 00:00Z"
    for stage, names in (("ladder", [JAPANESE_NAME]), ("waiting", ["Cid"])):
        rows = table(ann, f"/console/failed?stage={stage}")
        assert [row["customer"] for row in rows] == names
    assert len(table(ann, "/console/failed?decline_code=expired_card&rung=0")) == 1
    assert ann.page("/console/failed?rung=1").rows == []


def test_why_was_i_charged_is_answered_in_two_clicks(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    found = ann.get("/console/search?q=ada%40example.com")
    customer = ann.page(found.headers["location"])
    (payment, *_) = [href for _, href in customer.links if "/payments/" in href]

    told = ann.page(payment).text

    assert LONG_NAME.split()[1] in told
    assert "collects 19.99 USD from" in told
    assert "Line 1: Video Premium" in told
    assert "debit receivable 19.99 USD" in told


def test_what_a_sentence_names_is_a_link(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    payment = console.world.payment(scene.ada, 0)
    page = ann.page(f"/console/payments/{payment.id}")
    entries = [href for _, href in page.links if "/entries/" in href]

    assert entries
    assert "cash" in ann.page(entries[0]).text or "receivable" in ann.page(entries[0]).text
    invoice = ann.page(next(href for _, href in page.links if "/invoices/" in href))
    assert "Video Premium" in invoice.text


def test_the_books_of_an_entry_balance_on_its_page(ann: Browser, scene: Scene) -> None:
    rows = table(ann, "/console/entries/1")

    assert {row["account"] for row in rows} == {"receivable", "deferred revenue"}
    assert [row["debit"] for row in rows if row["debit"]] == ["19.99 USD"]
    assert [row["credit"] for row in rows if row["credit"]] == ["19.99 USD"]


def test_search_finds_what_a_person_has_in_hand(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    payment = console.world.payment(scene.ada, 0)
    billed = table(ann, f"/console/invoices?customer_id={scene.ada.customer_id}")
    in_hand = (
        "ada@example.com", "ADA@example.com", "ada", "sub-ada", scene.ada.subscription_id,
        scene.ada.customer_id, payment.id, scene.ada.provider_customer_id,
        payment.provider_payment_id, payment.provider_charge_id, billed[0]["invoice"],
        str(payment.id)[:13],
    )  # fmt: skip
    for typed in in_hand:
        asked = {"q": f" {typed} "}
        answer = ann.http.get(f"{ann.base}/console/search", params=asked, timeout=60)

        assert answer.status_code == 200, typed
        assert LONG_NAME.split()[1] in Reader(answer.text).text, typed


def test_several_hits_are_listed(ann: Browser, scene: Scene) -> None:
    rows = table(ann, "/console/search?q=4242")

    assert len(rows) > 1
    assert {row["kind"] for row in rows} == {"customer"}


def test_a_list_is_read_on_by_keys_and_keeps_its_filter(
    console: ConsoleUnderTest, ann: Browser
) -> None:
    for _ in range(60):
        console.world.customer(None)
    first = ann.page("/console/customers")
    second = ann.page(first.link("Older"))

    assert (len(first.rows), len(second.rows)) == (51, 11)
    assert "Older" not in [text for text, _ in second.links]
    assert second.link("Newest") == "/console/customers"
    assert not {tuple(row) for row in first.rows[1:]} & {tuple(row) for row in second.rows[1:]} - {
        tuple(first.rows[1])
    }


def test_a_csv_has_every_row_of_the_same_filter(ann: Browser, scene: Scene) -> None:
    page = ann.page("/console/payments?state=CREATED")
    answer = ann.get(page.link("CSV"))
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="payments.csv"'
    assert len(rows) == len(page.rows) - 1
    assert {row["amount"] for row in rows} == {"1999"}
    assert {row["currency"] for row in rows} == {"USD"}
    assert {row["state"] for row in rows} == {"CREATED"}


def test_a_csv_holds_no_formula(console: ConsoleUnderTest, ann: Browser) -> None:
    with console.world.engine.begin() as conn:
        customer_id, _ = console.world.customer(None)
        conn.exec_driver_sql(
            "UPDATE customers SET name = '=HYPERLINK(1)' WHERE id = %s", (customer_id,)
        )

    (row,) = csv.DictReader(io.StringIO(ann.get("/console/customers.csv").text))

    assert row["name"] == "'=HYPERLINK(1)"


def test_a_name_is_text_and_nothing_else(console: ConsoleUnderTest, ann: Browser) -> None:
    with console.world.engine.begin() as conn:
        customer_id, _ = console.world.customer(None)
        conn.exec_driver_sql(
            "UPDATE customers SET name = '<script>alert(1)</script>' WHERE id = %s", (customer_id,)
        )

    answer = ann.get(f"/console/customers/{customer_id}")

    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "payments?state=nothing", "payments?colour=red", "payments?before=x", "failed?rung=x",
        "failed?rung=99999999999", "payments?state=FAILED&state=CREATED", "parked?kind=dog",
        "customers/x?y=z", "payments?before=%00", "customers?email=%00",
    ],
)  # fmt: skip
def test_what_a_page_does_not_know_is_refused_in_words(ann: Browser, path: str) -> None:
    answer = ann.get(f"/console/{path}")

    assert answer.status_code in (404, 422), path
    assert Reader(answer.text).text
