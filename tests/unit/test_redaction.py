"""No secret that can be told by its form is shown, however it is spelled."""

import pytest

from billing.redaction import without_secrets

SECRET = "Tr0ub4dor"
SPELLED = [
    f"postgresql://bob:{SECRET}@host/x",
    f"postgresql://bob:pa/{SECRET}+word=@host/x",
    f"postgresql://bob:p@{SECRET}@host/x",
    f"postgresql://bob:a {SECRET} b@host/x",
    f"postgresql://bob:1234/{SECRET}@host/x",
    f"postgresql+psycopg://bob:{SECRET}/@host:5432/x",
    f"postgres://bob:{SECRET}@host",
    f"redis://bob:x@{SECRET}@h",
    f"rediss://:{SECRET}/y@h:6379/0",
    f"http://proxy:{SECRET}@host:3128",
    f"http://proxy:12{SECRET}/x@host:3128",
    f"postgresql://host/x?password={SECRET}&sslmode=require",
    f"postgresql://host/x?sslpassword={SECRET}",
    f"host=h password={SECRET} dbname=x",
    f"host=h password = '{SECRET} b' dbname=x",
    f"host=h password='it\\'s {SECRET}' dbname=x",
    f'{{"user": "bob", "password": "{SECRET}\\" x"}}',
    f"Authorization: Bearer {SECRET}",
    f"sk_live_{SECRET}",
    f"whsec_{SECRET}",
]


@pytest.mark.parametrize("text", SPELLED)
def test_a_secret_is_masked(text: str) -> None:
    shown = without_secrets(f"could not connect: {text} (timeout)", "****")

    assert SECRET not in shown
    assert "****" in shown
    assert shown.startswith("could not connect: ")


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8430/v1/payments of ada@example.com",
        "listening on http://127.0.0.1:8430",
        "postgresql:///billing?host=/run",
        "the password is set",
        "GET https://api.example.com:443 answered",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text, "****") == text
