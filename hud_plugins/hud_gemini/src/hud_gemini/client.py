"""The Gemini API, through the official SDK: connections, and what its errors mean. One request a call, no retries.

A request goes out as the ``extra_body`` of the SDK's ``generate_content``, and its answer comes back as it is: bodies
are JSON both ways, made and read here. The SDK's own types would be built, copied and converted back for every turn of
every request: 9 ms of CPU a call in a conversation of twenty turns, where this takes 0.8 (tests/benchmarks).

The HTTP client is given to the SDK, whose own ones look for asyncio's event loop. It sends over hud_http's connections,
which cost the same for one and for a thousand.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import sniffio

from hud_core.agents.endpoint import ClientPerLoop, public_url, retry_after, without_secrets
from hud_core.errors import ConfigError, ContextOverflowError, ProviderError
from hud_http.route import read_url

if TYPE_CHECKING:
    from google.genai.errors import APIError
    from google.genai.types import HttpOptionsDict

    from hud_gemini.config import GeminiConfig

TIMEOUT = 600.0
TRANSIENT = (408, 409, 429, 499)
"""Statuses below 500 that another try may change."""
OVERLOADED = (429, 503, 529)
TOO_LONG = re.compile(r"token count.{0,80}(exceed|only supports)|exceeds the maximum number of tokens", re.IGNORECASE)
"""How endpoints say that a conversation does not fit into the model's context."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
ONLY_ASYNCIO = (
    "google-genai can use this client on asyncio only: on trio a model_client needs http_options="
    "{'httpx_async_client': httpx2.AsyncClient()}, and Vertex AI an api_key"
)


class RejectedError(ProviderError):
    """The endpoint does not accept the request as it is."""


class Connected:
    """A client of the SDK, with the HTTP client that was given to it."""

    def __init__(self, config: GeminiConfig, key: str) -> None:
        import httpx2
        from google.genai import Client
        from google.genai.types import HttpOptions

        from hud_http.transport import http_client

        self._http = http_client(timeout=TIMEOUT if config.timeout is None else config.timeout)
        unused = httpx2.Client(transport=httpx2.BaseTransport())  # the SDK's would read certificates and proxies
        options: dict[str, Any] = {"timeout": int(TIMEOUT * 1000), **_options(config)}
        options |= {"httpx_async_client": self._http, "httpx_client": unused}
        if config.base_url:
            options["base_url"] = config.base_url
        self.client = Client(
            vertexai=config.vertexai,
            api_key=None if config.cloud_project and not config.api_key else key,
            project=config.cloud_project,
            location=config.cloud_location,
            http_options=HttpOptions(**options),
        )

    async def close(self) -> None:
        """Close the connections."""
        self.client.close()
        await self._http.aclose()

    def is_closed(self) -> bool:
        """Whether that was done."""
        return self._http.is_closed


