"""Signed notifications, as the SDK's `parse` takes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal  # noqa: TID251  the SDK's amounts
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from braintree.exceptions.invalid_signature_error import InvalidSignatureError

from billing.workers.runtime.clock import SystemClock
from tests.contract.braintree.shop import DAY, PAYPAL, Shop
from tests.contract.receiver import receiving as stripe_receiving

SETTLED = "transaction_settled"


@dataclass
class Receiver:
    """What came, in order; `answers` are used up one by one, then it is 200."""

    url: str = ""
    posts: list[tuple[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    says_to_challenges: Any = None
    lock: Lock = field(default_factory=Lock)

    def take(self, body: str) -> int:
        form = parse_qs(body)
        with self.lock:
            self.posts.append((form.get("bt_signature", [""])[0], form["bt_payload"][0]))
            return self.answers.pop(0) if self.answers else 200

    def parsed(self, shop: Shop) -> list[Any]:
        return [shop.gateway.webhook_notification.parse(*post) for post in self.posts]

    def kinds(self, shop: Shop) -> list[str]:
        return [each.kind for each in self.parsed(shop)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(self.server.receiver.take(body), b"")  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        challenge = parse_qs(urlsplit(self.path).query)["bt_challenge"][0]
        said = self.server.receiver.says_to_challenges(challenge)  # type: ignore[attr-defined]
        self._answer(200, said.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiving(shop: Shop, **endpoint: Any) -> Iterator[Receiver]:
    """Run a webhook endpoint of the merchant."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    server.receiver = receiver  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        shop.gateway.customer.create({})  # its keys are known from now on
        shop.control("POST", "braintree/webhooks", url=receiver.url, **endpoint)
        yield receiver
        shop.control("POST", "braintree/webhooks", url=receiver.url, disabled=True)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settle(shop: Shop) -> dict[str, int]:
    """Wait until nothing is owed to any endpoint."""
    found: dict[str, int] = shop.control("POST", "webhooks/settle", timeout_ms=60_000)["deliveries"]
    return found


def test_a_settled_sale_is_told_and_then_its_disbursement(shop: Shop) -> None:
    with receiving(shop) as receiver:
        sale = shop.settled("10.00")
        refund = shop.gateway.transaction.refund(sale.id, "4.00").transaction
        shop.later(5 * DAY)
        settle(shop)

    told = receiver.parsed(shop)
    assert [each.kind for each in told] == [
        SETTLED,
        SETTLED,
        "transaction_disbursed",
        "disbursement",
        "transaction_disbursed",
        "disbursement",
    ]
    assert [told[0].transaction.id, told[1].transaction.id] == [sale.id, refund.id]
    assert str(told[2].transaction.disbursement_details.disbursement_date) == "2026-01-08"
    first, second = told[3].disbursement, told[5].disbursement
    assert (first.amount, first.transaction_ids) == (Decimal("10.00"), [sale.id])
    assert (second.amount, second.is_debit()) == (Decimal("-4.00"), True)
    assert [each.id for each in first.transactions().items] == [sale.id]
    assert int(told[0].timestamp.timestamp()) == int(sale.status_history[-1].timestamp.timestamp())


def test_a_notification_may_be_dated_by_real_time_which_its_receiver_checks(shop: Shop) -> None:
    shop.settings(real_timestamps=True)
    wall = SystemClock().wall
    before = wall().replace(microsecond=0)
    with receiving(shop) as receiver:
        shop.settled("10.00")
        settle(shop)

    (told,) = receiver.parsed(shop)
    assert before <= told.timestamp.replace(tzinfo=UTC) <= wall()


def test_a_notification_shows_its_subject_as_it_was_then(shop: Shop) -> None:
    with receiving(shop) as receiver:
        shop.control("POST", "webhooks/conditions", paused=True)
        sale = shop.settled("10.00")
        shop.gateway.transaction.refund(sale.id)
        shop.control("POST", "webhooks/conditions", paused=False)
        settle(shop)

    (told,) = receiver.parsed(shop)
    assert (told.transaction.status, told.transaction.refund_ids) == ("settled", [])


def test_a_dispute_is_told_step_by_step_and_moves_the_disbursement(shop: Shop) -> None:
    with receiving(shop) as receiver:
        sale = shop.settled("10.00")
        opened = shop.control("POST", "braintree/disputes", transaction=sale.id, amount="4.00")
        shop.later(DAY)
        shop.control("POST", f"braintree/disputes/{opened['id']}", status="won")
        shop.later(5 * DAY)
        settle(shop)

    told = receiver.parsed(shop)
    disputes = [each.dispute for each in told if each.kind.startswith("dispute_")]
    assert [each.kind for each in told][:3] == [SETTLED, "dispute_opened", "dispute_won"]
    assert [(each.id, each.status) for each in disputes] == [
        (opened["id"], "open"),
        (opened["id"], "won"),
    ]
    paid = [each.disbursement.amount for each in told if each.kind == "disbursement"]
    assert paid == [Decimal("6.00"), Decimal("4.00")]


