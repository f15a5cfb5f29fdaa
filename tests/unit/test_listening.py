"""Which hosts mean every interface, in all the spellings that the system takes."""

import socket

import pytest

from billing.config import load_settings
from billing.errors import BadInput
from billing.listening import is_every_interface, refuse_every_interface

EVERYWHERE = [
    "", " ", "0", "0x0", "0.0", "0.0.0", "0.0.0.0", "000.0.0.0", "0x0.0", "::", "0::0",
    "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "::ffff:0:0",
]  # fmt: skip
ONE = ["127.0.0.1", "127.1", "0x7f000001", "::1", "::ffff:127.0.0.1", "10.0.0.7", "localhost"]


@pytest.mark.parametrize("host", EVERYWHERE, ids=repr)
def test_every_interface_is_told_in_every_spelling(host: str) -> None:
    assert is_every_interface(host)
    with pytest.raises(BadInput):
        refuse_every_interface(host, what="the API", setting="api.host")


@pytest.mark.parametrize("host", ["0", "0x0", "0.0", "000.0.0.0", "0.0.0.0"])
def test_the_spellings_are_those_that_a_socket_binds_to_every_interface(host: str) -> None:
    with socket.socket() as bound:
        bound.bind((host, 0))
        assert bound.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("host", ONE)
def test_one_address_is_one_address(host: str) -> None:
    assert not is_every_interface(host, look_up=True)


def test_a_name_that_means_every_interface_is_refused_when_it_is_listened_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everywhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("0.0.0.0", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: everywhere)

    with pytest.raises(BadInput, match="not on every interface"):
        refuse_every_interface("any.example", what="the API", setting="api.host")


@pytest.mark.parametrize("setting", ["API__HOST", "METRICS__HOST"])
@pytest.mark.parametrize("host", ["0", "0x0", "::ffff:0.0.0.0"])
def test_the_configuration_refuses_every_interface(setting: str, host: str) -> None:
    with pytest.raises(BadInput, match="every interface"):
        load_settings(None, {f"BILLING__{setting}": host})
