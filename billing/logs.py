"""Log lines for people or for machines, on stderr, with secrets and card numbers taken out.

Libraries that use the standard library's logging go the same way. Redaction is the last step
before a line is written, so that tracebacks pass through it too. It is a net, not a licence:
card numbers are refused where input arrives (see `billing.pan`) and secrets aren't logged.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from billing.pan import CARD_REMOVED, contains_card_number
from billing.redaction import without_secrets

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

HIDDEN: Final = "[hidden]"

_SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:secret|password|passwd|token|api_?key|authorization|cookie|cvc|cvv)$", re.IGNORECASE
)


def configure_logging(
    format: Format = "auto", level: Level = "info", stream: TextIO | None = None
) -> None:
    """Send every log line to `stream` (stderr) in this format from now on.

    "auto" is "console" on a terminal and "json" elsewhere. Calling it again replaces the
    earlier settings.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    if format == "auto":
        format = "console" if terminal else "json"
    render: Processor = structlog.processors.JSONRenderer(default=str)
    if format == "console":
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                render,
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Take secrets and card numbers out of a log event, however deep they lie."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, part) for part in value]
    if isinstance(value, int):
        return CARD_REMOVED if contains_card_number(str(value)) else value
    return _clean_text(str(value))


def _clean_text(text: str) -> str:
    text = without_secrets(text, HIDDEN)
    if contains_card_number(text):  # line by line, so that a traceback keeps the others
        lines = text.split("\n")
        text = "\n".join(CARD_REMOVED if contains_card_number(line) else line for line in lines)
        if contains_card_number(text):  # it ran over the end of a line
            return CARD_REMOVED
    return text
