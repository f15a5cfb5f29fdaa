"""Acts: shown first, then done with a reason, in the history and in the audit log."""

import pytest
from sqlalchemy import text

from billing.flows.service.api_keys import PersonRole
from billing.queries import payments
from tests.console.console_under_test import Browser, ConsoleUnderTest, Reader
from tests.console.scene import Scene, prepare
from tests.scenarios.world import World


@pytest.fixture
def scene(console: ConsoleUnderTest) -> Scene:
    """A bit of everything that needs somebody."""
    return prepare(console.world)


def told(world: World, action: str) -> list[tuple[str, str]]:
    with world.engine.connect() as conn:
        query = text("SELECT actor, why FROM audit_log WHERE action = :action ORDER BY id")
        return [(row.actor, row.why) for row in conn.execute(query, {"action": action})]


def done(browser: Browser, address: str, **form: str) -> str:
    """Look at an act, do it with a reason, and return where one is then."""
    page = browser.page(address)
    assert "Nothing has been done yet." in page.text
    fields = {name: value for name, value in page.fields.items() if name not in ("q", "reason")}
    answer = browser.post(address.partition("?")[0], {**fields, "reason": "asked for", **form})
    assert answer.status_code == 303, Reader(answer.text).text
    return answer.headers["location"]


def test_support_gives_a_part_of_a_payment_back(console: ConsoleUnderTest, scene: Scene) -> None:
    world, support = console.world, console.person(PersonRole.SUPPORT, "sam")
    payment = world.payment(scene.ada, 0)
    address = f"/console/payments/{payment.id}/refund"

    assert "refund 16.99 USD of payment" in support.page(address).text
    assert "refund 5.00 USD of payment" in support.page(f"{address}?amount=5").text
    back = done(support, f"{address}?amount=5")

    assert back == f"/console/payments/{payment.id}"
    assert told(world, "payment.refund")[-1] == ("console:sam", "asked for")
    assert world.payment(scene.ada, 0).amount_refunded == 800
    assert "asked for" in support.page(back).text


