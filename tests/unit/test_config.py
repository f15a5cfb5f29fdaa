"""Settings: where they come from, what is refused, and what is shown."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from billing.cli.session import Session
from billing.config import all_keys, format_duration, load_settings, parse_duration
from billing.errors import BadInput
from billing.gateway.stripe.kind import CAPABILITIES
from billing.plans.terms import Cadence, Dunning
from billing.workers.runtime.runtime import access, minimum_amounts, policy_of
from tests import processes

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"
SHIPPED = Path(__file__).parents[2] / "config.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any config.toml that happens to lie where the tests are run."""
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def refusal(path: Path | None, env: Mapping[str, str]) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_settings(path, env)
    return caught.value


def test_without_a_file_the_defaults_run_everything_embedded_in_sandbox_mode(
    tmp_path: Path,
) -> None:
    settings = load_settings(None, {})

    assert (settings.mode, settings.database.url, settings.redis.url) == (
        "sandbox",
        "embedded",
        "embedded",
    )
    assert settings.uses_embedded_sandbox
    assert policy_of(settings).keys_hold(CAPABILITIES) == timedelta(hours=23)
    assert settings.embedded.dir == tmp_path / ".perennial"


def test_one_validator_is_built_and_checks_every_section() -> None:
    """Building one for each section too was a tenth of a short command's time."""
    program = (
        "from billing.config import Settings, load_settings;"
        "load_settings(None, {'BILLING__DUNNING__BUDGET__MAX_ATTEMPTS': '3'});"
        "parts = [field.annotation for field in Settings.model_fields.values()];"
        "built = [part for part in parts if getattr(part, '__pydantic_complete__', False)];"
        "print(Settings.__pydantic_complete__, built)"
    )
    done: subprocess.CompletedProcess[str] = processes.run([sys.executable, "-c", program])

    assert (done.stdout, done.returncode) == ("True []\n", 0), done.stderr


def test_the_shipped_file_says_nothing_but_defaults() -> None:
    shipped = load_settings(SHIPPED, {}).show()
    default = load_settings(None, {}).show()

    paths = {"embedded.dir", "plans.catalog"}
    assert {key: value for key, value in shipped.items() if key not in paths} == {
        key: value for key, value in default.items() if key not in paths
    }


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[scheduler]\ntick = "5s"\nbatch = 10\n')

    settings = load_settings(file, {"BILLING__SCHEDULER__TICK": "7s", "HOME": "/elsewhere"})

    assert settings.scheduler.tick == timedelta(seconds=7)
    assert settings.scheduler.batch == 10


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk_test_123\n")

    settings = load_settings(None, {"BILLING__PROVIDERS__STRIPE__API_KEY_FILE": str(secret)})

    assert settings.credentials("stripe")["api_key"] == "sk_test_123"


def test_a_secret_given_twice_or_by_a_missing_file_is_refused(tmp_path: Path) -> None:
    missing = {"BILLING__PROVIDERS__STRIPE__API_KEY_FILE": str(tmp_path / "none")}

    assert "can't be read" in refusal(None, missing).what
    assert (
        "set twice"
        in refusal(None, {**missing, "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_1"}).what
    )


def test_relative_paths_count_from_the_file_and_not_from_where_we_are(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, '[plans]\ncatalog = "sold"\n'), {})

    assert settings.plans.catalog == tmp_path / "sold"


def test_an_unknown_key_names_file_line_key_and_what_was_meant(tmp_path: Path) -> None:
    file = written(tmp_path, '[scheduler]\ntick = "1s"\nbacth = 10\n')

    error = refusal(file, {})

    assert error.what == "unknown key 'bacth'"
    assert error.where == f"{file}:3, scheduler.bacth"
    assert error.remedy == "did you mean batch?"


def test_an_unknown_variable_is_refused_too() -> None:
    error = refusal(None, {"BILLING__SHEDULER__TICK": "1s"})

    assert error.where == "environment, BILLING__SHEDULER__TICK"
    assert error.remedy == "did you mean scheduler?"


def test_all_problems_are_reported_in_one_run(tmp_path: Path) -> None:
    file = written(tmp_path, 'mode = "test"\n[scheduler]\nbatch = 0\n[worker]\nthreds = 3\n')

    words = str(refusal(file, {}))

    assert all(part in words for part in (":1, mode", ":3, scheduler.batch", ":5, worker.threds"))


