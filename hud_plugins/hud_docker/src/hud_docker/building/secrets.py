"""Secrets for a build: named on the command line, never written there."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from hud_core.errors import ConfigError

_FORM = "--secret takes id=NAME,env=VARIABLE or id=NAME,src=FILE"


@attrs.frozen(kw_only=True)
class Secret:
    """Where a secret is; its value stays there until a step of the build reads it.

    Args:
        id: What ``RUN --mount=type=secret,id=...`` calls it.
        variable: The environment variable that holds it; empty for a file.
        file: The file that holds it; None for a variable.
    """

    id: str
    variable: str = ""
    file: Path | None = None

    @property
    def argument(self) -> str:
        """What the ``docker`` program is told: where it is, not what it is."""
        return f"id={self.id},src={self.file}" if self.file else f"id={self.id},env={self.variable}"


def parse_secret(text: str) -> Secret:
    """Read ``id=NAME,env=VARIABLE`` or ``id=NAME,src=FILE``; ``id=NAME`` alone means the variable of that name.

    Raises:
        ConfigError: It has another form, the variable is not set, or the file cannot be read.
    """
    given = dict(part.partition("=")[::2] for part in text.split(","))
    fields = {("src" if key == "source" else key): value for key, value in given.items()}
    kind = fields.pop("type", "")
    name = fields.pop("id", "")
    if not name or set(fields) - {"env", "src"} or len(fields) > 1 or kind not in {"", "env", "file"}:
        # The text itself is not repeated: somebody may have written the secret there.
        raise ConfigError(f"{_FORM}; {f'the one called {name!r}' if name else 'one'} has another form")
    return _of_file(name, fields["src"]) if fields.get("src") else _of_variable(name, fields.get("env") or name)


def _of_variable(name: str, variable: str) -> Secret:
    if variable not in os.environ:
        raise ConfigError(f"--secret {name}: the variable {variable!r} is not set; export it, or use src=FILE")
    return Secret(id=name, variable=variable)


def _of_file(name: str, text: str) -> Secret:
    file = Path(text).expanduser().absolute()
    if not (file.is_file() and os.access(file, os.R_OK)):
        raise ConfigError(f"--secret {name}: there is no file {text!r} that can be read")
    if "," in str(file):
        raise ConfigError(f"--secret {name}: `docker build` takes no path with a comma; move the file")
    return Secret(id=name, file=file)
