"""What all tests run under."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# What a script runs in the background ignores Ctrl-C, and so would the processes that are interrupted here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let property tests take as long as the machine needs: their speed is not what they are about."""
    if config.pluginmanager.hasplugin("hypothesispytest"):  # some tests run where it is not installed
        from hypothesis import HealthCheck, settings

        settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests where files run side by side: none is to be left over at the end."""
    if hasattr(config, "workerinput"):  # of pytest-xdist
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist they run one after the other
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests that share one Docker engine in one process, one after the other; others file by file."""
    from xdist.scheduler import LoadFileScheduling

    class ByEngine(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder, found, _ = nodeid.partition("/hud_docker/")
            return folder + found if found else super()._split_scope(nodeid)

    return ByEngine(config, log)
