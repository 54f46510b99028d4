"""What agents on model APIs share about their endpoint: a client for each event loop, addresses, waits, causes."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio
from anyio.lowlevel import current_token

from hud_core.environment.references import bare_url
from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from attrs import Attribute


CLOSING = 5.0
"""Seconds that a client has to close its connections."""
SHORTEST_SECRET = 8
"""Characters; what is shorter stands for no key, such as ``EMPTY`` at local servers, and may be a part of any word."""


class Client(Protocol):
    """**Protocol:** a client of a vendor's SDK."""

    async def close(self) -> None:
        """Close its connections."""

    def is_closed(self) -> bool:
        """Whether that was done."""
        ...


C = TypeVar("C", bound=Client)


class ClientPerLoop(Generic[C]):
    """A client for each event loop that asks for one, closed with its loop, whoever forgot to: or by `aclose`.

    Args:
        make: Makes a client, in the loop that it is for. It must not refer back to whoever holds this object: a cycle
            is collected all at once, and its connections are lost before they are closed.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._made: dict[object, tuple[C, AsyncGenerator[None, None]]] = {}

    async def get(self) -> C:
        """Give the client of this event loop, made on first use."""
        loop = current_token()
        if loop not in self._made:
            self._made = {token: made for token, made in self._made.items() if not made[0].is_closed()}
            client = self._make()
            life = _life(client)
            await anext(life)
            self._made[loop] = client, life
        return self._made[loop][0]

    async def aclose(self) -> None:
        """Close the client of this event loop."""
        _, life = self._made.pop(current_token(), (None, None))
        if life is not None:
            await life.aclose()


async def _life(client: Client) -> AsyncGenerator[None, None]:
    """Close a client when the event loop ends: a loop closes what generators are left in it, and trio cancels them."""
    try:
        yield
    finally:
        with anyio.move_on_after(CLOSING, shield=True):
            await client.close()


def must_be_url(_: object, attribute: Attribute[Any], value: str | None) -> None:
    """Check a setting that is a URL: a validator."""
    if value is None:
        return
    if not value.startswith(("http://", "https://")):
        raise ConfigError(f"setting {attribute.name!r} must begin with http:// or https://, got {public_url(value)!r}")
    if urlsplit(value).username is not None:  # records and messages show URLs
        raise ConfigError(f"setting {attribute.name!r} must hold no user and password; give a key or a header instead")


def public_url(url: str | None) -> str | None:
    """Give a URL without what may be a secret in it: user, password, query."""
    return None if url is None else bare_url(url)


def address_of(client: object) -> str | None:
    """Give where a client of somebody's own sends requests, without secrets; None where it does not tell."""
    url = getattr(client, "base_url", None)
    return str(public_url(str(url))).rstrip("/") if url else None


def without_secrets(text: str, *secrets: object) -> str:
    """Take keys, and what else was sent in confidence, out of a text, should an endpoint have repeated it."""
    for secret in sorted(map(str, filter(None, secrets)), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds an endpoint asks to wait: in milliseconds, in seconds, or until a date."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        return _until(headers.get("retry-after", ""))


def _until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def innermost(error: BaseException) -> BaseException:
    """Give the first cause of an error, which the SDKs wrap several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
