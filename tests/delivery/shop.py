"""A shop that calls the API as a careful program does: one key a request, sent until answered.

Connections drop, the API dies in the middle of an answer, and sometimes the shop itself hangs up
early. Whatever it is, the same request goes out again under the same key. What was answered is
kept, so that the same can be asked once more when all is over.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from uuid import uuid4

import grpc
import requests
from google.protobuf.json_format import MessageToDict

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.api.generated.perennial.v1.payments_pb2_grpc import PaymentServiceStub
from tests.waiting import PATIENCE

Json = dict[str, Any]
Code = grpc.StatusCode
TIMEOUT_SECONDS: Final = 6.0
HASTY: Final = 0.1
"""How often the shop hangs up before the answer can be there."""

CHARGES: Final = "/v1/payments"
_AGAIN: Final = frozenset({202, 429, 500, 503})
_RPC_AGAIN: Final = frozenset(
    {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.INTERNAL, Code.UNKNOWN,
     Code.CANCELLED, Code.RESOURCE_EXHAUSTED}
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked for, the same however often; `by_rpc` only of charges."""

    path: str
    body: Mapping[str, Any]
    key: str
    by_rpc: bool = False


@dataclass(frozen=True)
class Told:
    """A final answer: 201 or 402 of a charge over gRPC too."""

    status: int
    body: Json
    replayed: bool

    @property
    def is_kept(self) -> bool:
        """Tell whether every repetition has to say the same; a refusal leaves no trace."""
        return self.status in (200, 201, 402) or self.body.get("code") == "provider_refused"

    @property
    def payment(self) -> Json:
        """The payment in it, which a decline carries beside its problem."""
        found: Json = self.body.get("payment", self.body)
        return found


class Shop:
    """One caller, for one thread."""

    def __init__(self, http_url: str, rpc_address: str, key: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.answered: list[tuple[Request, Told]] = []
        self.asked = 0
        self._url = http_url
        self._http = requests.Session()
        self._http.trust_env = False  # each request would look through the environment for proxies
        self._http.headers["Authorization"] = f"Bearer {key}"
        self._metadata = (("authorization", f"Bearer {key}"),)
        quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.insecure_channel(rpc_address, quick)
        self._rpc = PaymentServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Hang up."""
        self._http.close()
        self._channel.close()

    # --- asking ---------------------------------------------------------------------------------

    def charge(self, order: Mapping[str, Any]) -> Told:
        """Charge over one interface or the other."""
        return self.ask(Request(CHARGES, order, str(uuid4()), by_rpc=self.rng.random() < 0.5))

    def post(self, path: str, body: Mapping[str, Any]) -> Told:
        """Ask for something under a new key."""
        return self.ask(Request(path, body, str(uuid4())))

    def ask(self, request: Request) -> Told:
        """Send a request until it is answered for good, and remember what was kept."""
        told = self._until_told(request)
        if told.is_kept:
            self.answered.append((request, told))
        return told

    def repeated(self, request: Request) -> Told:
        """Return what a request that was answered is answered now."""
        return self._until_told(request)

    def over_the_other_face(self, request: Request) -> Told:
        """Return what a charge is answered where it was not asked for."""
        return self._until_told(replace(request, by_rpc=not request.by_rpc))

    def found(self, path: str, **params: str) -> list[Json]:
        """Return a page of a list, once the API shows it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._http.get(self._url + path, params=params, timeout=TIMEOUT_SECONDS)
                if answer.status_code == 200:
                    page: list[Json] = answer.json()["data"]
                    return page
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"GET {path} is not answered"
            time.sleep(0.05)

    def _until_told(self, request: Request) -> Told:
        deadline = time.monotonic() + PATIENCE
        seconds = self.rng.uniform(0.002, 0.05) if self.rng.random() < HASTY else TIMEOUT_SECONDS
        while True:
            self.asked += 1
            told = (
                self._charged(request, seconds) if request.by_rpc else self._sent(request, seconds)
            )
            if told is not None:
                return told
            assert time.monotonic() < deadline, f"not answered: {request}"
            seconds = TIMEOUT_SECONDS
            time.sleep(self.rng.uniform(0.02, 0.2))

    # --- one try --------------------------------------------------------------------------------

    def _sent(self, request: Request, seconds: float) -> Told | None:
        """Send over HTTP; None for no answer, or one that says that it isn't known yet."""
        headers = {"Idempotency-Key": request.key}
        try:
            answer = self._http.post(
                self._url + request.path, json=request.body, headers=headers, timeout=seconds
            )
            body: Json = answer.json()
        except (requests.RequestException, ValueError):
            return None
        if answer.status_code in _AGAIN or body.get("code") == "request_in_flight":
            return None
        assert answer.status_code not in (400, 401, 403, 404, 415), answer.text
        assert body.get("code") not in ("invalid_request", "idempotency_key_reused"), answer.text
        return Told(answer.status_code, body, "idempotency-replayed" in answer.headers)

    def _charged(self, request: Request, seconds: float) -> Told | None:
        """Charge over gRPC; None as above."""
        order = dict(request.body)
        if order.get("capture") == "manual":
            order["capture"] = pb.CAPTURE_METHOD_MANUAL
        asked = pb.ChargeRequest(
            idempotency_key=request.key, amount_cents=order.pop("amount"), **order
        )
        try:
            answer = self._rpc.Charge(asked, metadata=self._metadata, timeout=seconds)
        except grpc.RpcError as error:
            return _of_rpc_error(error)
        if answer.payment.state == pb.PAYMENT_STATE_CREATED:
            return None
        body = MessageToDict(answer.payment, preserving_proto_field_name=True)
        declined = answer.payment.state == pb.PAYMENT_STATE_FAILED
        return Told(402 if declined else 201, body, answer.replayed)


def _of_rpc_error(error: grpc.RpcError) -> Told | None:
    code = cast(grpc.Call, error).code()
    if code in _RPC_AGAIN:
        return None
    assert code is Code.FAILED_PRECONDITION, error
    return Told(409, {"code": "conflict"}, False)
