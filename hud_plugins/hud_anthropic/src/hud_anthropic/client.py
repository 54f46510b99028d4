"""Anthropic's Messages API, through the official SDK: connections, streams, and what its errors mean.

The SDK tries nothing again, not even with a client of somebody else's: the kernel does, which sees all calls.

Requests go through the SDK's generic ``post``, not ``messages.create``, and answers, which are streams, are read whole,
then taken apart: nobody looks at half a message, and generators and a class for each event would cost more than all the
rest. Bodies are encoded here, because the SDK walks through those that it encodes itself, with all of the conversation
in them. Only the clients of Bedrock and Vertex must be handed plain data, which they turn into something else.

The SDK's HTTP client sends over hud_http's connections, which cost the same for one and for a thousand.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from hud_anthropic.stream import Reader, read_error, read_events
from hud_core.agents.endpoint import ClientPerLoop, innermost, public_url, retry_after, without_secrets
from hud_core.errors import ContextOverflowError, HudError, ProviderError
from hud_http.route import read_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anthropic import APIError, APIStatusError, AsyncAnthropic, AsyncAPIResponse

    from hud_anthropic.config import ClaudeConfig

TIMEOUT = 600.0
"""Seconds of silence, where no setting says otherwise: as the SDK has it."""
TRANSIENT = (408, 409, 429)
"""Statuses below 500 that another try may change."""
OVERLOADED = (429, 503, 529)
"""Statuses that say that there is too much to do, or that requests come too fast."""
TOO_LARGE = 413
REJECTED = (400, 422)
"""Statuses that say that the request itself is at fault."""
LASTING_ERRORS = (
    "authentication_error", "billing_error", "invalid_request_error", "not_found_error", "permission_error",
    "request_too_large",
)  # fmt: skip
"""Kinds of errors, in the middle of a stream, that another try does not change."""
OVERLOADS = ("overloaded_error", "rate_limit_error")
"""Kinds of errors that say what `OVERLOADED` says."""
TOO_LONG = ("prompt is too long", "input is too long", "exceed context limit", "context window")
"""What is said of a conversation that does not fit: Anthropic has no code for it, and Bedrock says it differently."""


EVENT_STREAM, JSON = "text/event-stream", "application/json"


class RejectedError(ProviderError):
    """The endpoint does not accept the request as it is."""


class Reply(NamedTuple):
    """What the endpoint answered."""

    message: dict[str, Any]
    request_id: str | None


class Endpoint:
    """The endpoint of an agent. Its connections are kept for as long as the event loop, or until `aclose`.

    Raises:
        ConfigError: Its address is none.
    """

    def __init__(self, config: ClaudeConfig) -> None:
        import anthropic  # noqa: F401  takes a second: now, rather than in the middle of the first rollout

        if config.base_url:
            read_url(config.base_url)
        self._config = config
        self._clients = ClientPerLoop(partial(_make, config))

    async def send(self, body: Mapping[str, Any], betas: Iterable[str]) -> Reply:
        """Send one request, read the message that is streamed back.

        Raises:
            ContextOverflowError: The conversation is too long.
            ProviderError: The endpoint failed, or broke off its answer.
        """
        import anthropic

        given = cast("AsyncAnthropic | None", self._config.model_client)
        client = await self._clients.get() if given is None else given
        try:
            response = await self._post(client, body, ",".join(dict.fromkeys(betas)))
            reader = await _read(response, client)
        except anthropic.APIError as error:
            if isinstance(own := error.__cause__, HudError):  # hud_http's, which says all
                own.args = (self._safe(str(own)),)
                raise own from own.__cause__
            raise self._meaning(error) from error
        if reader.error is not None:
            raise self._broken_off(*reader.error)
        return Reply(reader.message, response.headers.get("request-id"))

    async def aclose(self) -> None:
        """Close the connections of this event loop. A client that was given stays open."""
        await self._clients.aclose()

    async def _post(self, client: AsyncAnthropic, body: Mapping[str, Any], betas: str) -> AsyncAPIResponse[object]:
        import anthropic

        path = "/v1/messages?beta=true" if betas else "/v1/messages"
        if self._config.model_client is None:  # those of clouds look at the path; ours takes long to put a URL together
            path = str(client.base_url).rstrip("/") + path
        is_plain = isinstance(client, anthropic.AsyncAnthropic)
        headers = {**({"anthropic-beta": betas} if betas else {}), **self._config.extra_headers}
        return await client.post(
            path,
            cast_to=anthropic.AsyncAPIResponse[object],
            options={"headers": headers, "max_retries": 0},
            content=msgspec.json.encode(body) if is_plain else None,
            body=None if is_plain else dict(body),
        )

    # --- what errors mean ---------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return public_url(self._config.base_url) or "https://api.anthropic.com"

    def _meaning(self, error: APIError) -> ProviderError:
        """Say what an error of the SDK means for a rollout."""
        import anthropic

        if isinstance(error, anthropic.APIStatusError):
            return self._refused(error)
        if isinstance(error, anthropic.APIConnectionError):
            return self._unreachable(error)
        return self._failed(f"{self._where} gave an answer that the SDK cannot read: {error}")

    def _refused(self, error: APIStatusError) -> ProviderError:
        status, kind, said = error.status_code, *_said(error)
        if error.response.is_success:  # the status is an old one: this is an event in the middle of the stream
            return self._broken_off(said, kind)
        text = f"{self._where} answered {status}: {said}"
        if status == TOO_LARGE or (status in REJECTED and any(words in said.lower() for words in TOO_LONG)):
            return ContextOverflowError(self._safe(text))
        is_transient = status in TRANSIENT or status >= 500  # noqa: PLR2004
        raised = RejectedError if status in REJECTED else ProviderError
        return raised(
            self._safe(text),
            retry=is_transient,
            retry_after=retry_after(error.response.headers),
            overloaded=status in OVERLOADED or (is_transient and kind in OVERLOADS),
        )

    def _unreachable(self, error: APIError) -> ProviderError:
        """Tell a refused connection from silence; the SDK calls either of them a timeout, as the HTTP client does."""
        import anthropic
        import httpx2

        reason = innermost(error)
        if isinstance(error.__cause__, httpx2.ReadError | httpx2.RemoteProtocolError | httpx2.DecodingError):
            return self._broken_off(repr(reason))
        is_refused = isinstance(reason, OSError) and not isinstance(reason, TimeoutError)
        if isinstance(error, anthropic.APITimeoutError) and not is_refused:
            return self._silent()
        return self._failed(f"cannot reach {self._where}: {reason}")

    def _silent(self) -> ProviderError:
        return ProviderError(f"{self._where} did not answer in time; setting 'timeout' says how many seconds it has")

    def _broken_off(self, reason: str, kind: str = "") -> ProviderError:
        text = self._safe(f"{self._where} broke off its answer: {': '.join(filter(None, (kind, reason)))}")
        return ProviderError(text, retry=kind not in LASTING_ERRORS, overloaded=kind in OVERLOADS)

    def _failed(self, text: str) -> ProviderError:
        return ProviderError(self._safe(text))

    def _safe(self, text: str) -> str:
        """Take the key and the headers out of a text, should the endpoint have repeated them."""
        own = getattr(self._config.model_client, "api_key", None) or self._config.api_key
        return without_secrets(text, own, *self._config.extra_headers.values())


def _make(config: ClaudeConfig) -> AsyncAnthropic:
    """Make a client. No method: what refers to its endpoint would keep the connections of a forgotten agent open."""
    import anthropic

    from hud_http.transport import http_client

    return anthropic.AsyncAnthropic(
        base_url=config.base_url,
        api_key=config.api_key or "none",
        timeout=anthropic.not_given if config.timeout is None else config.timeout,
        http_client=http_client(timeout=TIMEOUT if config.timeout is None else config.timeout, renews=True),
    )


async def _read(response: AsyncAPIResponse[object], client: AsyncAnthropic) -> Reader:
    """Read an answer."""
    import anthropic

    reader = Reader()
    kind = response.headers.get("content-type", "")
    if kind.startswith(EVENT_STREAM):
        for event in read_events(await response.read()):
            reader.feed(event)
    elif kind.startswith(JSON):  # some gateways do not stream, whatever they are asked
        reader.feed_whole(await response.read())
    else:  # Bedrock streams in a form of its own, which the SDK knows
        async for event in anthropic.AsyncStream(cast_to=object, response=response.http_response, client=client):
            reader.feed(event)
    return reader


def _said(error: APIStatusError) -> tuple[str, str]:
    """Give the kind of an error, and what the endpoint said."""
    said, kind = read_error(error.body)
    return kind, said or error.message
