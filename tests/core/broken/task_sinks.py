"""Sinks of tasks that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: F403, F405

from __future__ import annotations

import json

import attrs
import pytest

from hud_core import *
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


def row(task):
    return (task.scenario, json.dumps(task.args))


class Good(TaskSink):
    def __init__(self):
        self.there = {}

    async def plan(self, tasks, ref):
        there = self.there.get(ref, {})
        return SyncPlan(
            ref=ref,
            create=tuple(t for t in tasks if t.slug not in there),
            update=tuple((t, "args") for t in tasks if t.slug in there and there[t.slug] != row(t)),
            unchanged=tuple(t.slug for t in tasks if there.get(t.slug) == row(t)),
            remote_only=tuple(s for s in there if s not in {t.slug for t in tasks}),
        )

    async def apply(self, plan):
        changed = [*plan.create, *(t for t, _ in plan.update)]
        self.there.setdefault(plan.ref, {}).update({t.slug: row(t) for t in changed})
        return SyncReport(created=len(plan.create), updated=len(plan.update))


class Contract(TaskSinkContract):
    sink = given("sink", Good)
    target = given("target", lambda: "shelf")


class TestGood(Contract):
    fails = ()


def sink(**methods):
    return given("sink", type("S", (Good,), methods))


async def eager(self, tasks, ref):
    plan = await Good.plan(self, tasks, ref)
    await Good.apply(self, plan)
    return plan


class TestPlanApplies(Contract):
    fails = ("a_plan_changes_nothing",)
    sink = sink(plan=eager)


async def forgets(self, plan):
    return SyncReport(created=len(plan.create), updated=len(plan.update))


class TestForgets(Contract):
    fails = ("after_apply_there_is_nothing", "changed_task_is_updated", "nothing_is_ever_deleted")
    sink = sink(apply=forgets)


async def miscounts(self, plan):
    await Good.apply(self, plan)
    return SyncReport(created=0, updated=0)


class TestMiscounts(Contract):
    fails = ("after_apply_there_is_nothing", "changed_task_is_updated")
    sink = sink(apply=miscounts)


async def no_updates(self, tasks, ref):
    plan = await Good.plan(self, tasks, ref)
    slugs = (*plan.unchanged, *(t.slug for t, _ in plan.update))
    return SyncPlan(ref=ref, create=plan.create, unchanged=slugs, remote_only=plan.remote_only)


class TestMissesChanges(Contract):
    fails = ("changed_task_is_updated",)
    sink = sink(plan=no_updates)


async def replaces(self, plan):
    report = await Good.apply(self, plan)
    for slug in plan.remote_only:
        del self.there[plan.ref][slug]
    return report


class TestDeletes(Contract):
    fails = ("nothing_is_ever_deleted",)
    sink = sink(apply=replaces)


async def nameless(self, tasks, ref):
    return attrs.evolve(await Good.plan(self, tasks, "shelf"), ref="")


class TestForgetsTheTarget(Contract):
    fails = (
        "names_its_target",
        "after_apply_there_is_nothing",
        "changed_task_is_updated",
        "nothing_is_ever_deleted",
    )
    sink = sink(plan=nameless)
