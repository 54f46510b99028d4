"""The protocol's official conformance suite against our server, in both published lines of the suite.

What an environment does not offer is listed in the files `conformance-*.yml`, with the reasons. The suite fails on what
fails and is not listed there, and on what is listed there and passes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
STABLE, NEXT = "@modelcontextprotocol/conformance", "conformance-next"


@pytest.fixture(scope="module")
def url(peers: Any) -> Iterator[str]:
    with peers.serving(sys.executable, str(HERE / "conformance_env.py"), "{port}") as url:
        yield url


@pytest.mark.parametrize(
    ("line", "options", "expected"),
    [
        (STABLE, [], "conformance-2025-11-25.yml"),
        (NEXT, ["--requirements", "2026-07-28"], "conformance-2026-07-28.yml"),
    ],
)
def test_the_suite_passes_but_for_what_is_listed(
    line: str, options: list[str], expected: str, url: str, peers: Any
) -> None:
    suite = f"node_modules/{line}/dist/index.js"
    ran = peers.run(peers.node(suite, "server", "--url", url, *options, "--expected-failures", str(HERE / expected)))
    assert ran.returncode == 0, ran.stdout[ran.stdout.find("=== SUMMARY") :] + ran.stderr


@pytest.mark.parametrize("line", [STABLE, NEXT])
def test_dns_rebinding_is_refused(line: str, url: str, peers: Any) -> None:
    suite = f"node_modules/{line}/dist/index.js"
    ran = peers.run(peers.node(suite, "server", "--url", url, "--scenario", "dns-rebinding-protection"))
    assert ran.returncode == 0, ran.stdout
    assert "2/2" in ran.stdout or "Passed: 2" in ran.stdout, ran.stdout
