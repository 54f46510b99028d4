"""Finds the port to serve at."""

from __future__ import annotations

import errno
import socket

from hud_core.errors import ConfigError
from hud_mcp.commands.dev import DEFAULT_PORT

PORTS = 100
"""How many ports from the default one on are tried."""


class PortInUseError(ConfigError):
    """Somebody else listens at a port."""


def free_port(host: str, port: int | None) -> int:
    """Find the port to listen at: the one asked for, or the first free one from the default on.

    Raises:
        ConfigError: It is in use, or may not be used.
    """
    if port is not None:
        return _bindable(host, port)
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS):
        try:
            return _bindable(host, candidate)
        except PortInUseError:
            continue
    msg = f"no free port from {DEFAULT_PORT} to {DEFAULT_PORT + PORTS - 1}; choose one with --port"
    raise ConfigError(msg)


def _bindable(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections of a server that has just ended do not keep its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise _unusable(host, port, error) from error
        except OverflowError:
            msg = f"port {port} is no port; there are 1 to 65535, and 0 for any that is free"
            raise ConfigError(msg) from None
        number: int = probe.getsockname()[1]
        return number


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"port {port} is in use; stop what listens there, or choose another with --port")
    return ConfigError(f"cannot listen at {host!r}, port {port}: {error.strerror or error}")