@pytest.mark.parametrize("status", ["accepted", "lost"])
def test_a_dispute_that_ends_badly_is_told(shop: Shop, status: str) -> None:
    with receiving(shop, kinds=[f"dispute_{status}"]) as receiver:
        sale = shop.settled()
        opened = shop.control("POST", "braintree/disputes", transaction=sale.id)
        if status == "accepted":
            shop.gateway.dispute.accept(opened["id"])
        else:
            shop.control("POST", f"braintree/disputes/{opened['id']}", status=status)
        settle(shop)

    assert receiver.kinds(shop) == [f"dispute_{status}"]


def test_a_declined_settlement_and_a_revoked_account_are_told(shop: Shop) -> None:
    with receiving(shop) as receiver:
        customer, token = shop.customer(PAYPAL)
        shop.sold(nonce="sbx_paypal_settlement_declined")
        shop.control("POST", f"braintree/payment_methods/{token}", revoked=True)
        shop.control("POST", "braintree/webhooks/check")
        settle(shop)

    declined, revoked, check = receiver.parsed(shop)
    assert (declined.kind, declined.transaction.status) == (
        "transaction_settlement_declined",
        "settlement_declined",
    )
    assert revoked.kind == "payment_method_revoked_by_customer"
    metadata = revoked.revoked_payment_method_metadata
    assert (metadata.token, metadata.customer_id) == (token, customer)
    assert check.kind == "check"


def test_an_endpoint_gets_the_kinds_and_the_merchant_it_was_made_for(shop: Shop) -> None:
    other = Shop(shop.url)
    with (
        receiving(shop, kinds=["disbursement"]) as disbursements,
        receiving(other) as others,
    ):
        shop.settled()
        shop.later(3 * DAY)
        settle(shop)

    assert disbursements.kinds(shop) == ["disbursement"]
    assert others.posts == []
    other.close()


def test_endpoints_of_stripe_and_of_braintree_get_their_own(shop: Shop) -> None:
    with receiving(shop) as braintrees, stripe_receiving() as stripes:
        endpoint = shop.control("POST", "webhooks", url=stripes.url)
        shop.settled()
        shop.control("POST", "payment_intents", amount=700, currency="usd")
        settle(shop)
        shop.control("POST", f"webhooks/{endpoint['id']}", disabled=True)

    assert braintrees.kinds(shop) == [SETTLED]
    assert "charge.succeeded" in stripes.types(endpoint["secrets"][0])
    assert not any(b"bt_payload" in body for body, _ in stripes.posts)


def test_a_delivery_that_fails_is_tried_again(shop: Shop) -> None:
    with receiving(shop, kinds=[SETTLED]) as receiver:
        receiver.answers = [500, 503]
        shop.settled()
        settle(shop)

    assert receiver.kinds(shop) == [SETTLED] * 3
    assert len(set(receiver.posts)) == 1


def test_a_notification_can_come_late(shop: Shop) -> None:
    shop.settings(notification_delay_seconds=2 * DAY)
    with receiving(shop, kinds=["dispute_opened"]) as receiver:
        sale = shop.settled()
        opened = shop.control("POST", "braintree/disputes", transaction=sale.id)
        settle(shop)
        assert receiver.posts == []
        shop.gateway.dispute.accept(opened["id"])
        shop.later(2 * DAY)
        settle(shop)

    (told,) = receiver.parsed(shop)
    assert (told.dispute.id, told.dispute.status) == (opened["id"], "open")


@pytest.mark.parametrize("signature", ["wrong_secret", "garbled"])
def test_a_false_signature_is_refused_by_the_sdk(shop: Shop, signature: str) -> None:
    with receiving(shop, kinds=[SETTLED]) as receiver:
        shop.settled()
        settle(shop)
        told = shop.control("GET", "braintree/notifications")["notifications"][0]
        shop.control("POST", f"events/{told['id']}/deliver", signature=signature)

    good, bad = receiver.posts
    assert shop.gateway.webhook_notification.parse(*good).kind == SETTLED
    with pytest.raises(InvalidSignatureError):
        shop.gateway.webhook_notification.parse(*bad)


def test_an_endpoint_proves_that_it_has_the_keys(shop: Shop) -> None:
    with receiving(shop) as receiver:
        receiver.says_to_challenges = shop.gateway.webhook_notification.verify
        assert shop.control("POST", "braintree/webhooks/challenge", url=receiver.url) == {
            "verified": True
        }
        receiver.says_to_challenges = lambda challenge: challenge
        assert shop.control("POST", "braintree/webhooks/challenge", url=receiver.url) == {
            "verified": False
        }


def test_an_endpoint_elsewhere_is_refused(shop: Shop) -> None:
    shop.gateway.customer.create({})

    assert "127.0.0.1" in shop.refused("braintree/webhooks", url="http://example.com/hook")