@pytest.mark.parametrize(
    ("env", "part"),
    [
        ({"SCHEDULER__TICK": "1 fortnight"}, "not a duration"),
        ({"SCHEDULER__TICK": "0s"}, "longer than nothing"),
        ({"DATABASE__URL": "mysql://host/x"}, "must be"),
        ({"METRICS__HOST": "0.0.0.0"}, "not every interface"),
        ({"METRICS__HOST": "::"}, "not every interface"),
        ({"DUNNING__RETRY_AFTER": "3 moons"}, "not a cadence"),
        ({"CHARGES__MINIMUM_AMOUNTS__USD": "0.505"}, "decimals"),
        ({"CHARGES__MINIMUM_AMOUNTS__ABC": "1"}, "ISO 4217"),
        ({"INVOICES__PREFIX": "inv"}, "must be capitals and digits"),
        ({"INVOICES__PREFIX": "INV-"}, "must be capitals and digits"),
        ({"INVOICES__PREFIX": ""}, "must be capitals and digits"),
        ({"INVOICES__PREFIX": "INVOICE-27"}, "at most 9 characters"),
        ({"INVOICES__NUMBERING": "gapless"}, "Input should be"),
        ({"CHARGES__LEASE": "60s"}, "longer than its lease"),
        ({"RECONCILER__LEASE": "60s"}, "longer than the lease"),
        ({"CHARGES__KEY_MAX_AGE": "24h"}, "made twice"),
        ({"CHARGES__KEY_MAX_AGE": "1381m"}, "made twice"),
        ({"PROVIDERS": "{}"}, "no provider is left"),
        ({"PROVIDERS__MAIN__API_KEY": "sk_test_1"}, "providers.main.kind says which provider"),
        ({"PROVIDERS__MAIN__KIND": "piggy_bank"}, "providers.main.kind says which provider"),
        ({"PROVIDERS": '{"Main": {"kind": "stripe"}}'}, "can't be a provider's name"),
        ({"STRIPE": "sk_test_1"}, "providers.stripe: Input should be"),
        ({"PROVIDERS__STRIPE__TIMEOUT_READ": "90s"}, "longer than the whole call"),
        ({"CHARGES__UNKNOWN_BACKOFF": "1h"}, "longer than the longest"),
        ({"TEMPORAL__ADDRESS": "temporal"}, "must be a host with a port"),
        ({"TEMPORAL__ADDRESS": "http://temporal:7233"}, "must be a host with a port"),
        ({"TEMPORAL__ADDRESS": "temporal:99999"}, "must be a host with a port"),
        ({"TEMPORAL__AT": "2:00"}, "must be a time of day"),
        ({"TEMPORAL__AT": "24:00"}, "must be a time of day"),
        ({"TEMPORAL__TASK_QUEUE": "it's ours"}, "should match pattern"),
        ({"TEMPORAL__API_KEY": "secret"}, "where everybody on the way can read it"),
        ({"PROVIDERS__STRIPE__API_KEY": "sk_live_1"}, "would charge real cards"),
        ({"MODE": "live", "PROVIDERS__STRIPE__API_KEY": "sk_test_1"}, "this is a test key"),
        ({"MODE": "live", "PROVIDERS__STRIPE__API_BASE": "http://127.0.0.1:1"}, "another server"),
        ({"MODE__X": "live"}, "Input should be"),
    ],
)
def test_what_is_wrong_is_refused(env: dict[str, str], part: str) -> None:
    assert part in refusal(None, {f"BILLING__{key}": value for key, value in env.items()}).what


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_live_mode_takes_a_live_key_and_has_no_sandbox(key: str) -> None:
    settings = load_settings(
        None, {"BILLING__MODE": "live", "BILLING__PROVIDERS__STRIPE__API_KEY": key}
    )

    assert not settings.uses_embedded_sandbox
    assert settings.credentials("stripe")["api_key"] == key


def test_live_mode_without_a_key_loads_but_reaches_no_provider() -> None:
    settings = load_settings(None, {"BILLING__MODE": "live"})

    assert not settings.uses_embedded_sandbox
    with pytest.raises(BadInput, match="no key"):
        settings.credentials("stripe")["api_key"]


