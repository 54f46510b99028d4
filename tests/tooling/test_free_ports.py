"""Ports that tests give to servers: no other process may get one before its server listens there."""

from __future__ import annotations

import socket

import free_ports
import pytest
from free_ports import free_port


def test_systems_do_not_give_out_these_ports_themselves() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert free_port() < server.getsockname()[1]


def test_processes_side_by_side_find_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    found = {}
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        found[worker] = {free_port() for _ in range(200)}
    assert not found["gw0"] & found["gw1"]


def test_a_port_that_is_taken_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
        taken = server.getsockname()[1]
        monkeypatch.setattr(free_ports, "LOWEST", taken)
        monkeypatch.setattr(free_ports, "BEYOND", taken + 1)
        with pytest.raises(AssertionError, match="is free"):
            free_port()
