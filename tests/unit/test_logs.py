"""Log lines: one format for ours and the libraries', and nothing secret in them."""

import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from billing.logs import HIDDEN, configure_logging, redact
from billing.pan import CARD_REMOVED


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the lines go; the run's own logging comes back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_a_librarys_look_alike(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)

    structlog.get_logger("billing").info("charged", payment="p1", amount=999)
    logging.getLogger("library").warning("retrying %s", "soon")

    ours, library = lines(stream)
    assert (ours["event"], ours["payment"], ours["level"]) == ("charged", "p1", "info")
    assert (library["event"], library["logger"]) == ("retrying soon", "library")
    assert ours["timestamp"].endswith("Z")


def test_a_level_silences_what_is_below_it(stream: io.StringIO) -> None:
    configure_logging("json", "warning", stream)

    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")

    assert stream.getvalue() == ""


def test_a_traceback_is_redacted_too(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)

    try:
        raise ValueError("sk_live_51abc was refused")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "51abc" not in stream.getvalue()
    assert "ValueError" in lines(stream)[0]["exception"]


def test_the_console_format_is_for_reading(stream: io.StringIO) -> None:
    configure_logging("console", "info", stream)

    structlog.get_logger().info("charged", payment="p1")

    assert "charged" in stream.getvalue()
    assert "payment=p1" in stream.getvalue()


@pytest.mark.parametrize(
    ("key", "value", "clean"),
    [
        ("api_key", "anything", HIDDEN),
        ("stripe_api_key", "anything", HIDDEN),
        ("Authorization", "Basic abc", HIDDEN),
        ("event", "key rk_test_abc123 used", f"key rk_test_{HIDDEN} used"),
        ("event", "whsec_abc", f"whsec_{HIDDEN}"),
        ("event", "Bearer abc.def", f"Bearer {HIDDEN}"),
        ("client", "pi_1_secret_xyz", f"pi_1_secret_{HIDDEN}"),
        ("url", "postgresql://me:pw@host/db", f"postgresql://me:{HIDDEN}@host/db"),
        ("event", "card 4242 4242 4242 4242 given", CARD_REMOVED),
        ("number", 4242424242424242, CARD_REMOVED),
        ("nested", {"list": ["4242-4242-4242-4242"]}, {"list": [CARD_REMOVED]}),
        ("event", "first\n4242424242424242\nlast", f"first\n{CARD_REMOVED}\nlast"),
        ("payment_method", "pm_card_visa", "pm_card_visa"),
        ("idempotency_key", "sandbox:s1:2026-01-01:a1", "sandbox:s1:2026-01-01:a1"),
        ("amount", 999, 999),
        ("ok", True, True),
    ],
)
def test_what_is_taken_out_and_what_stays(key: str, value: object, clean: object) -> None:
    assert redact(None, "info", {key: value}) == {key: clean}


def test_every_line_of_a_role_names_it_and_its_process(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream, role="worker")

    structlog.get_logger("billing").info("charged")
    logging.getLogger("library").warning("retrying")

    assert [(line["role"], line["pid"]) for line in lines(stream)] == [("worker", os.getpid())] * 2


def test_the_end_of_a_thread_is_a_line_too(stream: io.StringIO) -> None:
    before = threading.excepthook
    configure_logging("json", "info", stream, role="worker")
    try:
        thread = threading.Thread(target=lambda: int("x"), name="pages")
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before

    (line,) = lines(stream)
    assert line["event"] == "the thread pages ended by an error"
    assert "ValueError" in line["exception"]
