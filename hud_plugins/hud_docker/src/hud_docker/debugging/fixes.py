"""What usually helps, by what an engine, a server or its log says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hud_docker.errors import EngineError

if TYPE_CHECKING:
    from hud_core.errors import HudError


class Rule(NamedTuple):
    """A cure, and its symptoms."""

    symptom: re.Pattern[str]
    fix: str
    """What to do; ``{0}`` is what a group of the symptom matched."""


def _rule(fix: str, *symptoms: str) -> Rule:
    return Rule(re.compile("|".join(symptoms), re.IGNORECASE), fix)


RULES = (
    # --- the engine
    _rule(
        "free some space: `hud gc` removes what dead jobs left, `docker system df` shows the rest",
        r"no space left",
        r"no space on its disk",
    ),
    # --- the image
    _rule(
        "the image is for another architecture than this engine's: build it here, or for this engine with --platform",
        r"exec format error",
        r"the image is for \S+ and this engine for",
        r"does not match the (?:specified|detected|host) platform",
    ),
    _rule(
        "correct the Dockerfile at the line that the message names",
        r"dockerfile parse error",
        r"unknown instruction",
        r"failed to parse",
    ),
    _rule(
        "what COPY or ADD names must be inside the build context, and not in .dockerignore",
        r"COPY failed",
        r"failed to compute cache key",
        r"failed to calculate checksum",
    ),
    _rule(
        "correct the name or the version of {0} in the Dockerfile, pyproject.toml or requirements.txt",
        r"could not find a version that satisfies the requirement ([^\s(]+)",
        r"no matching distribution found for (\S+)",
    ),
    # --- the command
    _rule(
        "the script's first line names an interpreter that is not there, or the file has Windows line ends",
        r"exec user process caused.*no such file",
        r"bad interpreter",
    ),
    _rule(
        "the program in CMD or ENTRYPOINT may not be executed: `RUN chmod +x` it, or run it by its interpreter",
        r"permission denied: unknown",
        r"exec .* permission denied",
    ),
    _rule(
        "the image's CMD or ENTRYPOINT names a program that is not in the image: correct it, or install the program",
        r"executable file not found in \$PATH",
        r"no such file or directory: unknown",
        r"exec \S+ failed: no such file",
        r"its command is not found in the image",
    ),
    # --- the start
    _rule(
        "{0} cannot be imported in the container: install it in the Dockerfile, COPY its file, and see WORKDIR",
        r"No module named '?([\w.]+)'?",
        r"cannot import (?:name )?'?([\w.]+)'?",
    ),
    _rule(
        "{0}.py is not there in the container: COPY it to where WORKDIR is, or correct the module that CMD names",
        r"no module '([\w.]+)' in /",
    ),
    _rule(
        "give the variable: -e {0}=VALUE here, env_vars={{'{0}': ...}} in connect_image, or a line in .env",
        r"needs the environment variables? ([\w, ]+)",
        r"environment variable '?(\w+)'? (?:is )?(?:not set|missing|required)",
        r"(\w+) (?:environment variable )?(?:is not set|must be set)",
        r"KeyError: '([A-Z][A-Z0-9_]+)'",
    ),
    _rule(
        "something in the container listens at this port already; have the server use another one",
        r"address already in use",
        r"port \d+ is in use",
    ),
    _rule(
        "nothing listens at port {0} in the container (yet): start what should, and wait for it before serving",
        r"connection refused.*?port (\d+)",
        r":(\d+).*connection refused",
        r"connect call failed \('[^']*', (\d+)\)",
    ),
    _rule(
        "the container needs more memory than it may have: give it more with -- --memory 8g, or memory='8g'",
        r"it used more memory than",
        r"out of memory",
    ),
    _rule("the container's files are read-only: write to /tmp, or leave read_only out", r"read-only file system"),
    _rule("the user of the container may not do that: see USER, and who owns the file", r"permission denied"),
    _rule(
        "a program needs a display: start Xvfb before the server",
        r"cannot open display",
        r"\$DISPLAY",
    ),
    _rule("stdout belongs to the protocol: print to stderr, and start noisy programs with >&2", r"not a message"),
    _rule(
        "the server listens at another port, or at 127.0.0.1 alone: serve at 0.0.0.0 and port {0}, or give the port",
        r"nothing answers HTTP on its port (\d+)",
        r"before it served MCP on its port (\d+)",
    ),
    _rule(
        "correct what the error names in the environment's code, and build again",
        r"\b[A-Z]\w*(?:Error|Exception)\b",
    ),
    _rule(
        "the server starts, and does not answer: see that CMD serves MCP over stdio (`hud dev env:env --stdio`), and "
        "that nothing before it waits; where it is only slow, `hud debug --timeout` tells how long it takes",
        r"no answer to the handshake",
    ),
    _rule(
        'the command ends instead of serving: it must start an MCP server: CMD ["hud", "dev", "env:env", "--stdio"]',
        r"it ended the connection(?!; it was)",  # from outside
        r"it exited with code",
    ),
    _rule("correct the command in that line; what it printed last says why it failed", r"step \S+ failed: RUN"),
)
"""The first that matches counts: what is special comes before what is general."""


def explain(error: HudError) -> None:
    """Add to an error what usually helps, where that is known; an engine's errors say so themselves."""
    if not isinstance(error, EngineError) and (fix := find_fix(str(error))):
        error.add_note(f"fix: {fix}")


def find_fix(*texts: str) -> str | None:
    """Find what usually helps; None where nobody knows.

    Args:
        texts: The error, then what was logged: the error counts first.
    """
    for text in texts:
        for symptom, fix in RULES:
            if found := symptom.search(text):
                groups = [group for group in found.groups() if group] or [""]
                return fix.format(*groups)
    return None
