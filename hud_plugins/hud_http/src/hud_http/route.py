"""Which way requests go: to their host itself, or through a proxy that the environment names."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from attrs import field, frozen

from hud_core.agents.endpoint import public_url
from hud_core.errors import ConfigError

PORTS = {"http": 80, "https": 443}
SAFE = "/%:@!$&'()*+,;=-._~"
"""What stands in a path as it is."""


class Origin(NamedTuple):
    """A server."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """What to connect to."""
        return self.host, self.port

    @property
    def netloc(self) -> str:
        """Host and port, as `CONNECT` and the `Host` of other ports than the scheme's want them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        return self.netloc if self.port != PORTS[self.scheme] else self.netloc.rpartition(":")[0]


@frozen
class Proxy:
    """A forward proxy, spoken to over plain HTTP."""

    host: str
    port: int
    name: str
    """How messages call it: without what is secret."""
    header: str = field(default="", repr=False)
    """The header line that says to it who asks, if it wants to know."""

    @property
    def address(self) -> tuple[str, int]:
        """What to connect to."""
        return self.host, self.port


def read_url(url: str) -> tuple[Origin, str, str]:
    """Take a URL apart: its origin, its path without a slash at the end, and its query.

    Raises:
        ConfigError: It has no host, or a port that is none.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise ConfigError(f"{public_url(url)!r} is no address: {error}") from error
    if not host or parts.scheme not in PORTS:
        raise ConfigError(f"{public_url(url)!r} is no address: it must be like http://host:8000/v1")
    origin = Origin(parts.scheme, host, PORTS[parts.scheme] if port is None else port)
    return origin, quote(parts.path, safe=SAFE).rstrip("/"), quote(parts.query, safe=f"{SAFE}?")


def proxy_for(origin: Origin) -> Proxy | None:
    """Find the proxy that the environment (or the system) names for an origin.

    That is ``HTTPS_PROXY``, ``HTTP_PROXY`` or ``ALL_PROXY``, in either case, unless ``NO_PROXY`` lists the host: by its
    name, the end of its name, its address, or a network such as ``10.0.0.0/8``.

    Raises:
        ConfigError: The proxy is of a kind that is not spoken here.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url or proxy_bypass(origin.host) or proxy_bypass(origin.netloc) or _is_near(origin, proxies.get("no", "")):
        return None
    return _read_proxy(url if "://" in url else f"http://{url}")


def _is_near(origin: Origin, no_proxy: str) -> bool:
    """Whether a host that is given as an address lies in one of the networks of ``NO_PROXY``."""
    try:
        address = ip_address(origin.host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if address in ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue  # a name
    return False


def _read_proxy(url: str) -> Proxy:
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise ConfigError(
            f"the environment names the proxy {public_url(url)!r}, but requests go through http:// proxies only; "
            "for another kind give setting 'model_client', a client of the vendor's SDK that goes through it"
        )
    origin, _, _ = read_url(url)
    header = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        header = f"proxy-authorization: Basic {b64encode(user.encode()).decode()}\r\n"
    return Proxy(origin.host, origin.port, f"http://{origin.authority}", header)
