"""Reading a batch of usage: each row by itself, and numbers as they are written."""

from collections.abc import Sequence
from typing import Any, Final

from billing.api.problems import Refused
from billing.rules.usage import BATCH_MAX
from billing.rules.usage_rows import NO_ROW, read_json, read_lines

PATH: Final = "/v1/usage"
BYTES_MAX: Final = 1_048_576
"""The largest batch, in bytes."""
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"


def rows_of(body: bytes, kind: str) -> Sequence[Any]:
    """Return the rows of a batch; one that can't be read is among them. Raises `Refused`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("malformed_request", "the body is not UTF-8", where="body") from None
    kind = kind.partition(";")[0].strip().lower()
    if kind not in (JSON, LINES):
        raise Refused("unsupported_media_type", f"send {JSON} or {LINES}")
    rows = list(read_lines(text)) if kind == LINES else _events(read_json(text))
    if len(rows) > BATCH_MAX:
        raise Refused(
            "invalid_request",
            f"a batch has at most {BATCH_MAX} events, and this has {len(rows)}",
            where="body.events",
            remedy="send several batches",
        )
    return rows


def _events(batch: Any) -> list[Any]:
    if batch is NO_ROW:
        raise Refused("malformed_request", "the body is no JSON", where="body")
    if not isinstance(batch, dict) or batch.keys() != {"events"}:
        raise Refused("invalid_request", "a batch is an object with events alone", where="body")
    events = batch["events"]
    if not isinstance(events, list):
        raise Refused("invalid_request", "events is a list", where="body.events")
    return events
