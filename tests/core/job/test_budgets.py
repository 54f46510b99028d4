"""What a job and a rollout may spend, and how they end when it is spent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen

from hud_core import Agent, Cause, ConfigError, Environment, JobControl, Kernel, Usage, evaluate, run, trace
from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn, ToolLoopAgent
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.metering.budget import dollars
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.tools import ToolCall
from hud_core.testing import MemorySink

PRICES = '[models."priced*"]\ninput = 100_000\noutput = 200_000\n'
"""Ten cents for a token in, twenty for one out."""

NO_TOOLS = Toolbox(LocalTools({}))
env = Environment("budgets")


@env.tool(blocking=False)
def more() -> str:
    """Say more."""
    return "go on"


@env.scenario()
async def talk(number: int = 0):
    answer = yield "Say done."
    yield float(answer == "done")


@frozen(kw_only=True)
class SpenderConfig(BaseAgentConfig):
    max_tokens: int | None = None


class Spender(ToolLoopAgent):
    """Asks its model `turns` times, each for so many tokens in and one out; or hangs, after so many."""

    config_class = SpenderConfig

    def __init__(
        self, *, turns: int = 1, tokens: int = 10, seconds: float = 0.0, hangs_after: int = 1000, **options: Any
    ) -> None:
        super().__init__(**{"model": "priced-1", **options})
        self.turns, self.tokens, self.seconds, self.hangs_after = turns, tokens, seconds, hangs_after
        self.asked = 0

    async def respond(self, conversation: Conversation) -> ModelTurn:
        self.asked += 1
        await anyio.sleep(self.seconds if self.asked <= self.hangs_after else math.inf)
        said = sum(isinstance(turn, ModelTurn) for turn in conversation.turns)
        calls = (ToolCall("more", {}, str(said)),) if said + 1 < self.turns else ()
        usage = Usage(input_tokens=self.tokens, output_tokens=1)
        return ModelTurn(text="" if calls else "done", calls=calls, usage=usage, model="priced-1-2026", raw={})


@pytest.fixture
def job(kernel: Kernel, tmp_path: Path) -> Callable[..., Any]:
    """Run a job of several tasks, with prices."""
    (tmp_path / "prices.toml").write_text(PRICES)

    def start(agent: Agent, tasks: int = 4, **options: Any) -> Any:
        named = [talk.task(number=number) for number in range(tasks)]
        fixed = {"kernel": kernel, "prices": tmp_path / "prices.toml", "max_concurrent": 1}
        return run(named, agent, **{**fixed, **options})

    return start


async def test_what_was_spent_is_in_the_record(job: Callable[..., Any]) -> None:
    sink = MemorySink()
    done = await job(Spender(turns=2), tasks=2, sinks=[sink])
    assert done.reward == 1.0
    assert (done.usage.calls, done.usage.input_tokens, done.usage.output_tokens) == (4, 40, 4)
    assert done.usage.cost == pytest.approx(4.8)
    assert [rollout.usage.cost for rollout in done] == [pytest.approx(2.4)] * 2
    assert [event.usage.cost for event in sink.events if event.type == "model_called"] == [pytest.approx(1.2)] * 4
    [end] = [event for event in sink.events if event.type == "job_finished"]
    assert (end.usage, end.ended, end.stopped) == (done.usage, None, False)


async def test_a_price_that_is_not_known_is_unknown_and_not_nothing(job: Callable[..., Any]) -> None:
    done = await job(Spender(model="nobody-knows"), tasks=1)
    assert done.usage.cost == pytest.approx(1.2)  # by the name that the endpoint gives its model
    done = await job(Nameless(), tasks=2)
    assert done.usage.cost is None
    assert done.usage.tokens == 22


class Nameless(Spender):
    """Its model's name is not in any list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(model="nobody-knows", **options)

    async def respond(self, conversation: Conversation) -> ModelTurn:
        turn = await super().respond(conversation)
        return ModelTurn(text=turn.text, calls=turn.calls, usage=turn.usage, raw={})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_tokens": 1090}, "the job's budget is too small for the next call: 22 of 1,090 tokens spent"),
        ({"max_cost": 211.6}, "the job's budget is too small for the next call: $2.40 of $211.60 spent"),
    ],
)
async def test_a_job_stops_when_the_next_call_may_not_fit(
    job: Callable[..., Any], limits: dict[str, Any], said: str
) -> None:
    agent, sink = Spender(), MemorySink()
    done = await job(agent, sinks=[sink], **limits)
    scored, broken = [rollout.is_scored for rollout in done], done.rollouts[-1]
    assert scored == [True, True, False]  # the third found no room, and the fourth never began
    assert (broken.cause, broken.reward) == (Cause.BUDGET, None)
    assert broken.error is not None
    assert said in broken.error
    assert done.ended is not None
    assert said in done.ended
    assert (done.stopped, done.total, agent.asked) == (True, 4, 2)
    [end] = [event for event in sink.events if event.type == "job_finished"]
    assert (end.ended, end.stopped) == (done.ended, True)


