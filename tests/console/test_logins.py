"""Who gets in, for how long, and what is remembered of it."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.flows.service.api_keys import PersonRole, Scope
from tests.console.console_under_test import Browser, ConsoleUnderTest, Reader, running_console
from tests.scenarios.world import World


def actions(world: World) -> list[tuple[str, str]]:
    with world.engine.connect() as conn:
        rows = conn.execute(
            text("SELECT actor, action FROM audit_log WHERE action LIKE 'console%' ORDER BY id")
        )
        return [(row.actor, row.action) for row in rows]


def test_a_key_opens_a_session_and_the_audit_log_says_so(
    console: ConsoleUnderTest, ann: Browser
) -> None:
    page = ann.page("/console")

    assert "What needs a person" in page.text
    assert "ann" in page.text
    assert "admin" in page.text
    assert actions(console.world) == [("console:ann", "console.login")]
    assert console.figure("billing_console_logins_total", result="opened") == 1


def test_the_cookie_is_kept_from_scripts_and_other_sites(console: ConsoleUnderTest) -> None:
    stranger = console.stranger(console.key(Scope.READ)[1])

    set_cookie = stranger.log_in().headers["set-cookie"]

    assert set_cookie.startswith("perennial=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=43200"} <= set(set_cookie.split("; "))
    assert "Secure" not in set_cookie


def test_behind_https_the_cookie_is_for_https_and_this_host_alone(world: World) -> None:
    with running_console(world, url="https://billing.example.com") as console:
        stranger = console.stranger(console.key(Scope.READ)[1])
        set_cookie = stranger.log_in().headers["set-cookie"]

    assert set_cookie.startswith("__Host-perennial=")
    assert {"HttpOnly", "Path=/", "Secure"} <= set(set_cookie.split("; "))
    assert "Domain" not in set_cookie


def test_the_database_has_no_token(console: ConsoleUnderTest, ann: Browser) -> None:
    (token,) = ann.http.cookies.values()
    with console.world.engine.connect() as conn:
        (row,) = conn.execute(text("SELECT * FROM console_sessions"))

    assert token
    assert token not in str(row)
    assert len(row.token_hash) == 64


def test_a_session_ends_with_log_out(console: ConsoleUnderTest, ann: Browser) -> None:
    (token,) = ann.http.cookies.values()

    assert ann.post("/console/logout").status_code == 303
    assert ann.get("/console").status_code == 401
    ann.http.cookies.set("perennial", token)
    assert ann.get("/console").status_code == 401
    assert actions(console.world)[-1] == ("console:ann", "console.logout")


def test_a_session_ends_when_its_time_is_over(console: ConsoleUnderTest, ann: Browser) -> None:
    console.world.wait(timedelta(hours=11, minutes=59))
    assert ann.get("/console").status_code == 200

    console.world.wait(timedelta(minutes=2))

    assert ann.get("/console").status_code == 401


def test_a_session_ends_when_its_key_is_revoked(console: ConsoleUnderTest) -> None:
    key_id, key = console.key(Scope.READ)
    ann = console.stranger(key)
    ann.log_in()
    assert ann.get("/console").status_code == 200

    console.revoke(key_id)

    assert ann.get("/console").status_code == 401
    assert ann.log_in().status_code == 401


@pytest.mark.parametrize("scopes", [(Scope.USAGE,), (Scope.CHARGE, Scope.REFUND)])
def test_a_key_that_may_not_read_opens_nothing(
    console: ConsoleUnderTest, scopes: tuple[Scope, ...]
) -> None:
    stranger = console.stranger(console.key(*scopes)[1])

    answer = stranger.log_in()

    assert answer.status_code == 401
    assert "may not read" in Reader(answer.text).text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("key", ["", "nonsense", "perennial_bcdfghjkmnpq_" + "0" * 64])
def test_what_is_no_key_opens_nothing(console: ConsoleUnderTest, key: str) -> None:
    assert console.stranger(key).log_in().status_code == 401
    assert console.figure("billing_console_logins_total", result="refused") == 1


def test_keys_can_be_tried_only_so_often(world: World) -> None:
    with running_console(world, logins_per_minute=3) as console:
        stranger = console.stranger("nonsense")
        answers = [stranger.log_in().status_code for _ in range(5)]

        assert answers == [401, 401, 401, 429, 429]
        assert console.figure("billing_console_logins_total", result="limited") == 2


@pytest.mark.parametrize(
    ("asked", "opened"),
    [
        ("/console/failed?stage=ladder", "/console/failed?stage=ladder"),
        ("/console", "/console"),
        ("", "/console"),
        ("https://example.com/console", "/console"),
        ("//example.com", "/console"),
        ("/console\\..\\x", "/console"),
        ("/console/\nset-cookie: a=b", "/console"),
        ("/consoles", "/console"),
        ("/v1/payments", "/console"),
    ],
)
def test_after_the_log_in_only_pages_of_ours_are_opened(
    console: ConsoleUnderTest, asked: str, opened: str
) -> None:
    stranger = console.stranger(console.key(Scope.READ)[1])

    answer = stranger.post("/console/login", {"key": stranger.key, "next": asked})

    assert (answer.status_code, answer.headers["location"]) == (303, opened)


def test_who_comes_without_a_session_gets_back_to_what_they_asked_for(
    console: ConsoleUnderTest,
) -> None:
    answer = console.stranger().get("/console/payments?state=FAILED")

    assert answer.status_code == 401
    assert Reader(answer.text).fields["next"] == "/console/payments?state=FAILED"


@pytest.mark.parametrize(
    ("role", "told"), [(PersonRole.VIEWER, "viewer"), (PersonRole.FINANCE, "finance")]
)
def test_a_page_names_the_role_that_follows_from_the_scopes(
    console: ConsoleUnderTest, role: PersonRole, told: str
) -> None:
    assert told in console.person(role).page("/console").text
