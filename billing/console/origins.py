"""Where a request comes from: pages of other sites start nothing here.

A browser says so itself in `Sec-Fetch-Site`, to addresses that it trusts (https, loopback); to
others it sends the `Origin` of what is posted. What has neither doesn't come from our pages.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

SAFE: Final = frozenset({"GET", "HEAD"})
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})


def is_foreign(method: str, headers: Mapping[str, str], own_url: str) -> bool:
    """Tell whether a request was started by another site, or may have been.

    A link that is followed from elsewhere is not: its page is opened, and changes nothing.
    """
    site = headers.get("sec-fetch-site")
    if method in SAFE:
        return site in _ELSEWHERE and headers.get("sec-fetch-mode") != "navigate"
    if site is not None:
        return site != "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    own = {headers.get("host", ""), urlsplit(own_url).netloc} - {""}
    return origin.scheme not in ("http", "https") or origin.netloc not in own
