"""One endpoint of OpenAI's APIs: what it is asked, and what its errors mean.

Bodies are JSON both ways: to make them here is quicker than the SDK does, and endpoints that are not OpenAI's deviate
in ways that pydantic models either refuse or hide. How requests travel says `hud_openai.sending`. Nothing is tried
again here: the kernel does that, which sees all calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hud_core.agents.endpoint import SHORTEST_SECRET, public_url, retry_after, without_secrets
from hud_core.errors import ContextOverflowError, ProviderError
from hud_core.settings import settings
from hud_openai.sending import OPENAI, OwnSender, SDKSender, sent_in_confidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_http.reply import Reply as Received
    from hud_openai.config import EndpointConfig
    from hud_openai.sending import Sender

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
UNKNOWN = (401, 403)
"""Statuses that say that the key is not good."""
ANSWERED = range(200, 300)
MOVED = range(300, 400)
LONGEST = 2_000
"""Characters of what an endpoint says is wrong that are passed on."""
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


class Problem(NamedTuple):
    """What an endpoint says is wrong."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None


class Endpoint:
    """An endpoint. Its connections are kept for as long as the event loop, or until `aclose`.

    Args:
        config: Where it is and how to ask it.
        path: Where requests go, behind the base URL.

    Raises:
        ConfigError: A header, the key or the address cannot be sent.
    """

    def __init__(self, config: EndpointConfig, path: str) -> None:
        client = config.openai_client
        self._path = path
        self._extra_body: Mapping[str, Any] = config.completion_kwargs.get("extra_body") or {}
        self._where = public_url(config.base_url) or OPENAI
        self._key = (client.api_key if client else None) or config.api_key or settings.openai_api_key or "none"
        self._secrets = (self._key, *sent_in_confidence(config))
        self._sender: Sender = SDKSender(client, config) if client else OwnSender(config, self._key)

    async def check_key(self) -> None:
        """List the models, to find out whether the key is good for that.

        Raises:
            ProviderError: The key is refused, or the endpoint cannot be reached.
        """
        reply = await self._send("GET", "/models")
        if reply.status in UNKNOWN:  # with another status it knows the key, or does not ask for one
            raise self._refused(reply)

    async def complete(self, body: Mapping[str, Any]) -> Reply:
        """Send one request.

        Raises:
            RefusedError: The endpoint answered with an error.
            ContextOverflowError: The conversation is too long.
            ProviderError: The endpoint failed otherwise.
        """
        content = msgspec.json.encode({**body, **self._extra_body} if self._extra_body else body)
        reply = await self._send("POST", self._path, content)
        if reply.status not in ANSWERED:
            raise self._refused(reply)
        return Reply(self._without_key(reply.body), reply.headers.get("x-request-id"))

    async def aclose(self) -> None:
        """Close the connections of this event loop. A client that was given stays open."""
        await self._sender.aclose()

    async def _send(self, method: str, path: str, body: bytes | None = None) -> Received:
        try:
            return await self._sender.send(method, path, body)
        except ProviderError as error:
            error.args = (self._safe(str(error)),)
            raise

    def _refused(self, reply: Received) -> ProviderError:
        """Say what an error means for a rollout."""
        status, problem = reply.status, _problem(reply)
        text = self._safe(f"{self._where} answered {status}: {problem.message}")
        is_rejected = status in REJECTED
        if is_rejected and OVERFLOW.search(f"{problem.code} {problem.type} {problem.message}"):
            return ContextOverflowError(text)
        is_transient = (status in TRANSIENT or status >= 500) and problem.code not in SPENT  # noqa: PLR2004
        kind = RejectedError if is_rejected else RefusedError
        if is_rejected and is_withheld(problem.code, text):
            kind = WithheldError
        return kind(
            text,
            code=problem.code,
            param=problem.param,
            retry=is_transient,
            retry_after=retry_after(reply.headers),
            overloaded=is_transient and status in OVERLOADED,
        )

    def _safe(self, text: str) -> str:
        """Take the key, headers and queries out of an error, should the endpoint have repeated them."""
        return without_secrets(text, *self._secrets)

    def _without_key(self, body: bytes) -> bytes:
        """Take the key out of an answer: a gateway that fails with status 200 repeats it there."""
        return body.replace(self._key.encode(), b"***") if len(self._key) >= SHORTEST_SECRET else body


def is_withheld(code: str | None, text: str) -> bool:
    """Whether an error is a filter's. OpenAI has one code for prompts that break its policies and for broken ones."""
    return code in WITHHELD or (code == "invalid_prompt" and "polic" in text)


def _problem(reply: Received) -> Problem:
    """Read the body of an error: OpenAI's form, or what other servers and the proxies before them make of it."""
    if reply.status in MOVED:
        return Problem(f"it has moved to {public_url(reply.headers.get('location', 'nowhere'))}; set base_url to that")
    text = reply.body.decode(errors="replace").strip()
    try:
        said = msgspec.json.decode(reply.body)
    except msgspec.MsgspecError:
        return Problem(_short(text))
    error = said.get("error", said) if isinstance(said, dict) else said
    if not isinstance(error, dict):
        return Problem(_short(error if isinstance(error, str) else text))
    code, kind, param = (
        None if (value := error.get(name)) is None else str(value) for name in ("code", "type", "param")
    )
    message = error.get("message")
    return Problem(_short(message if isinstance(message, str) and message else text), code, kind, param)


def _short(text: str) -> str:
    """Shorten what an endpoint says, which may be a whole web page."""
    return f"{text[:LONGEST]} [...]" if len(text) > LONGEST else text or "it said nothing"
