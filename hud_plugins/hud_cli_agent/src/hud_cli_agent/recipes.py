"""How command-line agents are run: one record each, which is all that is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

Command = tuple[str | tuple[str, ...], ...]
"""Words of a command line; a tuple of words is left out where a placeholder in it has no value."""

HTTP_SERVER = {"type": "http", "url": "{mcp_url}", "headers": {"Authorization": "Bearer {mcp_token}"}}
"""A server as most clients' configurations name it."""
GOOGLE_SERVER = {"httpUrl": "{mcp_url}", "headers": {"Authorization": "Bearer {mcp_token}"}, "trust": True}
"""A server as Gemini CLI's configuration names it, and those of its descendants; its tools run without a question."""


@frozen(kw_only=True)
class Recipe:
    """How one command-line agent is run, and how it is read.

    Text may hold placeholders: ``{prompt}``, ``{prompt_file}``, ``{answer_file}``, ``{mcp_config}``, ``{mcp_url}``,
    ``{workdir}``, ``{home}``, ``{model}`` and ``{max_steps}``; doubled braces are braces.
    """

    command: Command
    """The program and its arguments. The prompt comes on stdin where no placeholder says otherwise."""
    answer: str = "stdout"
    """Where the answer is: ``stdout``; ``file``, which is ``{answer_file}``; or ``json:PATH`` in what is printed."""
    mcp_config: Mapping[str, Any] = field(factory=lambda: {"mcpServers": {"tools": HTTP_SERVER}})
    """The file ``{mcp_config}``, as JSON. Only here there is ``{mcp_token}``, too."""
    mcp_config_file: str | None = None
    """Where that file is, such as ``{home}/.agent/settings.json``, for a program that looks for it by itself."""
    env: tuple[str, ...] = ()
    """Environment variables that the program gets from the environment of hud, where they are set."""
    variables: Mapping[str, str] = field(factory=dict)
    """Environment variables that the program gets, with their values."""
    usage: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """For fields of `Usage` the paths, in what is printed as JSON, of the numbers that make it up."""
    failed: str | None = None
    """The path, in what is printed as JSON, of what is true where the agent has failed."""
    step_limit_codes: tuple[int, ...] = ()
    """Exit codes that say that `max_steps` were not enough."""
    step_limit_field: tuple[str, str] | None = None
    """A path, in what is printed as JSON, and the value there that says that `max_steps` were not enough."""


PRESETS: Mapping[str, Recipe] = {
    "claude_code": Recipe(
        command=(
            "claude", "--print", "--output-format", "json", "--mcp-config", "{mcp_config}", "--strict-mcp-config",
            "--allowedTools", "mcp__tools", ("--model", "{model}"), ("--max-turns", "{max_steps}"),
        ),
        answer="json:result",
        env=("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN"),
        variables={"DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"},
        usage={
            "calls": ("num_turns",),
            "input_tokens": (
                "usage.input_tokens", "usage.cache_creation_input_tokens", "usage.cache_read_input_tokens",
            ),
            "output_tokens": ("usage.output_tokens",),
            "cached_tokens": ("usage.cache_read_input_tokens",),
            "cache_write_tokens": ("usage.cache_creation_input_tokens",),
            "cost": ("total_cost_usd",),
        },
        failed="is_error",
        step_limit_field=("subtype", "error_max_turns"),
    ),
    "codex": Recipe(
        command=(
            "codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only",
            "--output-last-message", "{answer_file}", "-c", 'mcp_servers.tools.url="{mcp_url}"',
            "-c", 'mcp_servers.tools.bearer_token_env_var="HUD_TOOLS_TOKEN"',
            "-c", 'mcp_servers.tools.default_tools_approval_mode="approve"',  # it cancels what nobody can approve
            ("--model", "{model}"), "-",
        ),
        answer="file",
        env=("CODEX_API_KEY", "OPENAI_API_KEY"),
        usage={
            "input_tokens": ("usage.input_tokens",),
            "output_tokens": ("usage.output_tokens",),
            "cached_tokens": ("usage.cached_input_tokens",),
            "cache_write_tokens": ("usage.cache_write_input_tokens",),
            "reasoning_tokens": ("usage.reasoning_output_tokens",),
        },
    ),
    "gemini_cli": Recipe(
        command=("gemini", "--output-format", "json", ("--model", "{model}")),
        answer="json:response",
        mcp_config={
            "mcpServers": {"tools": GOOGLE_SERVER},
            "general": {"enableAutoUpdate": False},
            "model": {"maxSessionTurns": "{max_steps}"},
            "privacy": {"usageStatisticsEnabled": False},
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        },
        # Not as system settings: those it refuses below a folder that others may write to, as /tmp is.
        mcp_config_file="{home}/.gemini/settings.json",
        env=("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        variables={"GEMINI_CLI_HOME": "{home}"},
        usage={
            "calls": ("stats.models.*.api.totalRequests",),
            "input_tokens": ("stats.models.*.tokens.prompt",),
            "output_tokens": ("stats.models.*.tokens.candidates", "stats.models.*.tokens.thoughts"),
            "cached_tokens": ("stats.models.*.tokens.cached",),
            "reasoning_tokens": ("stats.models.*.tokens.thoughts",),
        },
        failed="error",
        step_limit_codes=(53,),
    ),
    "qwen_code": Recipe(
        command=(
            "qwen", "--auth-type", "openai", "--output-format", "json", "--chat-recording=false",
            ("--model", "{model}"), ("--max-session-turns", "{max_steps}"),
        ),
        answer="json:result",
        mcp_config={
            "mcpServers": {"tools": GOOGLE_SERVER},
            "general": {"enableAutoUpdate": False},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
        },
        env=("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        variables={"QWEN_CODE_SYSTEM_SETTINGS_PATH": "{mcp_config}"},
        usage={
            "calls": ("num_turns",),
            "input_tokens": ("usage.input_tokens",),
            "output_tokens": ("usage.output_tokens",),
            "cached_tokens": ("usage.cache_read_input_tokens",),
        },
        failed="is_error",
        step_limit_codes=(53,),
    ),
}  # fmt: skip
"""The agents that are known by name."""