async def test_a_bigger_budget_goes_on_and_counts_what_was_spent_before(
    job: Callable[..., Any], tmp_path: Path
) -> None:
    first = await job(Spender(), max_tokens=1080, directory=tmp_path / "run")
    assert [rollout.is_scored for rollout in first] == [True, False]
    again = Spender()
    second = await job(again, max_tokens=1091, directory=tmp_path / "run", resume=True)
    assert [rollout.is_scored for rollout in second] == [True, True, False]
    assert again.asked == 1
    last = await job(Spender(), max_tokens=5000, directory=tmp_path / "run", resume=True)
    assert (last.reward, last.coverage, last.ended, last.stopped) == (1.0, 1.0, None, False)
    assert last.usage.calls == 4
    assert json.loads((tmp_path / "run" / "job.json").read_bytes())["budget"]["tokens"] == 1080


async def test_calls_that_run_are_held_back_for_and_the_budget_is_not_overdrawn(job: Callable[..., Any]) -> None:
    agent, control = Spender(turns=3, seconds=0.01), JobControl()
    done = await job(agent, tasks=40, max_concurrent=20, max_tokens=2000, control=control)
    assert done.ended is not None
    assert 2000 - 1100 < control.progress.usage.tokens <= 2000
    assert control.progress.usage.tokens == agent.asked * 11
    assert {rollout.cause for rollout in done if not rollout.is_scored} == {Cause.BUDGET}
    assert any(rollout.is_scored for rollout in done)


async def test_an_answer_may_be_as_long_as_the_agent_lets_it_be(job: Callable[..., Any]) -> None:
    done = await job(Spender(max_tokens=7), tasks=2, max_tokens=110)
    assert [rollout.is_scored for rollout in done] == [True, True]


@pytest.mark.parametrize("limits", [{"rollout_max_tokens": 1080}, {"rollout_max_cost": 214.0}])
async def test_a_rollout_has_a_budget_of_its_own(job: Callable[..., Any], limits: dict[str, Any]) -> None:
    long = await job(Spender(turns=9), tasks=2, **limits)
    assert [rollout.cause for rollout in long] == [Cause.BUDGET] * 2
    assert "the rollout's budget is too small for the next call" in (long.rollouts[0].error or "")
    assert (long.ended, long.stopped) == (None, False)
    short = await job(Spender(turns=2), tasks=2, **limits)
    assert short.reward == 1.0


async def test_a_job_whose_time_is_over_keeps_what_is_done(job: Callable[..., Any], tmp_path: Path) -> None:
    with anyio.fail_after(60):
        done = await job(Spender(hangs_after=1), max_time=1, directory=tmp_path / "run")
    assert [rollout.cause for rollout in done] == [None, Cause.BUDGET]
    assert done.ended == "the job's time is over: 1 s"
    last = await job(Spender(), max_time=60, directory=tmp_path / "run", resume=True)
    assert (last.coverage, last.ended, last.reused) == (1.0, None, 1)


