"""What a builder is asked for, and what it says when it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from hud_core.errors import HudError
from hud_docker.building.dockerfile import Dockerfile
from hud_docker.building.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable


LAST_LINES = 20
"""How many lines of a failed step's output a message shows."""


class BuildError(HudError):
    """An image that could not be built; the message names the step, its line, and what it printed last."""


@attrs.frozen(kw_only=True)
class BuildRequest:
    """One image to build.

    Args:
        directory: The build context.
        dockerfile: Its Dockerfile, relative to it.
        tag: What to call the image, as ``name:tag``.
        labels: What to label it with.
        build_args: Values of ``ARG`` instructions; None takes the value of the environment variable of that name.
        secrets: What ``RUN --mount=type=secret`` may read.
        platform: Such as ``linux/arm64``; None for the engine's own.
        use_cache: Whether layers of earlier builds may be used.
        pull: Whether to look for a newer base image.
    """

    directory: Path
    dockerfile: str
    tag: str
    labels: Mapping[str, str] = MappingProxyType({})
    build_args: Mapping[str, str | None] = MappingProxyType({})
    secrets: Sequence[Secret] = ()
    platform: str | None = None
    use_cache: bool = True
    pull: bool = False

    def failure(self, reason: str, *, step: str = "", text: str = "", output: Sequence[str] = ()) -> BuildError:
        """Say what failed.

        Args:
            reason: What the builder says.
            step: Its number, as ``3/5``.
            text: The instruction as the builder prints it; the Dockerfile says in which line it stands.
            output: What the step printed.
        """
        where = f"{self.dockerfile}{self._line(text)}"
        lines = [
            f"{where}: step {step} failed: {text}" if text else f"{where}: the build failed",
            f"  {reason.strip()}",
        ]
        if kept := [line for line in output if line.strip()][-LAST_LINES:]:
            lines += ["its last output:", *(f"  {line}" for line in kept)]
        return BuildError("\n".join(lines))

    def _line(self, text: str) -> str:
        instructions = Dockerfile.read(self.directory / self.dockerfile).instructions
        # Builders join continuation lines in ways of their own; what is left is the same.
        found = [one.line for one in instructions if _squeezed(f"{one.keyword} {one.value}") == _squeezed(text)]
        return f", line {found[0]}" if found and text else ""


def _squeezed(text: str) -> str:
    return "".join(text.split())


class Builder(ABC):
    """Builds images on one engine."""

    name: str
    """What messages and the lock call it."""

    @abstractmethod
    async def build(self, request: BuildRequest, tell: Callable[[str], None]) -> None:
        """Build an image under the tag of the request. Cancelling ends the build on the engine too.

        Args:
            request: What to build.
            tell: Is given each line that the builder prints; may be called from another thread.

        Raises:
            BuildError: It could not be built.
            ConfigError: The request asks for what this builder does not have, or the context cannot be read.
        """