def test_lists_and_tables_come_from_the_environment() -> None:
    settings = load_settings(
        None,
        {
            "BILLING__DUNNING__RETRY_AFTER": "1d, 2 weeks",
            "BILLING__DUNNING__THEN": "unpaid",
            "BILLING__DUNNING__BUDGET": '{"max_attempts": 4}',
            "BILLING__CHARGES__MINIMUM_AMOUNTS__JPY": "100",
        },
    )

    assert settings.dunning.ladder == Dunning((Cadence(1, "day"), Cadence(2, "week")), "unpaid")
    assert settings.dunning.budget.max_attempts == 4
    assert minimum_amounts(settings)["JPY"] == 100
    assert minimum_amounts(settings)["USD"] == 50


def test_a_rule_for_movements_names_an_account_that_takes_them() -> None:
    name = "BILLING__RECONCILER__MOVEMENTS__"
    settings = load_settings(None, {f"{name}TOPUP": "bank"})

    assert dict(policy_of(settings).movement_accounts) == {"topup": "bank"}
    for account in ("psp_clearing", "revenue", "nothing"):
        assert "reconciler.movements.topup" in str(refusal(None, {f"{name}TOPUP": account}))


def test_secrets_are_neither_shown_nor_part_of_an_error_or_repr() -> None:
    env = {
        "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_hush",
        "BILLING__DATABASE__URL": "postgresql://me:hush@host/billing",
    }
    settings = load_settings(None, env)

    assert settings.show()["providers.stripe.api_key"] == "********"
    assert settings.show()["database.url"] == "postgresql://me:********@host/billing"
    assert "hush" not in repr(settings)
    wrong = {**env, "BILLING__DATABASE__URL": "mysql://me:hush@host/billing"}
    assert "hush" not in str(refusal(None, wrong))


def test_settings_are_immutable() -> None:
    settings = load_settings(None, {})

    with pytest.raises(ValueError, match="frozen"):
        settings.mode = "live"


def test_every_key_is_documented() -> None:
    text = DOCUMENTATION.read_text()

    assert [key for key in all_keys() if f"| `{key}` |" not in text] == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("15m", 900), ("23h", 82_800), ("2d", 172_800)],
)
def test_durations_are_read_and_written(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("text", ["", "30", "-5s", "1.5h", "s", 30, None])
def test_other_texts_are_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


# --- providers ----------------------------------------------------------------------------------

TWO = """
[providers.main]
kind = "stripe"
api_key = "sk_test_main"

[providers.nordic]
kind = "stripe"
api_key = "sk_test_nordic"
rate_per_second = 10
"""


def test_accounts_have_names_and_the_first_is_the_default(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, TWO), {})

    assert (list(settings.providers), settings.default_provider) == (["main", "nordic"], "main")
    assert settings.credentials("nordic") == {"api_key": "sk_test_nordic"}
    assert settings.provider("nordic").rate_per_second == 10
    assert settings.hints == ()


def test_another_account_is_the_default_if_it_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, TWO + "default = true\n")

    assert load_settings(file, {}).default_provider == "nordic"


def test_two_defaults_are_refused_where_the_second_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, TWO + "default = true\n")

    error = refusal(file, {"BILLING__PROVIDERS__MAIN__DEFAULT": "true"})

    assert error.what == "main and nordic are both the default"
    assert error.where == f"{file}:10, providers.nordic.default"


def test_the_key_of_each_account_comes_from_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "nordic").write_text("sk_test_secret\n")
    env = {"BILLING__PROVIDERS__NORDIC__API_KEY_FILE": str(tmp_path / "nordic")}

    settings = load_settings(written(tmp_path, TWO), env)

    assert settings.credentials("nordic") == {"api_key": "sk_test_secret"}
    assert settings.credentials("main") == {"api_key": "sk_test_main"}


def test_an_account_without_a_key_says_which_one_and_how_to_set_it(tmp_path: Path) -> None:
    settings = load_settings(
        written(tmp_path, 'mode = "live"\n[providers.nordic]\nkind = "stripe"'), {}
    )

    with pytest.raises(BadInput, match="no key") as caught:
        settings.credentials("nordic")

    assert caught.value.where == "providers.nordic.api_key"
    assert "BILLING__PROVIDERS__NORDIC__API_KEY_FILE" in str(caught.value.remedy)