async def test_a_rollout_whose_time_is_over_ends_alone_and_is_torn_down(kernel: Kernel) -> None:
    own, ended = Environment("careful"), []

    @own.scenario()
    async def careful(number: int = 0):
        try:
            answer = yield "Say done."
            yield float(answer == "done")
        finally:
            await anyio.sleep(0.01)
            ended.append(number)

    class Slow(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            if len(ended) == 1:
                await anyio.sleep_forever()
            return "done"

    tasks = [careful.task(number=number) for number in range(3)]
    with anyio.fail_after(60):
        done = await run(tasks, Slow(), kernel=kernel, max_concurrent=1, rollout_max_time=1, save=False)
    assert [rollout.cause for rollout in done] == [None, Cause.BUDGET, None]
    assert "took longer than the 1 s" in (done.rollouts[1].error or "")
    assert ended == [0, 1, 2]


async def test_a_budget_in_dollars_needs_prices_before_anything_runs(job: Callable[..., Any], tmp_path: Path) -> None:
    for limit in ("max_cost", "rollout_max_cost"):
        with pytest.raises(ConfigError, match=r"price of model 'nobody-knows' is not known.*prices\.toml"):
            await job(Nameless(), directory=tmp_path / "run", **{limit: 1.0})
    assert not (tmp_path / "run").exists()


async def test_an_agent_that_only_tells_what_it_used_spends_too(job: Callable[..., Any]) -> None:
    class Teller(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            trace.model_called(model="priced-1", seconds=0.1, usage=Usage(calls=1, input_tokens=60))
            return "done"

    done = await job(Teller(), max_cost=10.0)
    assert [rollout.usage.cost for rollout in done] == [pytest.approx(6.0)] * 2
    assert done.ended == "the job's budget is spent: $12.00 of $10.00"


async def test_an_endpoint_that_does_not_say_what_it_used_counts_as_estimated(job: Callable[..., Any]) -> None:
    class Silent(Spender):
        async def respond(self, conversation: Conversation) -> ModelTurn:
            return ModelTurn(text="done", raw={})

    done = await job(Silent(), max_tokens=2500)
    assert [rollout.is_scored for rollout in done] == [True, True, False]
    assert done.usage.cost is None


async def test_a_job_goes_on_though_its_endpoint_does_not_say_what_it_used(
    job: Callable[..., Any], tmp_path: Path
) -> None:
    class Silent(Spender):
        async def respond(self, conversation: Conversation) -> ModelTurn:
            return ModelTurn(text="done", raw={})

    first = await job(Silent(), max_cost=300, directory=tmp_path / "run")
    assert [rollout.is_scored for rollout in first] == [True, False]
    assert first.ended is not None
    last = await job(Silent(), max_cost=2000, directory=tmp_path / "run", resume=True)
    assert (last.coverage, last.ended, last.usage.cost) == (1.0, None, None)


async def test_a_judge_is_paid_by_the_rollout_that_it_judges(kernel: Kernel) -> None:
    own, judge = Environment("judged"), Spender(model="gpt-4o", tokens=1000)

    @own.scenario()
    async def judged():
        answer = yield "Say done."
        verdict = await judge.run(Prompt(messages=(Message(content=(TextContent(text=answer),)),)), NO_TOOLS)
        yield float(verdict.text == "done")

    done = await run([judged.task()], Spender(model="gpt-4o"), kernel=kernel, save=False)
    assert done.reward == 1.0
    assert (done.usage.calls, done.usage.input_tokens) == (2, 1010)
    assert done.usage.cost == pytest.approx((1010 * 2.5 + 2 * 10) / 1_000_000)


async def test_several_judges_without_a_budget_are_one_cause(kernel: Kernel) -> None:
    own, judge = Environment("many-judges"), Spender()

    @own.scenario()
    async def judged():
        yield "Say done."
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(judge.run, Prompt(messages=(Message(content=(TextContent(text="?"),)),)), NO_TOOLS)
        yield 1.0

    options = {"kernel": kernel, "rollout_max_tokens": 1090, "save": False}
    [rollout] = await run([judged.task()], Spender(tokens=100), **options)
    assert (rollout.cause, rollout.phase) == (Cause.BUDGET, "grade")
    assert judge.asked == 0


async def test_a_rollout_that_one_drives_oneself_knows_what_it_cost(kernel: Kernel) -> None:
    async with evaluate(talk.task(), kernel=kernel) as ctx:
        await Spender(model="gpt-4o").run(ctx)
    assert ctx.result is not None
    assert ctx.result.usage.cost == pytest.approx((10 * 2.5 + 10) / 1_000_000)


@pytest.mark.parametrize("option", ["max_cost", "max_tokens", "max_time", "rollout_max_cost", "rollout_max_time"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", True])
async def test_budgets_that_cannot_be(job: Callable[..., Any], option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match="a budget of"):
        await job(Spender(), **{option: value})


def test_amounts_show_what_tells() -> None:
    amounts = [None, 0.0, 0.000123, 0.05, 0.5, 1.0, 1234.5]
    assert [dollars(amount) for amount in amounts] == [
        "unknown", "$0.00", "$0.00012", "$0.050", "$0.50", "$1.00", "$1,234.50",
    ]  # fmt: skip
