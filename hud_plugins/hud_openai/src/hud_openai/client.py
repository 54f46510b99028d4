"""One endpoint of OpenAI's APIs, through the official SDK: connections, and what its errors mean.

The SDK tries nothing again, not even with a client of somebody else's: the kernel does, which sees all calls.

Requests go through the SDK's generic ``post``, not ``chat.completions.create``, which walks through every message of
every request to rename keys that the API does not have: 4 ms of CPU for a conversation of twenty turns, where
``post`` takes 0.7 ms. Bodies are JSON both ways: to make them here is quicker, and endpoints that are not OpenAI's
deviate in ways that pydantic models either refuse or hide.

On asyncio the HTTP client is the SDK's aiohttp one: its pool costs the same at any number of connections, that of httpx
grows with their square (at 100 connections 1.3 ms a call against 0.8 with openai 3, and 15 against 0.8 with openai 2).
aiohttp knows only asyncio, so on trio it is the SDK's default client.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sniffio

from hud_core.agents.endpoint import ClientPerLoop, innermost, public_url, retry_after
from hud_core.errors import ContextOverflowError, ProviderError
from hud_core.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import APIError, APIStatusError, AsyncOpenAI, RequestOptions

    from hud_openai.config import EndpointConfig

TRANSIENT = (408, 409, 429)
"""Statuses below 500 that another try may change."""
OVERLOADED = (429, 503, 529)
"""Statuses that say that there is too much to do, or that requests come too fast."""
REJECTED = (400, 422)
"""Statuses that say that the request itself is at fault."""
SPENT = ("insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted")
"""Codes of a 429 that no waiting changes."""
WITHHELD = (
    "content_filter", "content_policy_violation", "bio_policy", "cyber_policy", "misalignment_policy_violation",
    "image_content_policy_violation",
)  # fmt: skip
"""Codes that say that the endpoint will not show the prompt to the model, or its answer to us."""
OVERFLOW = re.compile(r"context[ _](length|window|size)", re.IGNORECASE)
"""How endpoints say that a conversation is too long: OpenAI, vLLM, SGLang, llama.cpp, LiteLLM, each in its words."""


class RefusedError(ProviderError):
    """The endpoint answered with an error.

    Args:
        message: What it said.
        code: Its name for what is wrong.
        param: The field of the request that is at fault.
        how: What `ProviderError` takes.
    """

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None, **how: Any) -> None:
        super().__init__(message, **how)
        self.code = code
        self.param = param


class RejectedError(RefusedError):
    """The endpoint does not accept the request as it is."""


class WithheldError(RefusedError):
    """The endpoint's filter stopped the prompt or the answer."""


class Reply(NamedTuple):
    """What the endpoint answered."""

    body: bytes
    request_id: str | None


