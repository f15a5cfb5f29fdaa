"""Which addresses a server may listen on: one, never every interface of the machine."""

import socket
from ipaddress import IPv6Address, ip_address

from billing.errors import BadInput


def is_every_interface(host: str, *, look_up: bool = False) -> bool:
    """Tell whether a host means every interface, in any spelling that the system takes.

    "0", "0x0", "0.0" and "::ffff:0.0.0.0" do, as "0.0.0.0", "::" and "" do. A name is only asked of
    the resolver with `look_up`; a name that it can't resolve isn't every interface.
    """
    if not host.strip():
        return True
    try:
        found = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=0 if look_up else socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return False
    return any(_is_unspecified(str(address[0])) for *_, address in found)


def refuse_every_interface(host: str, *, what: str, setting: str) -> None:
    """Check a host before it is listened on. Raises `BadInput`."""
    if is_every_interface(host, look_up=True):
        raise BadInput(
            f"{what} listens on one address, not on every interface ({host or 'empty address'})",
            where=setting,
            remedy=f'name one address, like "127.0.0.1", as {setting}',
        )


def _is_unspecified(address: str) -> bool:
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_unspecified
    return found.is_unspecified
