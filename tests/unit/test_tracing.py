"""Spans cost nothing where nobody collects them."""

import subprocess
import sys

import pytest
from opentelemetry.trace import StatusCode

from billing import tracing
from billing.errors import BadInput
from tests import processes
from tests.spans import facts, trace_of, traced


def test_without_a_collector_nothing_is_traced_and_nothing_imported() -> None:
    code = (
        "import sys\n"
        "from billing import logs, tracing\n"
        "imported = lambda *names: [each for each in sys.modules if each.startswith(names)]\n"
        "logs.configure_logging('json')\n"
        "with tracing.exported('', role='worker', ratio=1.0), tracing.span('charge') as span:\n"
        "    span.set(payment=1, outcome='succeeded')\n"
        "    assert tracing.ids() == tracing.carried() == {}\n"
        "    assert tracing.coming_from({'traceparent': 'x'}) is None\n"
        "    assert tracing.span('refund') is span\n"
        "print(imported('opentelemetry'))\n"
        "from billing.workers import roles\n"
        "print(imported('opentelemetry.sdk.trace', 'opentelemetry.exporter'))\n"
    )

    done: subprocess.CompletedProcess[str] = processes.run([sys.executable, "-c", code])

    assert (done.stdout, done.returncode) == ("[]\n[]\n", 0), done.stderr


def test_without_the_extra_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)

    with (
        pytest.raises(BadInput, match="aren't installed") as refused,
        tracing.exported("http://127.0.0.1:1/v1/traces", role="worker", ratio=1.0),
    ):
        raise AssertionError("it began all the same")

    assert refused.value.where == "tracing.endpoint"
    assert tracing.span("charge") is tracing.span("refund")


def test_a_block_that_raises_ends_its_span_without_the_text_of_the_error() -> None:
    with traced() as spans, pytest.raises(ValueError, match="4242"), tracing.span("charge"):
        raise ValueError("the card 4242 4242 4242 4242")

    (span,) = spans.all()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.status.description, list(span.events)) == (None, [])
    assert facts(span) == {"error_class": "ValueError"}


def test_what_is_unknown_is_left_out_and_an_id_is_text() -> None:
    with traced() as spans, tracing.span("charge", payment=None) as span:
        span.set(attempt=2, first=True, customer=b"x", outcome=None)

    assert facts(spans.all()[0]) == {"attempt": 2, "first": True, "customer": "b'x'"}


def test_a_carrier_takes_the_trace_to_another_process() -> None:
    with traced() as spans:
        with tracing.span("dispatch payments"):
            taken = tracing.carried()
            assert tracing.ids().keys() == {"trace_id", "span_id"}
        with tracing.span("charge", tracing.coming_from(taken)):
            pass
        assert tracing.ids() == {}

    sent, received = spans.all()
    assert list(taken) == ["traceparent"]
    assert trace_of(received) == trace_of(sent)


def test_a_share_of_the_traces_is_kept() -> None:
    spans = []
    with traced() as all_of_them:
        end = tracing.configure(lambda: all_of_them.processor, role="test", ratio=0.0)
        with tracing.span("scheduler tick") as span, tracing.span("open cycles"):
            spans.append(span)
            flags = tracing.carried()["traceparent"].rpartition("-")[2]
            assert int(flags, 16) & 1 == 0, "whoever goes on with it keeps nothing either"
        end()

    assert all_of_them.all() == []