class Endpoint:
    """An endpoint. Its connections are kept for as long as the event loop, or until `aclose`.

    Args:
        config: Where it is and how to ask it.
        path: Where requests go, behind the base URL.
    """

    def __init__(self, config: EndpointConfig, path: str) -> None:
        import openai  # noqa: F401  takes a second: now, rather than in the middle of the first rollout

        self._config = config
        self._path = path
        given = config.openai_client.api_key if config.openai_client else None
        self._key = given or config.api_key or settings.openai_api_key or "none"
        self._clients = ClientPerLoop(partial(_make, config, self._key))

    async def check_key(self) -> None:
        """List the models, to find out whether the key is good for that.

        Raises:
            ProviderError: The key is refused, or the endpoint cannot be reached.
        """
        import openai

        client = self._config.openai_client or await self._clients.get()
        try:
            await client.get("/models", cast_to=openai.AsyncAPIResponse[object], options=self._options())
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.APIConnectionError) as error:
            raise self._meaning(error) from error
        except openai.APIError:
            return  # it knows the key, or does not ask for one; that it lists no models is no fault

    async def complete(self, body: Mapping[str, Any]) -> Reply:
        """Send one request.

        Raises:
            RefusedError: The endpoint answered with an error.
            ContextOverflowError: The conversation is too long.
            ProviderError: The endpoint failed otherwise.
        """
        import openai

        client = self._config.openai_client or await self._clients.get()
        try:
            response = await client.post(
                self._path,
                cast_to=openai.AsyncAPIResponse[object],
                content=msgspec.json.encode({**body, **self._config.completion_kwargs.get("extra_body", {})}),
                options=self._options(),
            )
            return Reply(self._without_key(await response.read()), response.request_id)
        except openai.APIError as error:
            raise self._meaning(error) from error

    async def aclose(self) -> None:
        """Close the connections of this event loop. A client that was given stays open."""
        await self._clients.aclose()

    def _options(self) -> RequestOptions:
        kwargs = self._config.completion_kwargs
        headers, query = kwargs.get("extra_headers", {}), kwargs.get("extra_query", {})
        return {"headers": headers, "params": query, "max_retries": 0}

    def _meaning(self, error: APIError) -> ProviderError:
        """Say what an error of the SDK means for a rollout, without the key, should the endpoint have repeated it."""
        import openai

        where = public_url(str(self._config.base_url or "https://api.openai.com/v1"))
        if isinstance(error, openai.APIStatusError):
            return self._refused(error, where)
        if isinstance(error, openai.APIConnectionError):
            return self._unreachable(error, where)
        return ProviderError(self._safe(f"{where} gave an answer that the SDK cannot read: {error}"))

    def _refused(self, error: APIStatusError, where: str | None) -> ProviderError:
        status = error.status_code
        said = error.body.get("message") if isinstance(error.body, dict) else None
        text = self._safe(f"{where} answered {status}: {said or error.message}")
        is_rejected = status in REJECTED
        if is_rejected and OVERFLOW.search(f"{error.code} {error.type} {said or error.message}"):
            return ContextOverflowError(text)
        is_transient = (status in TRANSIENT or status >= 500) and error.code not in SPENT  # noqa: PLR2004
        kind = RejectedError if is_rejected else RefusedError
        if is_rejected and is_withheld(error.code, text):
            kind = WithheldError
        return kind(
            text,
            code=error.code,
            param=error.param,
            retry=is_transient,
            retry_after=retry_after(error.response.headers),
            overloaded=is_transient and status in OVERLOADED,
        )

    def _unreachable(self, error: APIError, where: str | None) -> ProviderError:
        """Tell a refused connection from silence; the SDK calls either of them a timeout, as the HTTP client does."""
        import openai

        reason = innermost(error)
        is_refused = isinstance(reason, OSError) and not isinstance(reason, TimeoutError)
        if isinstance(error, openai.APITimeoutError) and not is_refused:
            return ProviderError(f"{where} did not answer in time; setting 'timeout' says how many seconds it has")
        return ProviderError(self._safe(f"cannot reach {where}: {reason}"))

    def _safe(self, text: str) -> str:
        return text if self._key == "none" else text.replace(self._key, "***")

    def _without_key(self, body: bytes) -> bytes:
        """Take the key out of an answer: a gateway that fails with status 200 repeats it there."""
        return body if self._key == "none" else body.replace(self._key.encode(), b"***")


def is_withheld(code: str | None, text: str) -> bool:
    """Whether an error is a filter's. OpenAI has one code for prompts that break its policies and for broken ones."""
    return code in WITHHELD or (code == "invalid_prompt" and "polic" in text)


def _make(config: EndpointConfig, key: str) -> AsyncOpenAI:
    import openai

    is_asyncio = sniffio.current_async_library() == "asyncio"
    return openai.AsyncOpenAI(
        base_url=config.base_url,
        api_key=key,
        timeout=openai.not_given if config.timeout is None else config.timeout,
        http_client=openai.DefaultAioHttpClient() if is_asyncio else openai.DefaultAsyncHttpxClient(),
    )
