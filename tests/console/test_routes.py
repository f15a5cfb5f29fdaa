"""Every route: refused without a session, with too little, from elsewhere, with a revoked key."""

import requests

from billing.console.guard import HEADERS
from billing.console.pages import PAGES
from billing.console.requests import HOME
from billing.flows.service.api_keys import PersonRole, Scope
from tests.console.console_under_test import Browser, ConsoleUnderTest, Reader

ROUTES = [(page.method, HOME + page.path, page.needs) for page in PAGES]
ROUTES += [("POST", f"{HOME}/logout", Scope.READ)]
FROM_ELSEWHERE = (
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
)
"""What a browser sends for another site's picture, script or fetch."""
POSTED_FROM_ELSEWHERE: tuple[dict[str, str | None], ...] = (
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None},
    {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None, "Origin": "https://example.com"},
    {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None, "Origin": "null"},
)


def ask(
    browser: Browser, method: str, path: str, headers: dict[str, str | None] | None = None
) -> requests.Response:
    filled = path.replace("{reference}", "0").replace("{entry}", "1").replace("{break_id}", "0")
    if method == "POST":
        return browser.post(filled, headers=headers)
    return browser.get(filled, **{name: value or "" for name, value in (headers or {}).items()})


def test_no_route_is_open_without_a_session(console: ConsoleUnderTest) -> None:
    stranger = console.stranger()
    for method, path, _ in ROUTES:
        answer = ask(stranger, method, path)

        assert answer.status_code == 401, path
        assert "Log in" in Reader(answer.text).text
        assert "set-cookie" not in answer.headers


def test_no_route_is_open_to_a_token_that_nobody_gave(console: ConsoleUnderTest) -> None:
    stranger = console.stranger()
    for token in ("", "x", "0" * 43, "../..", "'; --"):
        stranger.http.cookies.set("perennial", token)
        for method, path, _ in ROUTES:
            assert ask(stranger, method, path).status_code == 401, path


def test_no_route_is_open_once_the_key_is_revoked(console: ConsoleUnderTest) -> None:
    key_id, key = console.key(Scope.ADMIN)
    ann = console.stranger(key)
    ann.log_in()
    console.revoke(key_id)

    for method, path, _ in ROUTES:
        assert ask(ann, method, path).status_code == 401, path


def test_a_route_is_open_to_those_alone_whose_scopes_it_needs(console: ConsoleUnderTest) -> None:
    people = {role: console.person(role, str(role)) for role in PersonRole}
    for method, path, needs in (each for each in ROUTES if not each[1].endswith("logout")):
        for role, person in people.items():
            refused = ask(person, method, path).status_code == 403

            assert refused == (needs not in role.scopes and role is not PersonRole.ADMIN), path


def test_no_other_site_starts_anything_nor_reads_an_answer(
    console: ConsoleUnderTest, ann: Browser
) -> None:
    for method, path, _ in ROUTES:
        for headers in FROM_ELSEWHERE if method == "GET" else POSTED_FROM_ELSEWHERE:
            assert ask(ann, method, path, dict(headers)).status_code == 403, (path, headers)
    for headers in POSTED_FROM_ELSEWHERE:
        answer = ann.post("/console/login", {"key": ann.key}, headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert ann.get("/console").status_code == 200, "nobody logged them out"


def test_an_old_browser_says_where_a_form_comes_from_by_its_origin(ann: Browser) -> None:
    own = {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None, "Origin": ann.base}

    assert ann.post("/console/logout", headers=own).status_code == 303


def test_a_link_from_elsewhere_opens_a_page(ann: Browser) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert ann.get("/console/payments", **followed).status_code == 200


def test_every_answer_forbids_what_is_not_ours(console: ConsoleUnderTest, ann: Browser) -> None:
    asked = [
        ann.get("/console"),
        ann.get("/console/nothing-of-this-name"),
        ann.get("/console/static/console.css"),
        ann.get("/console/payments.csv"),
        console.stranger().get("/console"),
        console.stranger().get("/console/login"),
        ann.post("/console/login", headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    for answer in asked:
        assert HEADERS.keys() - {"cache-control"} <= answer.headers.keys()
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "no-store" in answer.headers["cache-control"] or "/static/" in answer.url
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_an_unknown_page_is_told_to_who_is_logged_in(
    console: ConsoleUnderTest, ann: Browser
) -> None:
    assert ann.get("/console/nothing").status_code == 404
    assert ann.get("/console/payments/ffffffff-ffff-7fff-bfff-ffffffffffff").status_code == 404
    assert console.stranger().get("/console/nothing").status_code == 401
    assert console.stranger().get("/v1/payments").status_code == 401


def test_a_method_that_a_page_has_not_is_refused(ann: Browser) -> None:
    assert ann.post("/console/payments").status_code == 405
    answer = ann.http.request("DELETE", f"{ann.base}/console", timeout=60)
    assert answer.status_code == 405


def test_a_form_that_is_too_large_or_no_form_is_refused(ann: Browser) -> None:
    assert ann.post("/console/login", {"key": "x" * 300_000}).status_code == 413
    answer = ann.http.post(f"{ann.base}/console/login", json={"key": "x"}, timeout=60)
    assert answer.status_code == 415


def test_a_card_number_is_refused_and_not_repeated(ann: Browser) -> None:
    answer = ann.get("/console/search?q=4242+4242+4242+4242")

    assert answer.status_code == 422
    assert "card number" in Reader(answer.text).text
    assert "4242" not in answer.text


def test_files_are_of_one_folder(console: ConsoleUnderTest, ann: Browser) -> None:
    for path in ("../console.py", "..%2fconsole.py", "%2e%2e/console.py", "", "static"):
        assert ann.http.get(f"{ann.base}/console/static/{path}", timeout=60).status_code == 404