def test_a_form_that_is_sent_twice_gives_back_once(console: ConsoleUnderTest, scene: Scene) -> None:
    ann = console.person()
    payment = console.world.payment(scene.ada, 0)
    address = f"/console/payments/{payment.id}/refund"
    once = ann.page(address).fields["once"]
    form = {"amount": "5.00", "once": once, "reason": "asked for"}

    answers = [ann.post(address, form).status_code for _ in range(2)]

    assert answers == [303, 303]
    assert console.world.payment(scene.ada, 0).amount_refunded == 800


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"amount": "17.00"}, 409), ({"amount": "x"}, 422), ({"amount": "-1"}, 422),
        ({"amount": "0"}, 422), ({"reason": ""}, 422), ({"once": "x"}, 422), ({"more": "x"}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(
    console: ConsoleUnderTest, scene: Scene, form: dict[str, str], status: int
) -> None:
    ann = console.person()
    address = f"/console/payments/{console.world.payment(scene.ada, 0).id}/refund"
    once = ann.page(address).fields["once"]

    answer = ann.post(address, {"amount": "", "once": once, "reason": "asked for", **form})

    assert answer.status_code == status
    assert Reader(answer.text).text
    assert console.world.payment(scene.ada, 0).amount_refunded == 300


def test_an_operator_tries_a_declined_payment_again(
    console: ConsoleUnderTest, scene: Scene
) -> None:
    world, operator = console.world, console.person(PersonRole.OPERATOR, "otto")
    payment = world.payment(scene.cid)
    world.new_card(scene.cid, "pm_card_visa")

    done(operator, f"/console/payments/{payment.id}/retry")

    assert told(world, "payment.retry") == [("console:otto", "asked for")]
    world.settle()
    assert world.payment(scene.cid).state == "CAPTURED"


def test_an_operator_releases_a_parked_payment(console: ConsoleUnderTest, scene: Scene) -> None:
    world, operator = console.world, console.person(PersonRole.OPERATOR, "otto")
    with world.engine.connect() as conn:
        (parked,) = payments.payments(conn, parked=True)

    done(operator, f"/console/payments/{parked.id}/release")

    with world.engine.connect() as conn:
        assert payments.payments(conn, parked=True) == []
    assert told(world, "payment.release") == [("console:otto", "asked for")]


def test_a_subscription_is_paused_goes_on_and_ends(console: ConsoleUnderTest, scene: Scene) -> None:
    world, operator = console.world, console.person(PersonRole.OPERATOR, "otto")
    address = f"/console/subscriptions/{scene.ada.subscription_id}"

    done(operator, f"{address}/pause")
    done(operator, f"{address}/resume")
    assert "at 2026-03-01 00:00 UTC" in operator.page(f"{address}/cancel?when=end").text
    assert "(active) now" in operator.page(f"{address}/cancel?when=now").text
    done(operator, f"{address}/cancel?when=end", when="end")

    assert world.status(scene.ada) == "active"
    done(operator, f"{address}/cancel?when=now", when="now")
    assert world.status(scene.ada) == "canceled"
    assert [told(world, f"subscription.{act}") for act in ("pause", "resume")] == [
        [("console:otto", "asked for")]
    ] * 2
    assert len(told(world, "subscription.cancel")) == 2
    assert "console:otto" in operator.page(address).text


def test_a_preview_changes_nothing(console: ConsoleUnderTest, ann: Browser, scene: Scene) -> None:
    world = console.world
    before = (world.status(scene.ada), world.events(scene.ada), world.payment(scene.bob))
    for act in ("pause", "cancel?when=now", "cancel"):
        ann.page(f"/console/subscriptions/{scene.ada.subscription_id}/{act}")
    ann.page(f"/console/payments/{world.payment(scene.bob).id}/retry")

    assert (world.status(scene.ada), world.events(scene.ada), world.payment(scene.bob)) == before


def test_who_may_only_look_sees_what_an_act_would_do(
    console: ConsoleUnderTest, scene: Scene
) -> None:
    viewer = console.person(PersonRole.VIEWER)
    address = f"/console/payments/{console.world.payment(scene.ada, 0).id}/refund"

    assert "needs the scope refund" in viewer.page(address).text
    assert viewer.post(address, {"reason": "x"}).status_code == 403


def test_the_audit_log_is_for_finance_and_is_read_on_by_numbers(
    console: ConsoleUnderTest, scene: Scene
) -> None:
    fin = console.person(PersonRole.FINANCE, "fin")
    for _ in range(55):
        console.key(*PersonRole.VIEWER.scopes, name="many")
    first = fin.page("/console/audit")
    second = fin.page(first.link("Older"))

    assert len(first.rows) == 51
    assert first.rows[1][2] == "key.create"
    assert second.link("Newest") == "/console/audit"
    assert [row[1] for row in fin.page("/console/audit?actor=console%3Afin").rows[1:]] == [
        "console:fin"
    ]
    assert console.person(PersonRole.VIEWER).get("/console/audit").status_code == 403
    for wrong in ("0", "x", str(2**70)):
        assert fin.get(f"/console/audit?before={wrong}").status_code == 422


def test_pages_offer_what_can_be_done(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    def offered(address: str) -> set[str]:
        acts = ("refund", "retry", "release", "cancel", "pause", "resume")
        hrefs = [href.rpartition("/")[2] for _, href in ann.page(address).links]
        return set(acts) & set(hrefs)

    world = console.world
    assert offered(f"/console/payments/{world.payment(scene.ada, 0).id}") == {"refund"}
    assert offered(f"/console/payments/{world.payment(scene.bob).id}") == {"retry"}
    assert offered(f"/console/subscriptions/{scene.ada.subscription_id}") == {"cancel", "pause"}
    assert offered(f"/console/payments/{world.payment(scene.eve).id}") == {"release"}
