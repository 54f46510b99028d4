"""Two ways for a request to an endpoint: over connections of our own, or through a client of the SDK that users bring.

A call over ours takes a fifth of the CPU, as the SDK builds and reads much that the agents do not look at; and without
the SDK, which is heavy, a process starts a second sooner.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import hud_core
from hud_core.agents.endpoint import ClientPerLoop, innermost, public_url
from hud_core.errors import ConfigError, ProviderError
from hud_http.pool import Pool
from hud_http.reply import Reply
from hud_http.route import read_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openai import AsyncOpenAI, RequestOptions

    from hud_openai.config import EndpointConfig

OPENAI = "https://api.openai.com/v1"
TIMEOUT = 600.0
"""Seconds for a request, where no setting says otherwise: as the SDK has it."""
FROM_OUTSIDE = {"openai-organization": "OPENAI_ORG_ID", "openai-project": "OPENAI_PROJECT_ID"}
"""Headers that environment variables may set."""
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
FIXED = ("connection", "content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer")
"""Headers that say how a request travels."""


class Sender(Protocol):
    """**Protocol:** a way for requests."""

    async def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send a request, and give the reply, whatever its status.

        Raises:
            ProviderError: There is none.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of this event loop."""


# --- our own ----------------------------------------------------------------------------------------------------------


class OwnSender:
    """Sends over connections of our own, which are kept for as long as the event loop, or until `aclose`.

    Args:
        config: Where the endpoint is and how to ask it.
        key: What it knows us by.

    Raises:
        ConfigError: A header, the key or the address cannot be sent.
    """

    def __init__(self, config: EndpointConfig, key: str) -> None:
        url = config.base_url or OPENAI
        origin, self._path, query = read_url(url)
        kwargs = config.completion_kwargs
        self._query = "&".join(filter(None, (query, urlencode(list(_pairs(kwargs.get("extra_query") or {}))))))
        own = {
            "host": origin.authority,
            "user-agent": f"hud-openai/{hud_core.__version__}",
            "accept": "application/json",
            "accept-encoding": "identity",  # answers are short: to compress them costs both sides more than it saves
            "content-type": "application/json",
            "authorization": f"Bearer {key}",
        }
        self._headers = _lines(own | _from_outside(), kwargs.get("extra_headers") or {})
        timeout = TIMEOUT if config.timeout is None else config.timeout
        self._pools = ClientPerLoop(partial(Pool, origin, where=str(public_url(url)), timeout=timeout))

    async def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send a request, and give the reply, whatever its status.

        Raises:
            ProviderError: There is none.
        """
        pool = await self._pools.get()
        target = f"{self._path}{path}?{self._query}" if self._query else f"{self._path}{path}"
        return await pool.send(method, target, self._headers, body)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._pools.aclose()


def _from_outside() -> dict[str, str]:
    """Give the headers that the environment asks for, by the variables that the SDK reads too."""
    headers = {name: value for name, variable in FROM_OUTSIDE.items() if (value := os.environ.get(variable))}
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


def _lines(own: Mapping[str, str], extra: Mapping[str, Any]) -> bytes:
    """Write headers; those that users add replace ours of the same name, or take them away with None.

    Raises:
        ConfigError: One of them cannot be sent.
    """
    added = {str(name).lower(): value for name, value in extra.items()}
    headers: dict[str, Any] = {**own, **added}
    for name, value in headers.items():
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a header")
        if name in FIXED:
            raise ConfigError(f"header {name!r} cannot be set: it says how the request travels")
        if value is not None and not (isinstance(value, str) and VALUE.fullmatch(value)):
            whose = "the API key" if name == "authorization" and name not in added else f"header {name!r}"
            raise ConfigError(f"{whose} must be one line of text, in characters that HTTP takes")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    return lines.encode("latin-1")


def sent_in_confidence(config: EndpointConfig) -> list[str]:
    """Give what requests tell the endpoint beside the key, in headers and queries, where secrets may be."""
    kwargs = config.completion_kwargs
    headers = {**_from_outside(), **(kwargs.get("extra_headers") or {})}
    queries = (*parse_qsl(urlsplit(config.base_url or "").query), *_pairs(kwargs.get("extra_query") or {}))
    return [*map(str, filter(None, headers.values())), *(value for _, value in queries)]


def _pairs(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Give the pairs of a query; lists and what is nested are written with brackets, as the SDK does."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _pairs(item, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pairs(item, f"{name}[]")
    elif value is not None:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)


# --- the SDK ----------------------------------------------------------------------------------------------------------


class SDKSender:
    """Sends through a client of the SDK, which stays open.

    The SDK tries nothing again: the kernel does, which sees all calls. Requests go through its generic ``post``, not
    ``chat.completions.create``, which walks through every message of every request to rename keys that the API does not
    have: 4 ms of CPU for a conversation of twenty turns, where ``post`` takes 0.7 ms.

    Args:
        client: The client.
        config: How to ask the endpoint.
    """

    def __init__(self, client: AsyncOpenAI, config: EndpointConfig) -> None:
        self._client = client
        self._where = public_url(config.base_url) or OPENAI
        kwargs = config.completion_kwargs
        headers, query = kwargs.get("extra_headers") or {}, kwargs.get("extra_query") or {}
        self._options: RequestOptions = {"headers": headers, "params": query, "max_retries": 0}

    async def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send a request, and give the reply, whatever its status.

        Raises:
            ProviderError: There is none.
        """
        import openai

        form, options = openai.AsyncAPIResponse[object], self._options
        try:
            if method == "GET":
                response = await self._client.get(path, cast_to=form, options=options)
            else:
                response = await self._client.post(path, cast_to=form, content=body, options=options)
            return Reply(response.status_code, response.headers, await response.read())
        except openai.APIStatusError as error:
            return Reply(error.status_code, error.response.headers, error.response.content)
        except openai.APIConnectionError as error:
            is_late = isinstance(error, openai.APITimeoutError)
            raise ProviderError(self._unreachable(innermost(error), is_late=is_late)) from error
        except openai.APIError as error:
            raise ProviderError(f"{self._where} gave an answer that the SDK cannot read: {error}") from error

    async def aclose(self) -> None:
        """Leave the client open."""

    def _unreachable(self, reason: BaseException, *, is_late: bool) -> str:
        """Tell a refused connection from silence; the SDK calls either of them a timeout, as some HTTP clients do."""
        is_refused = isinstance(reason, OSError) and not isinstance(reason, TimeoutError)
        if is_late and not is_refused:
            return f"{self._where} did not answer in time; the client's timeout says how many seconds it has"
        return f"cannot reach {self._where}: {reason}"
