"""Spans of OpenTelemetry at the numbered points of docs/architecture.md.

Off unless `exported` was given a collector: then `span` returns one object that does nothing, and
nothing of OpenTelemetry is imported here. The SDK is the extra `tracing`. Attributes are ids,
counts and words of ours: whoever opens a span gives neither texts of people nor secrets, and no
text of an error is kept, only its class.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from billing.errors import BadInput

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

SpanName = Literal[
    "scheduler tick",
    "open cycles",
    "dispatch payments",
    "dispatch refunds",
    "dispatch taxes",
    "charge",
    "begin attempt",
    "finish attempt",
    "authorization",
    "refund",
    "taxes",
    "provider request",
    "reconciler tick",
    "settlement step",
    "close cycles",
    "handle webhook",
    "api request",
    "api call",
    "console request",
]
"""Every span there is; docs/operations.md says what each is about."""

Parent: TypeAlias = "Context | None"
"""The trace that something came with."""

SERVICE: Final = "perennial"
_HEADER: Final = "traceparent"
_EXPORT_SECONDS: Final = 5.0
_tracer: "Tracer | None" = None


class OpenSpan:
    """A span for the length of a `with` block; this one stands for none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the span."""

    def set(self, **attributes: object) -> None:
        """Add what is known by now; an attribute that is None is left out."""


class _Recorded(OpenSpan):
    """A span that is kept, and the one under which all others of this thread begin meanwhile."""

    def __init__(self, span: "Span") -> None:
        self._span = span
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        from opentelemetry import context, trace

        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        if self._token is not None:
            context.detach(self._token)
        if kind is not None:
            self.set(error_class=kind.__name__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def set(self, **attributes: object) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, _plain(value))


_NONE: Final = OpenSpan()


def _plain(value: object) -> bool | int | float | str:
    return value if type(value) in (bool, int, float) else str(value)  # type: ignore[return-value]


def span(name: SpanName, parent: Parent = None, **attributes: object) -> OpenSpan:
    """Return a span to open with `with`, below the active one or below `parent`.

    A block that raises ends it as failed, with the error's class.
    """
    if _tracer is None:
        return _NONE
    opened = _Recorded(_tracer.start_span(name, context=parent))
    opened.set(**attributes)
    return opened


def ids() -> Mapping[str, str]:
    """Return the ids of the active trace and span, for log lines; nothing where there is none."""
    if _tracer is None:
        return {}
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(found.trace_id),
        "span_id": trace.format_span_id(found.span_id),
    }


# --- from one process to another ------------------------------------------------------------------


def carried() -> dict[str, str]:
    """Return what a message takes along, so that its receiver goes on with the trace."""
    if _tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    taken: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(taken)
    return taken


def coming_from(carrier: Mapping[str, Any]) -> Parent:
    """Return the trace that a message or a request came with, or None.

    What can't be read is none: a message is a hint, and a header is whatever somebody sent.
    """
    given = carrier.get(_HEADER)
    if _tracer is None or not isinstance(given, str):
        return None
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({_HEADER: given}, Context())


# --- on and off -----------------------------------------------------------------------------------


@contextmanager
def exported(endpoint: str, *, role: str, ratio: float) -> Iterator[None]:
    """Send the spans of this process to a collector while the block runs; nowhere without one.

    `ratio` is the share of traces that is kept, of those that begin here. Raises `BadInput` where
    the extra isn't installed.
    """
    end = configure(lambda: _to_collector(endpoint), role=role, ratio=ratio) if endpoint else None
    try:
        yield
    finally:
        if end is not None:
            end()


def configure(
    processor: "Callable[[], SpanProcessor]", *, role: str, ratio: float = 1.0
) -> Callable[[], None]:
    """Hand the spans of this process to a processor from now on; return what ends that."""
    global _tracer
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise BadInput(
            "tracing needs packages that aren't installed",
            where="tracing.endpoint",
            remedy="install the extra: pip install 'perennial-billing[tracing]'",
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE, "service.instance.role": role}),
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor())
    _tracer = provider.get_tracer(SERVICE)

    def end() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return end


def _to_collector(endpoint: str) -> "SpanProcessor":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS))
