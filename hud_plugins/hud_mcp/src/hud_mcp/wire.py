"""The names on the wire that both sides of a scenario use. Imports nothing."""

from __future__ import annotations

EPISODE = "hud/episode"
"""The key in ``_meta`` of the episode's handle: in the result of setup, and in every request of the episode."""
AGENT = "hud/agent"
"""The key in ``_meta`` of setup's result, over HTTP, of the token of the address that the episode's agent may be given:
`episode_url` makes it."""
HARNESS = "hud/harness"
"""The key in ``_meta`` of the capability, in requests that only the harness may make."""
HARNESS_VARIABLE = "HUD_MCP_HARNESS"
"""The environment variable that tells a server, started for one harness, the capability it must be shown."""
HOST_VARIABLE = "HUD_DEV_HOST"
"""The environment variable with the default of ``hud dev --host``: for containers, whose commands are fixed."""
TOKEN_VARIABLE = "HUD_DEV_TOKEN"  # noqa: S105  a variable's name
"""The environment variable with the default of ``hud dev --token``."""
BEARER_VARIABLE = "HUD_MCP_TOKEN"
"""The environment variable that tells a bridge the bearer token of its server."""
SUBMIT = "_hud_submit"
"""The tool that takes the answer: ``{"scenario": ..., "answer": ...}``. Listed to nobody."""
ANSWER = "hud/answer"
"""The key in ``_meta`` of a submit of the whole answer: text, structured, citations, stop_reason."""
SYSTEM = "hud/system"
"""The key in ``_meta`` of setup's result of a system prompt."""
MESSAGES = "hud/messages"
"""The key in ``_meta`` of setup's result of ``[[role, number of blocks], ...]``: an MCP message has one block each, and
no role "system". Without it, neighbours of one role are one message."""
SCHEMA = "returns_schema"
"""The key in ``_meta`` of setup's result of the answer's JSON Schema."""
SETUP_OUTPUT = "hud/setup_output"
"""The key in ``_meta`` of setup's result of content blocks: what the tools gave that the scenario called before its
prompt. Only for a client that sends `ARGUMENTS`, and so is a harness of ours."""
CITATIONS = "enable_citations"
"""The key in ``_meta`` of a scenario, and of setup's result, that is true where the answer is to name its sources."""
ERROR = "hud/error"
"""The key in an error's ``data`` of the name of the kernel's exception, such as ``"ArgumentError"``."""
PROBLEMS = "hud/problems"
"""The key in an error's ``data`` of an `ArgumentError`'s problems, beside ``"hud/subject"``."""
SUBJECT = "hud/subject"
"""The key in an error's ``data`` of what refused the arguments."""
CLOSE = "hud/close"
"""The key in ``_meta`` of a submit that ends the episode, graded or not, and carries no answer."""
ARGUMENTS = "hud/arguments"
"""The key in ``_meta`` of setup of the arguments as JSON: the prompt's own are text, which cannot tell 3 from "3"."""


def episode_url(url: str, token: str) -> str:
    """Give the address of one episode, for its agent, below the address of its server."""
    base, mark, query = url.partition("?")
    return f"{base.rstrip('/')}/episode/{token}{mark}{query}"
