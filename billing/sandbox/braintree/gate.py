"""The way every Braintree request goes: keys, faults, the request key, then one transaction."""

import base64
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from billing.sandbox import faults
from billing.sandbox.account import SandboxAccount
from billing.sandbox.braintree import credentials, keys, reports
from billing.sandbox.braintree.call import MerchantCall, call_for
from billing.sandbox.braintree.replies import (
    Failing,
    NoSuchObject,
    RefusedRequest,
    XmlReply,
    refusal,
)
from billing.sandbox.braintree.routes import ROUTES
from billing.sandbox.braintree.routing import XmlRoute, XmlRouter
from billing.sandbox.braintree.xml import MalformedBody, Node, read_json, read_xml
from billing.sandbox.delivery import cut
from billing.sandbox.faults import Faults, InjectedFault
from billing.sandbox.http import HttpAnswer, HttpRequest
from billing.sandbox.stats import Stats

_GARBAGE = b"<html><body>upstream answered <transaction><id>"
_STATUS = {"error_500_uncommitted": 500, "error_401": 401, "rate_limit_429": 429}


@dataclass(frozen=True, slots=True)
class _KeyedJob:
    """A request with its route found."""

    request: HttpRequest
    merchant: str
    route: XmlRoute
    path: tuple[str, ...]
    params: Node

    @property
    def fingerprint(self) -> str:
        return keys.fingerprint(self.request.method, self.request.path, self.params)


class BraintreeGate:
    """Answer /merchants and /graphql requests. Safe to call from any number of threads."""

    def __init__(self, account: SandboxAccount, faults: Faults, stats: Stats) -> None:
        self._account = account
        self._store = account.store
        self._faults = faults
        self._stats = stats
        self._router = XmlRouter(ROUTES)
        self._in_flight = keys.KeysInFlight()

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer and how it is to be delivered."""
        name = f"{request.method} {request.path}"
        fault = self._take(faults.BEFORE, request)
        if fault is not None:
            answer = _refusal(fault)
        else:
            name, answer = self._answered(request, name)
            spoilt = self._take(faults.AFTER, request)
            if spoilt is not None:
                _spoil(answer, spoilt)
        self._stats.count(name, answer)
        answer.headers["Date"] = formatdate(self._account.clock.now(), usegmt=True)
        return answer

    def _take(self, kinds: frozenset[str], request: HttpRequest) -> InjectedFault | None:
        return self._faults.take(kinds, request.method, request.path)

    def _answered(self, request: HttpRequest, name: str) -> tuple[str, HttpAnswer]:
        public, private = _basic(request.headers.get("authorization", ""))
        if request.path == "/graphql":
            self._account.catch_up()
            return name, reports.graphql(self._account.call(), request, public, private)
        _, _, merchant, *rest = request.path.split("/")
        if rest[:1] == ["fee_reports"]:
            return name, self._report(merchant, rest[-1])
        browser = rest[:1] == ["client_api"]
        if not browser and not credentials.let_in(self._account.call(), merchant, public, private):
            return name, XmlReply(401).encoded()
        try:
            route, path = self._router.find(request.method, "/".join(rest))
            params = read_json(request.body) if browser else read_xml(request.body)
            job = _KeyedJob(request, merchant, route, path, params)
            name = f"{route.method} /merchants/*/{route.path}"
            return name, self._serve(job)
        except NoSuchObject:
            return name, XmlReply(404).encoded()
        except MalformedBody:
            return name, XmlReply(400).encoded()

    def _report(self, merchant: str, name: str) -> HttpAnswer:
        with self._store.reading():
            return reports.file(call_for(self._account.call(), merchant), name)

    def _serve(self, job: _KeyedJob) -> HttpAnswer:
        self._account.catch_up()
        try:
            return self._keyed(job)
        except RefusedRequest as refused:
            return refusal(refused.problems, job.params).encoded()
        except Failing as failing:
            return failing.reply.encoded()

    def _keyed(self, job: _KeyedJob) -> HttpAnswer:
        key = keys.key_of(job.params) if job.route.keyed else None
        if key is None:
            return self._run(job, None)
        with self._in_flight.hold(job.merchant, key):
            with self._store.reading():
                saved = keys.replayed(self._call(job), key, job.fingerprint)
            return self._run(job, key) if saved is None else saved.encoded()

    def _call(self, job: _KeyedJob) -> MerchantCall:
        query: dict[str, Any] = dict(parse_qsl(job.request.query))
        return call_for(
            self._account.call(), job.merchant, path=job.path, params=job.params, query=query
        )

    def _run(self, job: _KeyedJob, key: str | None) -> HttpAnswer:
        slow = self._take(faults.SLOW, job.request)
        if slow is not None:
            slow.delay()
        if job.route.method == "GET" or job.route.reads:
            with self._store.reading():
                return job.route.handler(self._call(job)).encoded()
        broken = self._take(faults.COMMITTED_500, job.request)
        reply = self._write(job, key)
        return XmlReply(500).encoded() if broken else reply.encoded()

    def _write(self, job: _KeyedJob, key: str | None) -> XmlReply:
        try:
            with self._store.transaction():
                call = self._call(job)
                reply = job.route.handler(call)
                if key is not None:
                    keys.remember(call, key, job.fingerprint, reply)
            return reply
        except RefusedRequest as refused:
            # The endpoint refused: its writes are rolled back, its key is used up.
            if key is not None:
                with self._store.transaction():
                    keys.remember(self._call(job), key, job.fingerprint, None)
            return refusal(refused.problems, job.params)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        public, _, private = base64.b64decode(coded).decode().partition(":")
    except ValueError:
        return "", ""
    return public, private


def _refusal(fault: InjectedFault) -> HttpAnswer:
    if fault.kind in _STATUS:
        return XmlReply(_STATUS[fault.kind]).encoded()
    if fault.kind == "conflict_409":
        return refusal(keys.in_flight().problems, {}).encoded()
    return cut(HttpAnswer(500, b""), fault)


def _spoil(answer: HttpAnswer, fault: InjectedFault) -> None:
    if fault.kind == "garbage_200":
        answer.status, answer.body = 200, _GARBAGE
    else:
        cut(answer, fault)
