"""What helps, by what engines and servers say: the texts are real ones."""

from __future__ import annotations

import pytest

from hud_docker.debugging.fixes import RULES, find_fix

SAID = [
    ("write /var/lib/docker/tmp/x: no space left on device", "hud gc"),
    ("it exited with code 255; it wrote:\n  exec /app/server: exec format error", "another architecture"),
    ("Dockerfile: failed\n  dockerfile parse error line 1: unknown instruction: FRUM", "correct the Dockerfile"),
    ("COPY failed: file not found in build context or excluded by .dockerignore: stat x: file does not exist", "COPY"),
    ("ERROR: Could not find a version that satisfies the requirement nosuch (from none)", "version of nosuch"),
    ('exec: "nosuch": executable file not found in $PATH: unknown', "CMD or ENTRYPOINT names a program"),
    ('exec: "./run.sh": permission denied: unknown', "chmod +x"),
    ("exec /app/run.sh: exec user process caused: no such file or directory", "Windows line ends"),
    ("ModuleNotFoundError: No module named 'psycopg'", "psycopg cannot be imported"),
    ("error: cannot import env: SyntaxError", "env cannot be imported"),
    ("error: no module 'env' in /app; name one, as in env:env", "env.py is not there in the container"),
    ("scenario 'checkout' needs the environment variables API_TOKEN; set them before the run", "-e API_TOKEN=VALUE"),
    ("KeyError: 'API_TOKEN'", "-e API_TOKEN=VALUE"),
    ("OSError: [Errno 98] Address already in use", "another one"),
    ("connection to 127.0.0.1, port 8005: Connection refused on port 8005", "nothing listens at port 8005"),
    ("ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)", "nothing listens at port 5432"),
    ("it was killed because it used more memory than its limit of 64 MiB: out of memory", "memory='8g'"),
    ("PermissionError: [Errno 13] Permission denied: '/data'", "who owns the file"),
    ("OSError: [Errno 30] Read-only file system: '/app/x'", "read_only"),
    ("_tkinter.TclError: couldn't connect: cannot open display :0", "Xvfb"),
    ("(stdout, not a message) Welcome!", "print to stderr"),
    ("no answer to the handshake within 3 s (connect_timeout)", "--timeout"),
    ("no answer to the handshake within 3 s; nothing answers HTTP on its port 8765", "0.0.0.0 and port 8765"),
    ("[FATAL tini (7)] exec no-such-program failed: No such file or directory", "names a program"),
    ("it exited with code 0", "must start an MCP server"),
    ("Dockerfile, line 2: step 2/2 failed: RUN make\n  make: not found", "that line"),
    ("ValueError: the shop is closed", "environment's code"),
]


@pytest.mark.parametrize(("said", "fix"), SAID)
def test_what_is_said_leads_to_what_helps(said: str, fix: str) -> None:
    found = find_fix(said)
    assert found is not None
    assert fix in found


def test_every_rule_is_needed() -> None:
    """None of them is hidden behind those before it."""
    first = {next(rule for rule in RULES if rule.symptom.search(said)) for said, _ in SAID}
    assert [rule.symptom.pattern for rule in RULES if rule not in first] == []


def test_nobody_knows_what_is_not_known() -> None:
    assert find_fix("something else entirely") is None
    assert find_fix("it ended the connection; it was killed from outside, by SIGKILL") is None


def test_the_error_counts_before_the_log() -> None:
    assert "psycopg" in (find_fix("No module named 'psycopg'", "Permission denied") or "")
    assert "who owns" in (find_fix("something else", "Permission denied") or "")
