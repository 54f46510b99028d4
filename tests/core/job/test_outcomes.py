"""How a rollout ends: scored, or invalid with its cause; never 0 for what could not be measured."""

from __future__ import annotations

import math

import anyio
import pytest

from hud_core import (
    Agent,
    AgentError,
    Answer,
    BackendError,
    BudgetError,
    Cause,
    Environment,
    GraderError,
    LostError,
    ProviderError,
    Retries,
    RolloutError,
    SetupError,
    StopReason,
    run,
)
from hud_core.testing import ScriptedAgent

env = Environment("outcomes")


@env.scenario()
async def fails_in(where: str):
    if where == "setup":
        raise RuntimeError("no database")
    yield "prompt"
    if where == "grade":
        raise RuntimeError("no referee")
    yield 1.0


@env.scenario()
async def scores(kind: str):
    yield "prompt"
    yield {
        "nan": math.nan,
        "inf": math.inf,
        "none": None,
        "text": "1.0",
        "zero": 0,
        "true": True,
        "negative": -2.5,
        "dict": {"reward": 0.5, "note": "kept"},
        "typo": {"rewrd": 1.0},
        "error": {"reward": 0.0, "isError": True, "content": "the judge is away"},
    }[kind]


@env.scenario()
async def never_scores():
    yield "prompt"


class Failing(Agent):
    """Raises each error in turn, then answers."""

    name = "failing"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    @property
    def attempts(self) -> int:
        return len(self.times)

    async def run(self, prompt, toolbox, *, max_steps):
        self.times.append(anyio.current_time())
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def one(task, agent, kernel, **options):
    job = await run(task, agent, kernel=kernel, save=False, retries=Retries(delay=0.001), **options)
    (rollout,) = job.rollouts
    return rollout


@pytest.mark.parametrize(("where", "cause"), [("setup", Cause.SETUP), ("grade", Cause.GRADER)])
async def test_an_exception_of_the_scenario_is_an_invalid_rollout_with_the_place(where, cause, kernel):
    rollout = await one(fails_in.task(where), ScriptedAgent(), kernel)
    assert (rollout.status, rollout.cause, rollout.phase, rollout.reward) == ("invalid", cause, where, None)
    assert "RuntimeError: no " in rollout.error
    assert f"({__file__}:" in rollout.error


@pytest.mark.parametrize("kind", ["nan", "inf", "none", "text", "typo", "error"])
async def test_what_is_no_finite_score_is_a_grader_error(kind, kernel):
    rollout = await one(scores.task(kind), ScriptedAgent(), kernel)
    assert (rollout.cause, rollout.reward) == (Cause.GRADER, None)


@pytest.mark.parametrize(("kind", "reward"), [("zero", 0.0), ("true", 1.0), ("negative", -2.5), ("dict", 0.5)])
async def test_a_finite_score_is_the_reward(kind, reward, kernel):
    rollout = await one(scores.task(kind), ScriptedAgent(), kernel)
    assert (rollout.status, rollout.reward) == ("scored", reward)


async def test_what_a_score_says_beside_the_reward_is_kept(kernel):
    rollout = await one(scores.task("dict"), ScriptedAgent(), kernel)
    assert rollout.info == {"note": "kept"}


async def test_a_missing_second_yield_is_no_score(kernel):
    rollout = await one(never_scores.task(), ScriptedAgent(), kernel)
    assert rollout.cause is Cause.GRADER
    assert "second yield" in rollout.error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("bug"), Cause.AGENT),
        (AgentError("gave up"), Cause.AGENT),
        (GraderError("x"), Cause.GRADER),
        (SetupError("x"), Cause.SETUP),
        (BudgetError("spent"), Cause.BUDGET),
        (TimeoutError("socket"), Cause.TIMEOUT),
        (ProviderError("no key", retry=False), Cause.PROVIDER),
    ],
)
async def test_each_exception_has_its_cause_and_is_not_tried_again(error, cause, kernel):
    agent = Failing(error, error)
    rollout = await one(fails_in.task("nowhere"), agent, kernel)
    assert (rollout.cause, rollout.phase, rollout.reward, agent.attempts) == (cause, "agent", None, 1)


