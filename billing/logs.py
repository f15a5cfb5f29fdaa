"""Log lines for people or for machines, on stderr, with secrets and card numbers taken out.

Libraries that use the standard library's logging go the same way. Redaction is the last step
before a line is written, so that tracebacks pass through it too. It is a net, not a licence:
card numbers are refused where input arrives (see `billing.pan`) and secrets aren't logged.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from billing.pan import CARD_REMOVED, contains_card_number
from billing.redaction import without_secrets
from billing.tracing import ids

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

HIDDEN: Final = "[hidden]"

_SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:secret|password|passwd|token|api_?key|authorization|cookie|cvc|cvv)$", re.IGNORECASE
)


def configure_logging(
    format: Format = "auto",
    level: Level = "info",
    stream: TextIO | None = None,
    *,
    role: str | None = None,
) -> None:
    """Send every log line to `stream` (stderr) in this format from now on.

    "auto" is "console" on a terminal and "json" elsewhere. With a role, every line for a program
    names it and the process, and what ends a thread is a line, too, and no bare traceback. Calling
    it again replaces the earlier settings.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    if format == "auto":
        format = "console" if terminal else "json"
    render: Processor = structlog.processors.JSONRenderer(default=str)
    if format == "console":
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)
    named = [] if role is None or format == "console" else [_process_of(role)]
    shared: list[Processor] = [
        *named,
        structlog.contextvars.merge_contextvars,
        _name_trace,
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
    if role is not None:
        threading.excepthook = _log_end_of_thread


def _process_of(role: str) -> Processor:
    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["role"], event["pid"] = role, os.getpid()
        return event

    return name


def _name_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    event.update(ids())
    return event


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit or ended.exc_value is None:
        return
    name = "?" if ended.thread is None else ended.thread.name
    error = (ended.exc_type, ended.exc_value, ended.exc_traceback)
    logging.getLogger(__name__).error("the thread %s ended by an error", name, exc_info=error)


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
