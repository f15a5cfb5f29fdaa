"""docs/sandbox.md says all that can be set and asked for on the Braintree side."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from billing.sandbox.braintree import behaviours
from billing.sandbox.braintree.notifications import KINDS
from billing.sandbox.braintree.settings import MerchantAccount, MerchantSettings
from billing.sandbox.control.braintree import ENDPOINTS

PAGE = Path(__file__).resolve().parents[3].joinpath("docs/sandbox.md").read_text()
SECTION = PAGE.partition("\n## Braintree\n")[2].partition("\n## ")[0]
SPANS = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", SECTION, flags=re.DOTALL)))
STEPS = sorted({*behaviours._CARD_STEPS.items(), *behaviours._PAYPAL_STEPS.items()})


@pytest.mark.parametrize(("step", "outcome"), STEPS)
def test_every_step_has_its_row_with_its_codes(step: str, outcome: str) -> None:
    rows = [line for line in SECTION.splitlines() if line.startswith("|") and f"`{step}`" in line]
    told = re.findall(r"\d{2,}", outcome)

    assert any(all(code in row for code in told) for row in rows)


@pytest.mark.parametrize("nonce", sorted(behaviours._LATER))
def test_every_nonce_of_ours_is_named(nonce: str) -> None:
    assert nonce in SPANS


@pytest.mark.parametrize(
    "name", [each.name for each in (*fields(MerchantSettings), *fields(MerchantAccount))]
)
def test_every_setting_is_named(name: str) -> None:
    assert name in SPANS


@pytest.mark.parametrize("method_and_path", sorted(ENDPOINTS))
def test_every_control_endpoint_has_its_row(method_and_path: tuple[str, str]) -> None:
    method, path = method_and_path
    pattern = re.compile(rf"/_sandbox/{re.escape(path)}".replace(r"\*", r"\{\w+\}") + "$")
    rows = [line for line in SECTION.splitlines() if line.startswith("| `")]
    requests = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in rows]

    assert any(
        any(pattern.search(span) for span in spans) and method in " ".join(spans)
        for spans in requests
    )


def test_every_kind_of_notification_is_named_or_is_a_step_of_a_dispute() -> None:
    missing = [kind for kind in KINDS if kind not in SPANS]

    assert all(kind.startswith("dispute_") for kind in missing)