@pytest.mark.parametrize("error", [ProviderError("429"), BackendError("gone"), LostError("node"), ConnectionError("x")])
async def test_what_may_pass_is_tried_again_and_each_attempt_is_kept(error, kernel):
    agent = Failing(error)
    retries = Retries(delay=0.001, causes=frozenset(Cause))
    job = await run(fails_in.task("nowhere"), agent, kernel=kernel, save=False, retries=retries)
    (rollout,) = job.rollouts
    assert (rollout.reward, agent.attempts) == (1.0, 2)
    assert [attempt.phase for attempt in rollout.attempts] == ["agent"]
    assert str(error) in rollout.attempts[0].error


async def test_attempts_are_bounded(kernel):
    agent = Failing(*[ProviderError("overloaded")] * 10)
    rollout = await one(fails_in.task("nowhere"), agent, kernel)
    assert (rollout.cause, agent.attempts, len(rollout.attempts)) == (Cause.PROVIDER, 3, 2)


async def test_a_provider_is_not_asked_before_it_said(kernel):
    agent = Failing(ProviderError("429", retry_after=0.3))
    assert (await one(fails_in.task("nowhere"), agent, kernel)).reward == 1.0
    first, second = agent.times
    assert second - first > 0.29


async def test_a_plugins_own_exception_class_says_what_it_means(kernel):
    class FullError(RolloutError):
        verdict = BackendError.verdict

    agent = Failing(FullError("no room"))
    rollout = await one(fails_in.task("nowhere"), agent, kernel)
    assert (rollout.reward, rollout.attempts[0].cause) == (1.0, Cause.BACKEND)


@pytest.mark.parametrize("answer", [None, 3, {"text": "x"}])
async def test_an_agent_must_return_an_answer(answer, kernel):
    rollout = await one(fails_in.task("nowhere"), ScriptedAgent(answer=answer), kernel)
    assert rollout.cause is Cause.AGENT
    assert "must return a str or an Answer" in rollout.error


@pytest.mark.parametrize("reason", list(StopReason))
async def test_the_stop_reason_is_recorded_and_the_rollout_is_graded(reason, kernel):
    rollout = await one(fails_in.task("nowhere"), ScriptedAgent(answer=Answer(text="x", stop_reason=reason)), kernel)
    assert (rollout.status, rollout.stop_reason, rollout.reward) == ("scored", reason, 1.0)


async def test_one_bad_rollout_leaves_the_others_alone(kernel):
    tasks = [fails_in.task(where) for where in ("setup", "nowhere", "grade", "nowhere")]
    job = await run(tasks, ScriptedAgent(), kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [None, 1.0, None, 1.0]
    summary = job.summary()
    assert (summary.mean, summary.coverage, summary.lower, summary.upper) == (1.0, 0.5, 0.5, 1.0)
    assert summary.causes == {"setup": 1, "grader": 1}


async def test_a_task_that_cannot_run_says_why(kernel):
    task = fails_in.task("nowhere")
    task.args = None
    rollout = await one(task, ScriptedAgent(), kernel)
    assert "template" in rollout.error
    unknown = await one(env("no-such"), ScriptedAgent(), kernel)
    assert "has no scenario 'no-such'" in unknown.error


async def test_a_teardown_that_fails_changes_no_score_and_is_recorded(kernel, tmp_path):
    from hud_core.job.directory import read_events

    fragile = Environment("fragile")

    @fragile.scenario()
    async def leaks():
        try:
            yield "prompt"
            yield 1.0
        finally:
            raise RuntimeError("cannot delete")

    job = await run(leaks.task(), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    lines = [event["text"] for event in read_events(job.directory) if event["type"] == "log_line"]
    assert job.reward == 1.0, job.rollouts[0].error
    assert any("cannot delete" in line for line in lines)
