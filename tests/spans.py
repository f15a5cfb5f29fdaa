"""Spans of this process, kept for a test to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from billing import tracing

Tree = dict[str, Any]


class Spans:
    """What was traced while the block ran."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._exporter)

    def all(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans that have ended, those of a name or all."""
        spans = self._exporter.get_finished_spans()
        return sorted(
            (span for span in spans if name in (None, span.name)),
            key=lambda span: span.start_time or 0,
        )

    def one(self, name: str, **attributes: object) -> ReadableSpan:
        """Return the only span of a name with these attributes."""
        (found,) = [
            span
            for span in self.all(name)
            if all(facts(span).get(key) == value for key, value in attributes.items())
        ]
        return found

    def tree(self, root: ReadableSpan) -> Tree:
        """Return the names below a span, in order: each with those below it, once."""
        return {child.name: self.tree(child) for child in self.below(root)}

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans that began right below another."""
        assert parent.context is not None
        return [
            span
            for span in self.all()
            if span.parent is not None and span.parent.span_id == parent.context.span_id
        ]


@contextmanager
def traced() -> Iterator[Spans]:
    """Keep the spans of this process while the block runs."""
    spans = Spans()
    end = tracing.configure(lambda: spans.processor, role="test")
    try:
        yield spans
    finally:
        end()


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def trace_of(span: ReadableSpan) -> str:
    """Return the id of a span's trace, as a header has it."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}"
