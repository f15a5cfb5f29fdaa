"""Traces: one renewal is one tree of spans, from the scheduler's tick to the outcome."""

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dramatiq
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.trace import StatusCode

from billing.logs import configure_logging
from billing.sandbox import SandboxServer
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.daemons.webhooks import Webhooks
from billing.workers.runtime.broker import CHARGE_ACTOR, CHARGES
from billing.workers.up.advance import set_clock
from tests.delivery.engine_under_test import EngineUnderTest
from tests.scenarios.money import NO_TRIAL
from tests.scenarios.queued import parts, through_queue, until_quiet, worker
from tests.scenarios.world import World, at
from tests.spans import Spans, facts, trace_of, traced
from tests.waiting import until


@pytest.fixture
def world(db_url: str, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A world whose messages go through Valkey."""
    world = World(db_url, sandbox.url, tmp_path / "catalog")
    through_queue(world, redis_url)
    world.publish(NO_TRIAL)
    yield world
    world.close()


def renewed(world: World) -> Spans:
    """Bill what is due, and return the spans of it."""
    with traced() as spans, parts(world) as (runtime, metrics), worker(world):
        until_quiet(world, Scheduler(runtime, metrics))
        until(lambda: spans.all("charge"))
    return spans


def test_one_renewal_is_one_tree_from_the_tick_to_the_outcome(world: World) -> None:
    ada = world.subscribed("monthly")

    spans = renewed(world)

    charge = spans.one("charge", outcome="succeeded")
    (tick,) = [span for span in spans.all("scheduler tick") if facts(span)["opened"]]
    assert trace_of(charge) == trace_of(tick)
    assert spans.tree(charge) == {"begin attempt": {}, "provider request": {}, "finish attempt": {}}
    (sent,) = [each for each in spans.below(tick) if charge in spans.below(each)]
    assert (sent.name, facts(sent)) == ("dispatch payments", {"payments": 1})
    opened = [facts(each) for each in spans.below(tick) if each.name == "open cycles"]
    assert [each["opened"] for each in opened] == [1, 0]
    payment = world.payment(ada)
    assert facts(charge) == {
        "payment": str(payment.id),
        "customer": ada.customer,
        "provider": "stripe",
        "outcome": "succeeded",
    }
    begun = facts(spans.one("begin attempt", attempt=1))
    assert begun["subscription"] == ada.reference
    (call,) = [each for each in spans.below(charge) if each.name == "provider request"]
    assert facts(call)["operation"] == "create_and_confirm"
    assert facts(call)["provider_request"].startswith("req_")
    world.assert_everything_adds_up()


def test_a_decline_is_an_answer_and_a_lost_one_a_failure(world: World) -> None:
    world.subscribed("monthly", card="pm_card_chargeCustomerFail")
    declined = renewed(world)
    call = declined.below(declined.one("charge", outcome="declined"))[1]
    assert (call.status.status_code, facts(call)["failure"]) == (StatusCode.UNSET, "card")

    world.subscribed("monthly")
    world.psp.lose_next_answer(after_commit=True)
    with traced() as spans, parts(world) as (runtime, metrics), worker(world):
        Scheduler(runtime, metrics).tick()
        until(lambda: spans.all("charge"))
    lost = spans.one("charge", outcome="unknown")
    call = spans.below(lost)[1]
    assert call.status.status_code is StatusCode.ERROR
    assert facts(call) == {
        "operation": "create_and_confirm",
        "failure": "connection",
        "error_class": "Faulted",
    }
    assert not call.events, "no text of an error is kept"


def test_what_settles_and_closes_is_traced_step_by_step(world: World) -> None:
    ada = world.subscribed("monthly")
    world.run_until("2026-01-05")

    with traced() as spans, parts(world) as (runtime, metrics):
        Reconciler(runtime, metrics).tick()
        Webhooks(runtime, metrics).tick()

    (tick,) = spans.all("reconciler tick")
    steps = [facts(span)["step"] for span in spans.all("settlement step")]
    assert steps == ["fetch", "stage", "match", "correct", "post", "close"]
    assert {trace_of(span) for span in spans.all("settlement step")} == {trace_of(tick)}
    assert sum(facts(span)["closed"] for span in spans.all("close cycles")) == 1
    handled = spans.one("handle webhook", kinds="payment_succeeded")
    assert facts(handled)["object"] == world.payment(ada).provider_payment_id
    assert facts(handled)["outcome"] == "already_booked"


def test_no_span_has_a_card_a_secret_or_a_text_of_a_person(world: World) -> None:
    world.subscribed("monthly")
    spans = renewed(world)

    said = json.dumps([facts(span) for span in spans.all()])

    assert spans.all("charge")
    for text in ("4242", "sk_test", "pm_", "@", "Ada"):
        assert text not in said


@pytest.mark.parametrize("given", ["nonsense", "00-0-0-01", 7, None])
def test_a_message_whose_trace_cant_be_read_is_worked_on_all_the_same(
    world: World, given: object
) -> None:
    ada = world.subscribed("monthly")
    world.open()
    with traced() as spans, parts(world) as (runtime, _), worker(world):
        payment = world.payment(ada)
        options = {} if given is None else {"traceparent": given}
        runtime.broker.enqueue(
            dramatiq.Message(
                queue_name=CHARGES, actor_name=CHARGE_ACTOR, args=(str(payment.id),), kwargs={},
                options=options,
            )
        )  # fmt: skip
        until(lambda: spans.all("charge"))

    (charge,) = spans.all("charge")
    assert charge.parent is None
    assert world.payment(ada).state == "CAPTURED"


def test_a_log_line_names_the_trace_that_it_was_written_in(world: World) -> None:
    world.subscribed("monthly")
    with kept_lines() as stream:
        spans = renewed(world)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "charge"]
    charge = spans.one("charge", outcome="succeeded")
    assert line["trace_id"] == trace_of(charge)
    assert charge.context is not None
    assert line["span_id"] == f"{charge.context.span_id:016x}"
    (up,) = [line for line in lines if "worker ready" in line["event"]]
    assert "trace_id" not in up


@contextmanager
def kept_lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers[:] = before
        root.setLevel(level)


# --- roles as processes ---------------------------------------------------------------------------


class Collector(contextlib.AbstractContextManager["Collector"]):
    """What takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, sent: ExportTraceServiceRequest) -> None:
        for part in sent.resource_spans:
            about = {each.key: each.value.string_value for each in part.resource.attributes}
            role = about["service.instance.role"]
            assert about["service.name"] == "perennial"
            for scope in part.scope_spans:
                self.spans += [(role, span) for span in scope.spans]

    def traces(self, role: str, name: str) -> set[bytes]:
        return {span.trace_id for who, span in self.spans if (who, span.name) == (role, name)}

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_roles_send_their_spans_to_the_collector_and_go_on_with_each_others_traces(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    with (
        Collector() as collector,
        EngineUnderTest(
            tmp_path,
            reconcilers=0,
            database__url=db_url,
            redis__url=redis_url,
            tracing__endpoint=collector.url,
        ) as engine,
    ):
        engine.populate(1)
        set_clock(engine.runtime, [engine.sandbox], at("2026-01-02"))
        until(lambda: collector.traces("worker", "finish attempt"))
        until(
            lambda: (
                collector.traces("worker", "charge")
                & collector.traces("scheduler", "dispatch payments")
            )
        )
