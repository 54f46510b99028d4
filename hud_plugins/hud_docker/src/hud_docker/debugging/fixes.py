"""What usually helps, by what an engine, a server or its log says."""

from __future__ import annotations

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """A symptom and its cure."""

    symptom: re.Pattern[str]
    fix: str
    """What to do; ``{0}``, ``{1}``... is what the symptom's groups matched."""


def _rule(symptom: str, fix: str) -> Rule:
    return Rule(re.compile(symptom, re.IGNORECASE | re.MULTILINE), fix)


RULES = (
    # --- the engine
    _rule(
        r"no space left|no space on its disk",
        "free some space: `hud gc` removes what dead jobs left, `docker system df` shows the rest",
    ),
    # --- the image
    _rule(r"exec format error|does not match the (?:specified|detected|host) platform|wrong architecture",
          "the image is for another architecture than this engine's: build it here, or with --platform of this machine"),
    _rule(r"dockerfile parse error|unknown instruction|failed to parse",
          "correct the Dockerfile at the line that the message names"),
    _rule(r"COPY failed|failed to compute cache key|failed to calculate checksum",
          "what COPY or ADD names must be inside the build context, and not in .dockerignore"),
    _rule(r"could not find a version that satisfies the requirement ([^\s(]+)|no matching distribution found for (\S+)",
          "correct the name or the version of {0} in the Dockerfile, pyproject.toml or requirements.txt"),
    # --- the command
    _rule(r"executable file not found in \$PATH|exec: \\?\"?([^\s\"\\]+)\\?\"?: (?:stat|no such file)|no such file or directory: unknown",
          "the image's CMD or ENTRYPOINT names a program that is not in the image: correct it, or install the program"),
    _rule(r"permission denied: unknown|exec .* permission denied",
          "the program in CMD or ENTRYPOINT may not be executed: `RUN chmod +x` it, or run it by its interpreter"),
    _rule(r"exec user process caused.*no such file|bad interpreter",
          "the script's first line names an interpreter that is not there, or the file has Windows line ends"),
    # --- the start
    _rule(r"cannot import (?:name )?'?([\w.]+)'?|No module named '?([\w.]+)'?",
          "{0} cannot be imported in the container: install it in the Dockerfile, COPY its file, and see WORKDIR"),
    _rule(r"needs the environment variables? ([\w, ]+)|environment variable '?(\w+)'? (?:is )?(?:not set|missing|required)"
          r"|(\w+) (?:environment variable )?(?:is not set|must be set)|KeyError: '([A-Z][A-Z0-9_]+)'",
          "give the variable: -e {0}=VALUE here, env_vars={{'{0}': ...}} in connect_image, or a line in .env"),
    _rule(r"address already in use|port \d+ is in use",
          "something in the container listens at this port already; have the server use another one"),
    _rule(r"connection refused.*?port (\d+)|:(\d+).*connection refused|connect call failed \('[^']*', (\d+)\)",
          "nothing listens at port {0} in the container (yet): start what should, and wait for it before serving"),
    _rule(r"\bkilled\b.*memory|out of memory|OOMKilled|ran out of memory|signal 9",
          "the container needs more memory than it may have: give it more with --memory 8g, or memory='8g'"),
    _rule(r"permission denied", "the user of the container may not do that: see USER, and who owns the file"),
    _rule(r"read-only file system", "the container's files are read-only: write to /tmp, or leave --read-only out"),
    _rule(r"cannot open display|no display|\$DISPLAY", "a program needs a display: start Xvfb before the server"),
    _rule(r"not a message", "stdout belongs to the protocol: print to stderr, and start noisy programs with >&2"),
    _rule(r"nothing (?:answers|listens).*port (\d+)|no answer.*port (\d+)",
          "the server listens at another port, or at 127.0.0.1 alone: serve at 0.0.0.0 and port {0}, or give --port"),
    _rule(r"no answer to the handshake|does not answer|not answer within",
          "the server starts, and does not answer: see that CMD serves MCP over stdio (`hud dev env:env --stdio`), that "
          "nothing before it waits, and raise --timeout where it is only slow"),
    _rule(r"exited with code 0|ended the connection|it exited",
          "the command ends instead of serving: CMD must start an MCP server, as CMD [\"hud\", \"dev\", \"env:env\", \"--stdio\"]"),
    _rule(r"\w+(?:Error|Exception): ", "correct what the traceback names, and build again"),
)  # fmt: skip
"""The first that matches counts: what is special comes before what is general."""


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
