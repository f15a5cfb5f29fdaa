"""No secret is shown: every setting that is one is masked wherever settings are printed."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel, SecretStr

from billing.config import Settings, load_settings
from billing.config.show import sections_of
from billing.logs import redact
from tests.cli.world import Cli

HUSH = "hush0123456789abcdef0123456789abcdef"
# Settings that are an address, which may carry a password.
ADDRESSES = {
    "database.url": "postgresql://me:{}@db.example/billing",
    "redis.url": "rediss://:{}@redis.example/0",
}
BESIDE = {
    "database.url": "postgresql://db.example/billing?user=me&password={}&sslmode=require",
    "redis.url": "redis://redis.example/0?password={}",
}
SHAPES = {
    "providers.stripe.api_key": "sk_test_{}",
    "providers.stripe.webhook_secrets": "whsec_{0},whsec_{0}2",
    "webhooks.secrets": "whsec_{0},whsec_{0}2",
}

# Settings without which a secret is refused.
NEEDED = {"temporal.api_key": {"BILLING__TEMPORAL__TLS": "true"}}


def settings_of(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting with its type."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if sections := sections_of(kind):
            for section in sections:
                (named,) = get_args(section.model_fields["kind"].annotation)
                yield from settings_of(section, f"{at}{name}.{named}.")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{at}{name}.")
        else:
            yield f"{at}{name}", kind


def is_secret(kind: object) -> bool:
    return kind is SecretStr or any(is_secret(part) for part in get_args(kind))


SECRETS = [name for name, kind in settings_of(Settings) if is_secret(kind)]


def variable(name: str) -> str:
    return "BILLING__" + name.replace(".", "__").upper()


def test_what_is_named_like_a_secret_is_one() -> None:
    words = r"(secrets?|password|token|pepper|api_key|private_key)$"
    named = {name for name, _ in settings_of(Settings) if re.search(words, name)}

    assert named == set(SECRETS) != set()


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, SHAPES.get(name, "{}")) for name in SECRETS]
    + [*ADDRESSES.items(), *BESIDE.items()],
)  # fmt: skip
def test_a_secret_is_shown_as_stars(cli: Cli, name: str, value: str, output: str) -> None:
    env = {variable(name): value.format(HUSH)} | NEEDED.get(name, {})

    shown = cli.run("config", "show", "-o", output, **env)

    assert shown.exit_code == 0, shown.output
    assert name in shown.stdout
    assert "********" in shown.stdout
    assert HUSH not in shown.output
    assert HUSH not in repr(load_settings(None, env))


@pytest.mark.parametrize("address", [*ADDRESSES.values(), *BESIDE.values()])
def test_a_password_in_an_address_is_taken_out_of_log_lines(address: str) -> None:
    line = redact(None, "error", {"event": f"can't reach {address.format(HUSH)}: refused"})

    assert HUSH not in line["event"]
    assert line["event"].endswith("refused")


def test_an_error_about_a_secret_does_not_tell_it(cli: Cli) -> None:
    for name in SECRETS:
        wrong = cli.run("config", "show", **{variable(name): f'["{HUSH}", "", "{HUSH}"]'})
        assert HUSH not in wrong.output, name