class Endpoint:
    """The Gemini API at one address. Its connections are kept for as long as the event loop, or until `aclose`.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, config: GeminiConfig) -> None:
        from google.genai.types import Content  # takes a second: now, rather than in the middle of the first rollout

        from hud_gemini.request import request_of

        if config.base_url:
            read_url(config.base_url)
        self._config = config
        self._request = request_of(_options(config) if config.model_client else {})  # our own client has them
        self._contents = Content()  # some must be given; those of the body take their place
        own = getattr(config.model_client, "_api_client", None)  # the SDK has no public name for a client's key
        self._key = getattr(own, "api_key", None) or config.key or "none"
        self._where = public_url(config.base_url) or ("Vertex AI" if config.is_on_vertex else "the Gemini API")
        self._clients = ClientPerLoop(partial(Connected, config, self._key))

    async def generate(self, body: dict[str, Any]) -> str:
        """Send one request, and give the body of the answer.

        Raises:
            ProviderError: The endpoint failed.
            ContextOverflowError: The conversation does not fit into the model's context.
        """
        from google.auth.exceptions import GoogleAuthError
        from google.genai.errors import APIError

        client = self._config.model_client or (await self._clients.get()).client
        try:
            answer = await client.aio.models.generate_content(
                model=self._config.model or "", contents=self._contents, config=self._request.with_body(body)
            )
        except APIError as error:
            raise self._refused(error) from error
        except GoogleAuthError as error:
            raise ProviderError(f"no access to Vertex AI: {error}", retry=False) from error
        except ProviderError as error:  # hud_http's, which says all
            error.args = (self._safe(str(error)),)
            raise
        except _unanswered() as error:
            raise self._broken(error) from error
        except RuntimeError as error:
            if sniffio.current_async_library() == "asyncio":
                raise
            raise ConfigError(ONLY_ASYNCIO) from error
        return without_secrets((answer.sdk_http_response and answer.sdk_http_response.body) or "", self._key)

    async def aclose(self) -> None:
        """Close the connections of this event loop. A client that was given stays open."""
        await self._clients.aclose()

    # --- errors -------------------------------------------------------------------------------------------------------

    def _refused(self, error: APIError) -> ProviderError:
        """Say what an answer other than 200 means for a rollout, without the key, should it repeat the key."""
        text = self._safe(f"{self._where} answered {error.code}: {error.message or error.status or error.details}")
        told = _details(error.details)
        reasons = [detail.get("reason") for detail in told]
        if error.code in (400, 413) and TOO_LONG.search(text):
            return ContextOverflowError(text)
        if error.code == 400 and "API_KEY_INVALID" not in reasons:  # noqa: PLR2004
            return RejectedError(text, retry=False)
        is_transient = (error.code in TRANSIENT or error.code >= 500) and not _is_spent(told)  # noqa: PLR2004
        return ProviderError(
            text,
            retry=is_transient,
            retry_after=_retry_delay(told) or retry_after(getattr(error.response, "headers", {})),
            overloaded=is_transient and error.code in OVERLOADED,
        )

    def _broken(self, error: Exception) -> ProviderError:
        """Say what a failure without an answer means."""
        import httpx2

        if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
            text = f"{self._where} did not answer in time; setting 'timeout' says how many seconds it has"
            return ProviderError(text)
        if isinstance(error, ValueError):
            return ProviderError(self._safe(f"{self._where} answered with an error that cannot be read: {error}"))
        return ProviderError(self._safe(f"no answer from {self._where}: {str(error) or type(error).__name__}"))

    def _safe(self, text: str) -> str:
        """Take the key and the headers out of a text, should the endpoint repeat them."""
        return without_secrets(text, self._key, *(self._config.extra_headers or {}).values())


def _options(config: GeminiConfig) -> HttpOptionsDict:
    """Give the options of requests; what is not set is as the client has it."""
    version = config.api_version or ("v1beta1" if config.is_on_vertex else "v1beta")
    options: HttpOptionsDict = {"retry_options": {"attempts": 1}, "api_version": version}
    if config.extra_headers:
        options["headers"] = config.extra_headers
    if config.timeout is not None:
        options["timeout"] = int(config.timeout * 1000)
    return options


def _unanswered() -> tuple[type[Exception], ...]:
    """Give what is raised where there is no answer, by the HTTP client of a client that was given, too."""
    import httpx2

    aiohttp = sys.modules.get("aiohttp")  # the SDK imports and uses it where it is installed
    return httpx2.HTTPError, OSError, ValueError, *([aiohttp.ClientError] if aiohttp else [])


# --- what Google says beside the message ------------------------------------------------------------------------------


def _details(body: object) -> list[dict[str, Any]]:
    """Give the details of an error, each of which is an object that names its type."""
    error = body.get("error") if isinstance(body, dict) else None
    return _objects(error.get("details")) if isinstance(error, dict) else []


def _objects(value: object) -> list[dict[str, Any]]:
    """Give the objects of a list; gateways write anything in its place."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """Read how many seconds a ``RetryInfo`` asks to wait."""
    delays = (DURATION.fullmatch(str(detail.get("retryDelay"))) for detail in details)
    return next((float(found[1]) for found in delays if found), None)


def _is_spent(details: list[dict[str, Any]]) -> bool:
    """Whether a quota of the day is spent, which no wait within a job brings back."""
    violations = (violation for detail in details for violation in _objects(detail.get("violations")))
    return any("PerDay" in str(violation.get("quotaId")) for violation in violations)