def test_an_unknown_key_of_an_account_names_what_was_meant(tmp_path: Path) -> None:
    file = written(tmp_path, '[providers.main]\nkind = "stripe"\napi_kee = "x"\n')

    error = refusal(file, {})

    assert (error.where, error.remedy) == (
        f"{file}:3, providers.main.api_kee",
        "did you mean api_key?",
    )


@pytest.mark.parametrize(
    ("key", "text", "part"),
    [
        ("timeout_read", '"90s"', "longer than the whole call"),
        ("api_key", '"sk_live_1"', "would charge real cards"),
    ],
)
def test_what_an_account_gets_wrong_is_told_with_its_name(
    tmp_path: Path, key: str, text: str, part: str
) -> None:
    file = written(tmp_path, f'[providers.main]\nkind = "stripe"\n{key} = {text}\n')

    error = refusal(file, {})

    assert part in error.what
    assert error.where == f"{file}:3, providers.main.{key}"


def test_the_slowest_account_has_to_fit_into_the_lease(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, TWO + 'deadline = "3m"\n'), {})

    assert error.remedy == "make charges.lease longer than providers.nordic.deadline"


def test_the_section_of_earlier_versions_is_read_with_a_hint(tmp_path: Path) -> None:
    file = written(tmp_path, '[stripe]\ndeadline = "40s"\n')

    settings = load_settings(file, {"BILLING__STRIPE__API_KEY": "sk_test_1"})

    assert settings.credentials("stripe") == {"api_key": "sk_test_1"}
    assert settings.provider().deadline == timedelta(seconds=40)
    assert settings.show()["providers.stripe.kind"] == "stripe"
    assert "[providers.stripe]" in settings.hints[0]


def test_what_is_wrong_in_the_section_of_earlier_versions_is_found_there(tmp_path: Path) -> None:
    file = written(tmp_path, '[stripe]\ntimeout_read = "90s"\n')

    assert refusal(file, {}).where == f"{file}:2, stripe.timeout_read"


def test_both_forms_at_once_are_one_error(tmp_path: Path) -> None:
    file = written(tmp_path, TWO)

    error = refusal(file, {"BILLING__STRIPE__API_KEY": "sk_test_1"})

    assert error.where == "environment, BILLING__STRIPE__API_KEY"
    assert error.remedy == "move what [stripe] says into [providers.stripe]"


def test_the_secrets_of_an_endpoint_belong_to_one_account(tmp_path: Path) -> None:
    file = written(tmp_path, TWO + 'webhook_secrets = ["whsec_n"]\n')

    settings = load_settings(file, {"BILLING__WEBHOOKS__SECRETS": "whsec_a, whsec_b"})

    assert settings.webhook_secrets("main") == ("whsec_a", "whsec_b")
    assert settings.webhook_secrets("nordic") == ("whsec_n",)


def test_the_default_account_has_its_endpoints_secrets_from_one_place(tmp_path: Path) -> None:
    env = {
        "BILLING__WEBHOOKS__SECRETS": "whsec_a",
        "BILLING__PROVIDERS__MAIN__WEBHOOK_SECRETS": "whsec_b",
    }

    error = refusal(written(tmp_path, TWO), env)

    assert "are both given" in error.what
    assert error.where == "environment, BILLING__WEBHOOKS__SECRETS"


