"""The words of a provider stay behind its border: `billing/gateway/` and the configuration.

Rules, flows, tables and processes use the engine's own words, so that a second provider changes
none of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEHIND = [
    "billing/api", "billing/cli", "billing/flows", "billing/ledger", "billing/presenters",
    "billing/pricing", "billing/queries", "billing/rules", "billing/store", "billing/tax",
    "migrations/versions", "plans", "workers",
]  # fmt: skip
TEXTS = {".py", ".pyi", ".toml", ".proto", ".sql"}
# Names of the provider and its objects, and the beginnings of its ids.
WORDS = re.compile(
    r"payment_?intent|setup_?intent|stripe|braintree|paypal|\b(?:pi|ch|pm|cus|evt|re|dp|po|txn|seti|src|whsec)_",
    re.IGNORECASE,
)
# The reason why a file may speak of the provider all the same.
ALLOWED = {
    # Examples for people, of what the provider's own pages show them.
    "billing/api/remedies.py": "an example of a token",
    "billing/api/schema_types.py": "an example of a token",
    "billing/cli/commands/customers.py": "an example of a token",
    "billing/cli/remedies.py": "an example of a token",
    "billing/cli/templates.py": "the configuration that `billing init` writes",
    # What rows of before were called, in the migration that renames them.
    "migrations/versions/0006_event_kinds.py": "words that it replaces",
    "migrations/versions/0011_provider_accounts.py": "the account of the rows of before",
    "migrations/versions/0014_provider_of_settlement.py": "the account of the rows of before",
    "migrations/versions/0019_clearing_by_account.py": "the account of the rows of before",
    "billing/rules/provider_names.py": "the account of the rows of before",
    # The demo and the sandbox, which speak the provider's interface.
    "workers/demo/accounts.py": "demo data",
    "workers/demo/checks.py": "demo data",
    "workers/demo/money.py": "the sandbox's webhook endpoint",
    "workers/demo/report.py": "demo data",
    "workers/demo/sandbox.py": "a client of the sandbox",
    "workers/demo/run.py": "the demo's configuration",
    "workers/demo/settings.py": "the demo's configuration",
    "workers/demo/world.py": "the sandbox's test cards",
    "workers/up/sandbox.py": "a client of the sandbox",
}


def files() -> Iterator[str]:
    """Yield the path of every file that has to keep to the engine's words."""
    for folder in BEHIND:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in TEXTS:
                yield str(file.relative_to(ROOT))


def spoken(path: str) -> list[str]:
    """Return the lines of a file that speak of the provider."""
    lines = (ROOT / path).read_text().splitlines()
    return [f"{path}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if WORDS.search(line)]


def test_no_word_of_a_provider_is_spoken_behind_the_border() -> None:
    said = [line for path in files() if path not in ALLOWED for line in spoken(path)]

    assert said == []


@pytest.mark.parametrize("path", sorted(ALLOWED))
def test_what_is_allowed_is_still_needed(path: str) -> None:
    assert spoken(path), f"take {path} out of the list"


@pytest.mark.parametrize(
    "text",
    [
        "PaymentIntent",
        "payment_intent",
        "a Stripe account",
        "braintree",
        "PayPal",
        "pi_3Nx",
        "`pm_...`",
        "whsec_a",
    ],
)  # fmt: skip
def test_the_words_are_found_where_they_are_spoken(text: str) -> None:
    assert WORDS.search(text)


@pytest.mark.parametrize("text", ["api_key", "batch_size", "epi_center", "payment", "re.compile"])
def test_words_of_ours_are_none_of_them(text: str) -> None:
    assert not WORDS.search(text)
