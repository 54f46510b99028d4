"""Settings: process environment, then ``./.env``, then ``~/.hud/.env``, then the default; read when asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hud_core.errors import ConfigError, closest

_TEXT = {
    "api_key": ("HUD_API_KEY", None),
    "hud_api_url": ("HUD_API_URL", "https://api.hud.ai"),
    "hud_telemetry_url": ("HUD_TELEMETRY_URL", "https://telemetry.hud.ai/v3/api"),
    "hud_mcp_url": ("HUD_MCP_URL", "https://mcp.hud.ai/v3/mcp"),
    "hud_rl_url": ("HUD_RL_URL", "https://rl.hud.ai/v1"),
    "hud_web_url": ("HUD_WEB_URL", "https://hud.ai"),
    "hud_gateway_url": ("HUD_GATEWAY_URL", "https://inference.hud.ai"),
    "log_stream": ("HUD_LOG_STREAM", "stdout"),
    "anthropic_api_key": ("ANTHROPIC_API_KEY", None),
    "anthropic_base_url": ("ANTHROPIC_BASE_URL", None),
    "openai_api_key": ("OPENAI_API_KEY", None),
    "openai_base_url": ("OPENAI_BASE_URL", None),
    "gemini_api_key": ("GEMINI_API_KEY", None),
    "judge_model": ("HUD_JUDGE_MODEL", "claude-haiku-4-5"),
    "openrouter_api_key": ("OPENROUTER_API_KEY", None),
    "wandb_api_key": ("WANDB_API_KEY", None),
    "prime_api_key": ("PRIME_API_KEY", None),
    "aws_access_key_id": ("AWS_ACCESS_KEY_ID", None),
    "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY", None),
    "aws_region": ("AWS_REGION", None),
}
_FLAGS = {"telemetry_enabled": ("HUD_TELEMETRY_ENABLED", True), "hud_logging": ("HUD_LOGGING", True)}
_NUMBERS = {"client_timeout": ("HUD_CLIENT_TIMEOUT", 600)}
FIELDS: dict[str, tuple[str, Any]] = {**_TEXT, **_FLAGS, **_NUMBERS}
"""Each setting's environment variable and default."""

_SECRET = re.compile(
    r"((^|[_-])(api_?key|key|token|credentials?|authorization|auth)|secret|password|passwd)([_-]id)?$", re.IGNORECASE
)
_CONFIDENTIAL = re.compile(r"(^|[_-])headers$|^extra_query$")
_IN_QUERY = re.compile(r"[?&]([^=&#\s]+)=")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Settings:
    """The settings as attributes, such as ``settings.openai_api_key``; any other key of a ``.env`` file is one too.

    Nothing is remembered: a change of the environment or of a file is seen by the next read. The repr hides secrets.

    Args:
        environ: The process environment by default.
        files: Files of ``KEY=VALUE`` lines, the first of which counts; ``./.env`` and ``~/.hud/.env`` by default.

    Raises:
        ConfigError: A flag or a number has another value.
        AttributeError: There is no such setting.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, files: tuple[Path, ...] | None = None) -> None:
        self._environ = environ
        self._files = files

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  each setting has a type of its own
        if name.startswith("_"):
            raise AttributeError(name)
        variable, default = FIELDS.get(name, (name.upper(), None))
        value = self.lookup(variable)
        if value is None:
            if name not in FIELDS:
                msg = f"there is no setting {name!r}{closest(name, FIELDS)}"
                raise AttributeError(msg)
            return default
        if name in _FLAGS:
            return _flag(variable, value)
        return _number(variable, value) if name in _NUMBERS else value

    def lookup(self, variable: str) -> str | None:
        """Give the value of an environment variable, from the process or a file; None where it is unset or empty."""
        environ = os.environ if self._environ is None else self._environ
        if environ.get(variable):
            return environ[variable]
        for file in self._files if self._files is not None else (Path(".env"), Path.home() / ".hud" / ".env"):
            value = read_env_file(file).get(variable)
            if value:
                return value
        return None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *FIELDS]

    def __repr__(self) -> str:
        shown = (f"{name}={'***' if is_secret(name) and value else value!r}" for name, value in self._given())
        return f"Settings({', '.join(shown)})"

    def _given(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in FIELDS]


settings: Settings = Settings()
"""The settings of this process. Holds no state of its own."""


def get_settings() -> Settings:
    """Give the settings of this process."""
    return settings


def is_secret(name: str) -> bool:
    """Whether a setting or option of this name holds something that must never be shown or stored."""
    return _SECRET.search(name) is not None


def is_confidential(name: str) -> bool:
    """Whether an option of this name is never stored: a secret, or all that is sent where secrets are sent."""
    return is_secret(name) or _CONFIDENTIAL.search(name) is not None


def is_secret_option(name: str, value: object) -> bool:
    """Whether an option is never stored: by its name, or as an address whose query names a secret."""
    return is_confidential(name) or (isinstance(value, str) and any(map(is_secret, _IN_QUERY.findall(value))))


def mask(options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy options, at every depth, with secrets as ``***``: for files and messages."""
    return {name: _masked(name, value) for name, value in options.items()}


def _masked(name: str, value: Any) -> Any:  # noqa: ANN401  options are of any type
    if is_secret_option(name, value):
        return "***" if value else value
    return mask(value) if isinstance(value, Mapping) else value


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``KEY=VALUE`` lines: ``#`` comments, quotes around values, ``export`` before keys. No file is no lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {key.strip(): _value(text.strip()) for key, equals, text in pairs if equals and key.strip()}


def _value(text: str) -> str:
    quote = text[:1]
    if quote in ("'", '"') and quote in text[1:]:
        return text[1:].partition(quote)[0]
    return text.partition(" #")[0].strip() if " #" in text else text


def _flag(variable: str, value: str) -> bool:
    if value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    msg = f"{variable} must be true or false, got {value!r}"
    raise ConfigError(msg)


def _number(variable: str, value: str) -> int:
    if value.isdecimal():
        return int(value)
    msg = f"{variable} must be a whole number of seconds, got {value!r}"
    raise ConfigError(msg)