def test_the_command_line_hints_at_the_new_name_and_leaves_its_answer_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(config=written(tmp_path, '[stripe]\ndeadline = "40s"\n'))

    assert session.settings is session.settings

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("[providers.stripe]") == 1


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "9" * 5_000],
    ids=["lists", "digits"],
)
def test_a_file_that_no_reader_can_bear_is_bad_input(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be read"):
        load_settings(written(tmp_path, text), {})


@pytest.mark.parametrize("value", ["[" * 100_000, "[" + "9" * 5_000 + "]", "{" * 100_000])
def test_a_variable_that_no_reader_can_bear_is_bad_input(value: str) -> None:
    with pytest.raises(BadInput):
        load_settings(None, {"BILLING__DUNNING__RETRY_AFTER": value, "BILLING__X": value})


@pytest.mark.parametrize("secret", ["pass\x00word", "pass\x1bword", "pass\x9bword"])
def test_a_secret_with_a_control_character_is_refused_and_not_repeated(
    secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(secret)

    for env in (
        {"BILLING__API__PEPPER_FILE": str(file)},
        {"BILLING__API__PEPPER": secret},
        {"BILLING__API__PEPPER": "caf\udce9"},
    ):
        with pytest.raises(BadInput, match=r"api\.pepper has a control character") as refused:
            load_settings(None, env)
        assert "word" not in str(refused.value)


def test_a_name_of_a_file_that_cannot_be_one_is_bad_input() -> None:
    with pytest.raises(BadInput, match="can't be read"):
        load_settings(None, {"BILLING__API__PEPPER_FILE": "a\x00b"})


# --- another kind of provider ---------------------------------------------------------------------

BRAINTREE = """
[providers.wallets]
kind = "braintree"
merchant_id = "shop"
public_key = "public"
private_key = "hidden"
merchant_accounts = { EUR = "shop_eur" }
"""


def test_a_braintree_account_has_a_pair_of_keys_and_merchant_accounts(tmp_path: Path) -> None:
    env = {"BILLING__PROVIDERS__WALLETS__MERCHANT_ACCOUNTS__JPY": "shop_jpy"}
    settings = load_settings(written(tmp_path, TWO + BRAINTREE), env)

    assert settings.credentials("wallets") == {
        "merchant_id": "shop",
        "public_key": "public",
        "private_key": "hidden",
        "environment": "sandbox",
        "merchant_account_EUR": "shop_eur",
        "merchant_account_JPY": "shop_jpy",
        "fees_from_disbursement": "false",
    }
    assert settings.webhook_secrets("wallets") == ("public:hidden",)
    assert settings.provider("main").kind == "stripe"
    assert "hidden" not in str(settings.show())


def test_the_fees_of_a_braintree_account_may_be_taken_from_its_payouts(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, BRAINTREE + "fees_from_disbursement = true\n"), {})

    assert settings.credentials("wallets")["fees_from_disbursement"] == "true"


def test_live_mode_is_braintrees_production(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, 'mode = "live"\n' + BRAINTREE), {})

    assert settings.credentials("wallets")["environment"] == "production"


def test_half_a_braintree_account_is_not_the_embedded_sandbox(tmp_path: Path) -> None:
    half = BRAINTREE.replace('private_key = "hidden"\n', "")
    settings = load_settings(written(tmp_path, half), {})

    assert not settings.in_embedded_sandbox("wallets")
    with pytest.raises(BadInput, match="no key") as caught:
        settings.credentials("wallets")
    assert caught.value.where == "providers.wallets.private_key"
    named = load_settings(written(tmp_path, "[providers.braintree]"), {})
    assert named.in_embedded_sandbox("braintree")
    assert named.webhook_secrets("braintree") == ("sandbox:sandbox",), "that sandbox's own keys"


def test_an_account_of_the_embedded_sandbox_keeps_what_is_set_beside_its_keys(
    tmp_path: Path,
) -> None:
    named = '[providers.braintree]\nmerchant_accounts = { EUR = "shop_eur" }\n'
    settings = load_settings(written(tmp_path, named + f'[embedded]\ndir = "{tmp_path}"\n'), {})
    (tmp_path / "sandbox.json").write_text('{"url": "http://127.0.0.1:1"}')

    credentials, url = access(settings, "braintree")

    assert url == "http://127.0.0.1:1"
    assert credentials["merchant_account_EUR"] == "shop_eur"
    assert credentials["merchant_id"] == "perennial"


@pytest.mark.parametrize(
    ("section", "where", "told"),
    [
        ("[providers.shop]", "providers.shop.kind", "one of stripe, braintree"),
        ('[providers.shop]\nkind = "paypal"', "providers.shop.kind", "one of stripe, braintree"),
        (
            '[providers.braintree]\napi_key = "sk_test_1"',
            "providers.braintree.api_key",
            "did you mean",
        ),
        ('[providers.stripe]\nmerchant_id = "shop"', "providers.stripe.merchant_id", "one of"),
        (
            '[providers.braintree]\nmerchant_accounts = { euro = "x" }',
            "providers.braintree.merchant_accounts.euro",
            "configuration.md",
        ),
    ],
)
def test_what_a_kind_of_provider_does_not_have_is_named_where_it_stands(
    tmp_path: Path, section: str, where: str, told: str
) -> None:
    error = refusal(written(tmp_path, section), {})

    assert where in str(error.where)
    assert told in str(error.remedy)
