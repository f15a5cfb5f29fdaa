"""The adapter against the sandbox, against Stripe's own document, and against bad servers."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Deferred,
    Gateway,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.stripe.gateway import StripeGateway
from billing.rules.money import Money
from tests.contract.conftest import Shop
from tests.contract.gateway_world import KEY, SENT, World, declined, paid, unknown
from tests.waiting import PATIENCE

ON_CHARGES = {"method": "POST", "path": "/v1/payment_intents"}


@pytest.fixture
def world(shop: Shop) -> Iterator[World]:
    world = World(shop)
    yield world
    world.gateway.close()
    assert world.problems() == []


def next_attempt(request: ChargeRequest, intent: str | None, n: int = 2) -> ChargeRequest:
    return replace(request, idempotency_key=f"{KEY[:-1]}{n}", provider_payment_id=intent)


# What is sent


def test_the_adapter_is_a_gateway(world: World) -> None:
    gateway: Gateway = world.gateway

    gateway.check()


def test_a_charge_is_sent_as_designed(world: World) -> None:
    request = world.request()

    outcome = paid(world.gateway.charge(request, first_send=True))

    method, path, pairs, headers = world.recorder.sent[-1]
    assert (method, path) == ("post", "/v1/payment_intents")
    assert dict(pairs) == {
        "amount": "999",
        "currency": "usd",
        "customer": world.customer,
        "payment_method": request.payment_method,
        "payment_method_types[0]": "card",
        "capture_method": "automatic",
        "off_session": "true",
        "confirm": "true",
        "description": "Video basic",
        "metadata[payment]": "pay_1",
        "metadata[subscription]": "sub_1",
        "metadata[key]": KEY,
    }
    assert headers["Idempotency-Key"] == KEY
    assert headers["Stripe-Version"] >= "2026"
    assert "X-Stripe-Client-Telemetry" not in headers
    assert outcome.amount == request.amount
    assert outcome.captured
    assert outcome.request_id is not None
    assert outcome.provider_charge_id is not None


def test_a_later_attempt_confirms_the_same_payment_intent(world: World) -> None:
    first = world.request("pm_sbx_insufficient_1_then_ok")
    no = declined(world.gateway.charge(first, first_send=True))
    second = next_attempt(first, no.provider_payment_id)

    yes = paid(world.gateway.charge(second, first_send=True))

    assert no.decline_code == "insufficient_funds"
    assert yes.provider_payment_id == no.provider_payment_id
    _, path, pairs, headers = world.recorder.sent[-1]
    assert path == f"/v1/payment_intents/{no.provider_payment_id}/confirm"
    assert dict(pairs) == {"payment_method": first.payment_method, "off_session": "true"}
    assert headers["Idempotency-Key"] == second.idempotency_key
    assert world.captures() == 1


@pytest.mark.parametrize(
    ("amount", "sent"),
    [(Money(1200, "JPY"), "1200"), (Money(500, "ISK"), "50000"), (Money(5120, "KWD"), "5120")],
)
def test_amounts_travel_in_stripes_notation_and_back(
    world: World, amount: Money, sent: str
) -> None:
    outcome = paid(world.gateway.charge(world.request(amount=amount), first_send=True))

    assert dict(world.recorder.sent[-1][2])["amount"] == sent
    assert outcome.amount == amount


def test_a_manual_capture_authorises_only(world: World) -> None:
    outcome = paid(world.gateway.charge(world.request(manual_capture=True), first_send=True))

    assert not outcome.captured
    assert world.captures() == 0


# What comes back


DECLINES = [
    ("pm_card_chargeCustomerFail", "generic_decline"),
    ("pm_sbx_insufficient", "insufficient_funds"),
    ("pm_sbx_expired", "expired_card"),
    ("pm_card_authenticationRequired", "authentication_required"),
]


@pytest.mark.parametrize(("token", "code"), DECLINES)
def test_a_decline_is_definite_and_the_same_when_asked_again(
    world: World, token: str, code: str
) -> None:
    request = world.request(token)

    first = declined(world.gateway.charge(request, first_send=True))
    again = declined(world.gateway.charge(request, first_send=False))

    assert first.decline_code == code
    assert first.provider_payment_id is not None
    assert replace(again, request_id=None) == replace(first, request_id=None)
    assert world.captures() == 0


FAULTS: list[tuple[str, type, type, int]] = [
    # fault; outcome on a first send; on a replay; captures
    ("hang_before", Unknown, Unknown, 0),
    ("reset_before", Unknown, Unknown, 0),
    ("error_500_uncommitted", Unknown, Unknown, 0),
    ("conflict_409", Unknown, Unknown, 0),
    ("rate_limit_429", Deferred, Unknown, 0),
    ("error_401", Deferred, Unknown, 0),
    ("hang_after_commit", Unknown, Unknown, 1),
    ("reset_after_commit", Unknown, Unknown, 1),
    ("truncated_body", Unknown, Unknown, 1),
    ("garbage_200", Unknown, Unknown, 1),
    ("error_500", Unknown, Unknown, 1),
]


@pytest.mark.parametrize(("kind", "first", "replay", "captured"), FAULTS)
@pytest.mark.parametrize("first_send", [True, False], ids=["first", "replay"])
def test_a_fault_is_never_taken_for_an_answer(
    world: World, kind: str, first: type, replay: type, captured: int, first_send: bool
) -> None:
    request = world.request()
    world.shop.fault(kind, match=ON_CHARGES, delay_ms=100)

    outcome = world.gateway.charge(request, first_send=first_send)

    assert isinstance(outcome, first if first_send else replay)
    assert world.captures() == captured


@pytest.mark.parametrize("kind", [kind for kind, *_ in FAULTS if kind != "error_500"])
def test_sent_again_under_its_key_a_charge_succeeds_once(world: World, kind: str) -> None:
    request = world.request()
    world.shop.fault(kind, match=ON_CHARGES, delay_ms=100)
    world.gateway.charge(request, first_send=True)

    paid(world.gateway.charge(request, first_send=False))

    assert world.captures() == 1


def test_a_500_that_was_committed_is_found_by_looking_up(world: World) -> None:
    request = world.request()
    world.shop.fault("error_500", match=ON_CHARGES)
    world.gateway.charge(request, first_send=True)

    unknown(world.gateway.charge(request, first_send=False))
    paid(world.gateway.look_up(request, since=SENT))

    assert world.captures() == 1


def test_parameters_changed_under_a_key_are_not_read_as_a_refusal(world: World) -> None:
    request = world.request()
    world.shop.fault("reset_after_commit", match=ON_CHARGES)
    world.gateway.charge(request, first_send=True)

    outcome = world.gateway.charge(replace(request, description="New"), first_send=False)

    assert unknown(outcome).error_class == "idempotency"
    assert world.captures() == 1


def test_a_second_key_for_a_paid_payment_intent_finds_it_paid(world: World) -> None:
    request = world.request()
    intent = paid(world.gateway.charge(request, first_send=True)).provider_payment_id

    outcome = world.gateway.charge(next_attempt(request, intent), first_send=True)

    assert paid(outcome).provider_payment_id == intent
    assert world.captures() == 1


def test_a_paid_payment_intent_of_another_amount_is_no_success(world: World) -> None:
    request = world.request()
    intent = paid(world.gateway.charge(request, first_send=True)).provider_payment_id
    dearer = replace(next_attempt(request, intent), amount=Money(1099, "USD"))

    outcome = world.gateway.charge(dearer, first_send=True)

    assert unknown(outcome).error_class == "wrong_amount"


# After the key was forgotten


@pytest.mark.parametrize("kind", ["reset_after_commit", "truncated_body", "garbage_200"])
def test_a_lost_answer_is_found_a_day_later_without_a_second_charge(
    world: World, kind: str
) -> None:
    request = world.request()
    world.shop.fault(kind, match=ON_CHARGES)
    unknown(world.gateway.charge(request, first_send=True))
    world.at(SENT + timedelta(hours=25))

    found = paid(world.gateway.look_up(request, since=SENT))

    assert found.amount == request.amount
    assert world.captures() == 1


@pytest.mark.parametrize("kind", ["reset_before", "error_500_uncommitted"])
def test_what_never_happened_is_absent(world: World, kind: str) -> None:
    request = world.request()
    world.shop.fault(kind, match=ON_CHARGES)
    unknown(world.gateway.charge(request, first_send=True))
    world.at(SENT + timedelta(hours=25))

    assert world.gateway.look_up(request, since=SENT) == Absent()


def test_a_lost_decline_is_found_with_its_codes(world: World) -> None:
    request = world.request("pm_sbx_insufficient")
    world.shop.fault("reset_after_commit", match=ON_CHARGES)
    unknown(world.gateway.charge(request, first_send=True))

    outcome = declined(world.gateway.look_up(request, since=SENT))

    assert outcome.decline_code == "insufficient_funds"
    assert outcome.provider_payment_id is not None


@pytest.mark.parametrize(
    ("kind", "token", "expected"),
    [
        ("reset_before", "pm_sbx_insufficient_1_then_ok", Absent),
        ("reset_after_commit", "pm_sbx_insufficient_1_then_ok", Succeeded),
        ("reset_after_commit", "pm_sbx_insufficient_1_then_expired", Declined),
    ],
)
def test_an_earlier_decline_is_not_taken_for_this_attempts(
    world: World, kind: str, token: str, expected: type
) -> None:
    first = world.request(token)
    no = declined(world.gateway.charge(first, first_send=True))
    later = SENT + timedelta(days=3)
    world.at(later)
    second = next_attempt(first, no.provider_payment_id)
    world.shop.fault(kind, match=ON_CHARGES)
    unknown(world.gateway.charge(second, first_send=True))
    world.at(later + timedelta(hours=25))

    outcome = world.gateway.look_up(second, since=later)

    assert isinstance(outcome, expected)
    if isinstance(outcome, Declined):
        assert outcome.decline_code == "expired_card"


def test_a_list_that_could_not_be_read_proves_nothing(world: World) -> None:
    request = world.request()
    for kind in ("error_500_uncommitted", "reset_before", "garbage_200"):
        world.shop.fault(kind, match={"method": "GET", "path": "/v1/payment_intents"})

        unknown(world.gateway.look_up(request, since=SENT))


def test_looking_up_pages_through_everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.gateway.stripe.client.PAGE", 2)
    request = world.request()
    paid(world.gateway.charge(request, first_send=True))
    for n in range(5):
        other = replace(request, idempotency_key=f"o{n}", metadata={"key": f"o{n}"})
        paid(world.gateway.charge(other, first_send=True))

    paid(world.gateway.look_up(request, since=SENT))

    lists = [path for method, path, *_ in world.recorder.sent if method == "get"]
    assert len(lists) == 3


# The other calls


def test_canceling_is_absence_also_the_second_time(world: World) -> None:
    no = declined(world.gateway.charge(world.request("pm_sbx_insufficient"), first_send=True))
    assert no.provider_payment_id is not None

    assert world.gateway.cancel(no.provider_payment_id, idempotency_key="x1") == Absent()
    assert world.gateway.cancel(no.provider_payment_id, idempotency_key="x2") == Absent()


def test_canceling_what_was_paid_says_so(world: World) -> None:
    intent = paid(world.gateway.charge(world.request(), first_send=True)).provider_payment_id

    outcome = world.gateway.cancel(intent, idempotency_key="x1")

    assert paid(outcome).amount == Money(999, "USD")


def test_a_canceled_payment_intent_can_not_be_charged(world: World) -> None:
    request = world.request("pm_sbx_insufficient")
    intent = declined(world.gateway.charge(request, first_send=True)).provider_payment_id
    assert intent is not None
    world.gateway.cancel(intent, idempotency_key="x1")

    outcome = world.gateway.charge(next_attempt(request, intent), first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "payment_canceled"


def test_an_unknown_customer_is_a_fault_of_ours(world: World) -> None:
    request = world.request(provider_customer_id="cus_nobody")

    outcome = world.gateway.charge(request, first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "resource_missing"
    assert outcome.request_id is not None


def test_an_attached_card_is_what_the_customer_recognises(world: World) -> None:
    card = world.gateway.attach_payment_method(
        world.customer, "pm_card_mastercard", idempotency_key="m"
    )

    assert card.token.startswith("pm_")
    assert (card.kind, card.brand, card.last4) == ("card", "mastercard", "4444")
    assert card.exp_month is not None
    assert card.exp_year is not None
    assert 1 <= card.exp_month <= 12
    assert card.exp_year >= 2026


def test_a_card_that_declines_at_the_door_comes_with_a_remedy(world: World) -> None:
    with pytest.raises(BadInput) as caught:
        world.gateway.attach_payment_method(
            world.customer, "pm_card_chargeDeclined", idempotency_key="m"
        )

    assert "another card" in (caught.value.remedy or "")


def test_a_customer_is_created_once_under_one_key(world: World) -> None:
    names: dict[str, Any] = {"name": "Bo", "email": None, "metadata": {}, "idempotency_key": "bo"}
    first = world.gateway.create_customer(**names)

    assert world.gateway.create_customer(**names) == first


def test_charges_are_listed_by_half_open_windows_that_tile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.gateway.stripe.client.PAGE", 2)
    request = world.request()
    for n in range(5):
        world.at(SENT + timedelta(hours=n))
        other = replace(request, idempotency_key=f"o{n}", metadata={"n": str(n)})
        paid(world.gateway.charge(other, first_send=True))
    no = replace(world.request("pm_sbx_insufficient"), idempotency_key="no")
    declined(world.gateway.charge(no, first_send=True))
    middle = SENT + timedelta(hours=2)

    before = list(world.gateway.list_charges(since=SENT, until=middle))
    after = list(world.gateway.list_charges(since=middle))

    assert [len(page) for page in before] == [2]
    assert [len(page) for page in after] == [2, 2]
    charges = [charge for page in [*before, *after] for charge in page]
    good = [charge for charge in charges if charge.succeeded]
    assert {charge.metadata["n"] for charge in good} == set("01234")
    assert {charge.amount for charge in good} == {Money(999, "USD")}
    assert [c.decline_code for c in charges if not c.succeeded] == ["insufficient_funds"]


def test_checking_says_whether_the_key_works(world: World) -> None:
    world.gateway.check()
    world.shop.fault("error_401")

    with pytest.raises(BadInput, match="key"):
        world.gateway.check()


# Servers that misbehave on the wire


class BadServer:
    """A server that reads each request and then does something odd with the connection."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.requests = 0
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopped.is_set():
                connection.close()
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while self._read(connection):
                self.requests += 1
                self._behave(connection)

    @staticmethod
    def _read(connection: socket.socket) -> bool:
        got = b""
        while b"\r\n\r\n" not in got:
            got += (chunk := connection.recv(65536))
            if not chunk:
                return False
        head, _, body = got.partition(b"\r\n\r\n")
        lines = [line.split(b":") for line in head.lower().split(b"\r\n")]
        length = next((int(line[1]) for line in lines if line[0] == b"content-length"), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return True

    def stop(self) -> None:
        self._stopped.set()
        socket.create_connection(self._listener.getsockname()).close()  # wakes the listener
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@pytest.fixture
def bad_server() -> Iterator[Callable[[Callable[[socket.socket], None]], BadServer]]:
    servers: list[BadServer] = []

    def start(behave: Callable[[socket.socket], None]) -> BadServer:
        servers.append(BadServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


REQUEST = ChargeRequest(KEY, Money(999, "USD"), "cus_1", "pm_1", metadata={"key": KEY})
PAID = json.dumps({
    "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 999,
    "amount_received": 999, "currency": "usd", "customer": "cus_1", "created": 1,
    "latest_charge": "ch_1", "metadata": {"key": KEY},
}).encode()  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\nRequest-Id: req_1\r\nContent-Length: %d\r\n\r\n" % len(PAID)


def answer(connection: socket.socket) -> None:
    connection.sendall(HEAD + PAID)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def redirect(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: /v1/payment_intents/x\r\nContent-Length: 0\r\n\r\n"
    )


def sending(data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.close()

    return behave


def dripping(first: bytes, byte: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(byte)
            time.sleep(0.02)

    return behave


@pytest.mark.parametrize(
    ("behave", "error_class"),
    [
        (reset, "connection"),
        (redirect, "garbage"),
        (sending(b""), "connection"),
        (sending(b"SSH-2.0-OpenSSH\r\n"), "connection"),
        (sending(HEAD + PAID[:-1]), "connection"),
        (sending(b"HTTP/1.1 200 OK\r\n\r\n" + PAID[:-1]), "garbage"),
        (sending(b"HTTP/1.1 200 OK\r\n\r\n<html>"), "garbage"),
        (sending(HEAD.replace(b"Content-Length", b"Content-Encoding: gzip\r\nContent-Length")
                 + PAID), "connection"),
        (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "connection"),
    ],
    ids=["reset", "redirect", "closed", "not HTTP", "truncated", "truncated to the end",
         "garbage", "not the encoding it says", "broken chunks"],
)  # fmt: skip
def test_a_broken_answer_is_unknown_and_sent_once(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
    behave: Callable[[socket.socket], None],
    error_class: str,
) -> None:
    server = bad_server(behave)
    gateway = StripeGateway("sk_test_x", api_base=server.url, deadline=PATIENCE)

    outcome = gateway.charge(REQUEST, first_send=True)

    assert unknown(outcome).error_class == error_class
    assert server.requests == 1


def test_a_whole_answer_is_taken_as_the_control_of_these_tests(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    gateway = StripeGateway("sk_test_x", api_base=bad_server(answer).url)

    paid(gateway.charge(REQUEST, first_send=True))


def test_nobody_listening_is_unknown_and_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    gateway = StripeGateway("sk_test_x", api_base=url)

    assert unknown(gateway.charge(REQUEST, first_send=True)).error_class == "connection"
    with pytest.raises(Unavailable, match="again"):
        gateway.check()


@pytest.mark.parametrize(
    "behave",
    [
        dripping(b"", b"H"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n"),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(HEAD.replace(b"%d" % len(PAID), b"99999"), b" "),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n" + PAID, b" "),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status line", "headers", "continues", "body", "body without length", "chunks"],
)
def test_a_server_that_drips_is_left_at_the_deadline(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
    behave: Callable[[socket.socket], None],
) -> None:
    gateway = StripeGateway("sk_test_x", api_base=bad_server(behave).url, deadline=0.4)
    started = time.monotonic()

    outcome = gateway.charge(REQUEST, first_send=True)

    assert unknown(outcome).error_class in ("deadline", "connection")
    assert time.monotonic() - started < PATIENCE, "the server never ends"


def test_a_silent_server_is_left_at_the_read_timeout(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    over = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        over.wait(PATIENCE)

    server = bad_server(say_nothing)
    gateway = StripeGateway("sk_test_x", api_base=server.url, read_timeout=0.2)

    outcome = gateway.charge(REQUEST, first_send=True)
    over.set()

    assert unknown(outcome).error_class == "timeout"


def test_the_deadline_covers_all_requests_of_a_call(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    body = b'{"object": "list", "has_more": true, "data": [{"id": "pi_%d"}]}'
    count = iter(range(1000))

    def endless(connection: socket.socket) -> None:
        time.sleep(0.02)
        page = body % next(count)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)

    gateway = StripeGateway("sk_test_x", api_base=bad_server(endless).url, deadline=0.4)
    started = time.monotonic()

    outcome = unknown(gateway.look_up(REQUEST, since=SENT))

    assert outcome.error_class in ("deadline", "timeout")
    assert time.monotonic() - started < PATIENCE, "the list never ends"


def test_after_a_deadline_the_next_charge_has_a_fresh_connection(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    drip = dripping(HEAD[:-4], b"")
    behaviours = iter([answer, drip, answer, answer])
    server = bad_server(lambda connection: next(behaviours)(connection))
    gateway = StripeGateway("sk_test_x", api_base=server.url)

    def charged(deadline: float) -> type[Outcome]:
        gateway._seconds = deadline
        return type(gateway.charge(REQUEST, first_send=True))

    kinds = [charged(deadline) for deadline in (PATIENCE, 0.3, PATIENCE, PATIENCE)]

    assert kinds == [Succeeded, Unknown, Succeeded, Succeeded]
    assert server.connections == 2


def test_eight_threads_use_eight_connections_and_keep_them(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    together = threading.Barrier(8, timeout=PATIENCE)

    def behave(connection: socket.socket) -> None:
        together.wait()
        answer(connection)

    server = bad_server(behave)
    gateway = StripeGateway("sk_test_x", api_base=server.url)
    outcomes: list[Outcome] = []

    def work() -> None:
        for _ in range(5):
            outcomes.append(gateway.charge(REQUEST, first_send=True))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [type(outcome) for outcome in outcomes] == [Succeeded] * 40
    assert server.connections == 8


def test_an_answer_meant_for_somebody_else_is_no_success(
    bad_server: Callable[[Callable[[socket.socket], None]], BadServer],
) -> None:
    gateway = StripeGateway("sk_test_x", api_base=bad_server(answer).url)

    for request in (
        replace(REQUEST, metadata={"key": "other"}),
        replace(REQUEST, amount=Money(998, "USD")),
        replace(REQUEST, provider_customer_id="cus_2"),
        replace(REQUEST, provider_payment_id="pi_2"),
    ):
        assert unknown(gateway.charge(request, first_send=True)).error_class.startswith("wrong_")
