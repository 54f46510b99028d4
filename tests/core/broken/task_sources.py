"""Sources of tasks that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: B904, F403, F405

from __future__ import annotations

import contextlib
import socket

import pytest

from hud_core import *
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


class Good(TaskSource):
    def claims(self, ref):
        return ref.startswith("n:")

    async def load(self, ref):
        body = ref[2:]
        if body == "none":
            raise ConfigError("no such thing")
        if body == "bad":
            raise TaskDataError(["one", "two"])
        for n in range(int(body)):
            yield Task(scenario="s", args={}, slug=str(n))


class Contract(TaskSourceContract):
    ref = "n:3"
    labels = ("0", "1", "2")
    missing = "n:none"
    source = given("source", Good)
    bad_ref = given("bad_ref", lambda: "n:bad")


class TestGood(Contract):
    fails = ()


def source(**methods):
    return given("source", type("S", (Good,), methods))


class TestClaimsAll(Contract):
    fails = ("claims_its_own_refs_and_no_others",)
    source = source(claims=lambda self, ref: True)


class TestClaimsNothing(Contract):
    fails = ("claims_its_own_refs_and_no_others",)
    source = source(claims=lambda self, ref: False)


def by_network(self, ref):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 1))
    return ref.startswith("n:")


class TestClaimsByNetwork(Contract):
    fails = ("claiming_needs_no_network",)
    source = source(claims=by_network)


def once(self, ref):
    self.asked = getattr(self, "asked", set())
    new = ref not in self.asked
    self.asked.add(ref)
    return new and ref.startswith("n:")


class TestClaimsOnce(Contract):
    fails = ("claiming_twice",)
    source = source(claims=once)


async def rows(self, ref):
    for task in [task async for task in Good().load(ref)]:
        yield {"slug": task.slug}


class TestGivesRows(Contract):
    fails = ("order_of_definition", "loading_twice")
    source = source(load=rows)


async def backwards(self, ref):
    for task in reversed([task async for task in Good().load(ref)]):
        yield task


class TestSorts(Contract):
    fails = ("order_of_definition",)
    source = source(load=backwards)


async def drains(self, ref):
    self.done = getattr(self, "done", set())
    for task in [task async for task in Good().load(ref)]:
        if task.slug not in self.done:
            self.done.add(task.slug)
            yield task


class TestDrains(Contract):
    fails = ("loading_twice",)
    source = source(load=drains)


async def empty_when_missing(self, ref):
    if ref != "n:none":
        for task in [task async for task in Good().load(ref)]:
            yield task


class TestMissingIsEmpty(Contract):
    fails = ("what_is_missing",)
    source = source(load=empty_when_missing)


async def first_mistake(self, ref):
    if ref == "n:bad":
        raise TaskDataError(["one"])
    for task in [task async for task in Good().load(ref)]:
        yield task


class TestStopsAtTheFirstMistake(Contract):
    fails = ("every_mistake",)
    source = source(load=first_mistake)


async def insists(self, ref):
    try:
        for task in [task async for task in Good().load(ref)]:
            yield task
    except GeneratorExit:
        raise RuntimeError("all or nothing")


class TestCannotStopEarly(Contract):
    fails = ("may_stop_early",)
    source = source(load=insists)
