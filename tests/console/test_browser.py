"""The pages in a real Chromium: readable, without a fault, by keyboard alone, on a phone, and
without scripts.
"""

from collections.abc import Mapping

import pytest

from billing.flows.service.api_keys import Scope
from tests.console.chromium import EXECUTABLE, Tab, running
from tests.console.console_under_test import Browser, ConsoleUnderTest
from tests.console.scene import JAPANESE_NAME, Scene, prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        EXECUTABLE is None,
        reason="NO CHROMIUM HERE: no page is opened in a browser; install the package chromium",
    ),
]


@pytest.fixture
def scene(console: ConsoleUnderTest) -> Scene:
    """A bit of everything that needs somebody."""
    prepared = prepare(console.world)
    console.world.close_books()
    return prepared


def addresses(console: ConsoleUnderTest, scene: Scene) -> Mapping[str, str]:
    """Return the address of every page that is shown, by the name of its picture."""
    payment = console.world.payment(scene.bob)
    return {
        "home": "/console",
        "failed": "/console/failed",
        "subscriptions": "/console/subscriptions",
        "subscription": f"/console/subscriptions/{scene.bob.subscription_id}",
        "customers": "/console/customers",
        "customer": f"/console/customers/{scene.ada.customer_id}",
        "payments": "/console/payments",
        "payment": f"/console/payments/{payment.id}",
        "invoices": "/console/invoices",
        "invoice": f"/console/invoices/{payment.invoice_id}",
        "parked": "/console/parked",
        "disputes": "/console/disputes",
        "refunds": "/console/refunds",
        "breaks": "/console/breaks",
        "close": "/console/close?month=2026-01",
        "prove": "/console/close/prove",
        "entry": "/console/entries/1",
        "audit": "/console/audit",
        "cancel": f"/console/subscriptions/{scene.ada.subscription_id}/cancel?when=now",
        "refund": f"/console/payments/{console.world.payment(scene.ada, 0).id}/refund",
        "search": "/console/search?q=4242",
        "nothing": "/console/search?q=nobody%40example.com",
    }


def test_every_page_is_readable_for_everybody(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    """In light and dark, on a desk and a phone; axe-core and the browser find nothing wrong."""
    with running() as chromium:
        for dark, phone in ((False, False), (True, False), (False, True)):
            tab = Tab(chromium, ann, dark=dark, phone=phone)
            for name, address in addresses(console, scene).items():
                tab.open(address)
                tab.keep(f"{name}{'-dark' if dark else ''}{'-phone' if phone else ''}")

                assert tab.violations() == [], name
                assert not tab.overflows(), name
                assert tab.complaints == [], name
            tab.close()


def test_somebody_logs_in_looks_for_a_customer_and_leaves_by_keyboard(
    console: ConsoleUnderTest, scene: Scene
) -> None:
    with running() as chromium:
        tab = Tab(chromium, console.stranger())
        page = tab.open("/console/failed?stage=ladder")
        page.keyboard.type(console.key(Scope.READ)[1])
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/failed?stage=ladder")
        assert JAPANESE_NAME in page.inner_text("main")

        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/customers/*")
        page.keyboard.press("g")
        page.keyboard.press("p")
        page.wait_for_url("**/console/payments")
        page.keyboard.press("/")
        page.keyboard.type("ada@example.com")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/console/customers/{scene.ada.customer_id}")
        page.keyboard.press("g")
        page.keyboard.press("h")
        page.wait_for_url("**/console")
        page.focus("text=Log out")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/login")

        # The one complaint is of the first page: it was asked for without a session.
        assert [each for each in tab.complaints if "401" not in each] == []
        tab.close()


def test_pages_work_without_scripts(console: ConsoleUnderTest, ann: Browser, scene: Scene) -> None:
    with running() as chromium:
        tab = Tab(chromium, ann, scripts=False)
        page = tab.open("/console/payments")
        page.select_option("#filter-parked", "yes")
        page.click("text=Show")
        page.wait_for_url("**/console/payments?*parked=yes*")

        assert page.locator("tbody tr").count() == 1
        page.fill("#q", "bob@example.com")
        page.press("#q", "Enter")
        page.wait_for_url(f"**/console/customers/{scene.bob.customer_id}")
        tab.close()


def test_breaks_are_opened_in_place_selected_and_resolved_by_keyboard(
    console: ConsoleUnderTest, ann: Browser, scene: Scene
) -> None:
    with running() as chromium:
        tab = Tab(chromium, ann)
        page = tab.open("/console/breaks")
        found = page.locator("tbody tr[data-row]").count()
        assert found >= 3
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.locator("tbody a").first.click()
        page.wait_for_selector(".opened")
        assert "our books" in page.inner_text(".opened")
        assert tab.violations() == []
        tab.keep("breaks-opened")
        page.select_option("#adjust", "")
        page.click("text=Preview")
        page.wait_for_url("**/console/breaks/resolve?*")
        assert "Resolving 2 breaks" in page.inner_text("h1")
        assert tab.violations() == []
        tab.keep("breaks-preview")
        page.fill("#reason", "gifts")
        page.press("#reason", "Enter")
        page.wait_for_selector("text=2 breaks are resolved")

        assert tab.open("/console/breaks").locator("tbody tr[data-row]").count() == found - 2
        assert tab.complaints == []
        tab.close()
