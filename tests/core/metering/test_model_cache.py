"""The cache of model calls: what finds an answer again, what does not, and several processes in one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hud_core import Environment, Kernel, Usage, run
from hud_core.agents import Conversation, MalformedCall, ModelTurn, ToolLoopAgent
from hud_core.agents.asking import decode_turn, encode_turn, key_of
from hud_core.metering.cache import CallCache
from hud_core.model.content import Citation, ImageContent, Message, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.tools import Tool, ToolCall
from hud_core.testing import MemorySink, fakes

env = Environment("cached")


@env.tool(blocking=False)
def look() -> str:
    """Look."""
    return "nothing"


@env.scenario()
async def talk(number: int = 0):
    answer = yield f"Say {number}."
    yield float(answer.startswith(f"Say {number}."))


class Talker(ToolLoopAgent):
    """Calls a tool, then says what it was told, and which of its answers that is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"model": "gpt-4o", **options})
        self.asked = 0

    async def respond(self, conversation: Conversation) -> ModelTurn:
        self.asked += 1
        usage = Usage(input_tokens=10, output_tokens=1)
        if not any(isinstance(turn, ModelTurn) for turn in conversation.turns):
            return ModelTurn(calls=(ToolCall("look", {}, "a"),), usage=usage, raw={"n": self.asked})
        told = conversation.turns[0]
        assert isinstance(told, Message)
        return ModelTurn(text=f"{told.text} {self.asked}", usage=usage, request_id=f"r{self.asked}", raw={"n": 1.5})


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(autoload=False, plugins=[fakes], strict=True)


@pytest.fixture
def job(kernel: Kernel, tmp_path: Path) -> Callable[..., Any]:
    def start(agent: ToolLoopAgent, tasks: int = 2, **options: Any) -> Any:
        named = [talk.task(number=number) for number in range(tasks)]
        return run(named, agent, **{"kernel": kernel, "cache": tmp_path / "cache", "save": False, **options})

    return start


async def test_a_second_job_asks_no_model_and_costs_nothing(job: Callable[..., Any]) -> None:
    first, again, sink = Talker(), Talker(), MemorySink()
    before = await job(first)
    after = await job(again, sinks=[sink], max_tokens=1)
    assert (first.asked, again.asked) == (4, 0)
    assert [rollout.content for rollout in before] == [rollout.content for rollout in after]
    assert before.usage.cost == pytest.approx(4 * (10 * 2.5 + 10) / 1_000_000)
    assert after.usage == Usage(cost=0.0)
    called = [event for event in sink.events if event.type == "model_called"]
    assert [(event.cached, event.seconds, event.usage.cost) for event in called] == [(True, 0.0, 0.0)] * 4
    assert called[-1].request_id is not None


async def test_it_is_off_unless_it_is_asked_for(job: Callable[..., Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        agent = Talker()
        await job(agent, cache=False)
        assert agent.asked == 4
    assert not (tmp_path / ".hud").exists()
    await job(Talker(), cache=True)
    assert (tmp_path / ".hud" / "cache").is_dir()


async def test_repeats_of_a_task_have_answers_of_their_own(job: Callable[..., Any]) -> None:
    first, again = Talker(), Talker()
    before = await job(first, tasks=1, group=3)
    assert len({rollout.content for rollout in before}) == 3
    after = await job(again, tasks=1, group=4)
    assert again.asked == 2
    assert [rollout.content for rollout in after][:3] == [rollout.content for rollout in before]


async def test_what_one_rollout_asks_twice_has_two_answers(job: Callable[..., Any]) -> None:
    class Twice(Talker):
        async def run(self, prompt: Any, toolbox: Any = None, *, max_steps: int = 10) -> Any:
            answers = [await super(Twice, self).run(prompt, toolbox, max_steps=max_steps) for _ in range(2)]
            assert answers[0].text != answers[1].text
            return answers[0]

    before = await job(Twice(), tasks=1)
    again = Twice()
    after = await job(again, tasks=1)
    assert again.asked == 0
    assert before.reward == after.reward == 1.0


@pytest.mark.parametrize("other", [{"model": "gpt-5"}, {"system_prompt": "Be brief."}, {"disallowed_tools": "look"}])
async def test_another_agent_asks_again(job: Callable[..., Any], other: dict[str, Any]) -> None:
    await job(Talker())
    agent = Talker(**other)
    await job(agent)
    assert agent.asked > 0
    same = Talker(max_retries=1)  # which changes no answer
    await job(same)
    assert same.asked == 0


SAID = ModelTurn(text="hm", usage=Usage(input_tokens=1))


@pytest.mark.parametrize(
    "other",
    [
        {"system": "b"},
        {"tools": (Tool(name="t", description="d2"),)},
        {"tools": ()},
        {"answer_schema": {"type": "string"}},
        {"turns": [Message(content=(TextContent(text="y"), ImageContent(data="aGk=")))]},
        {"turns": [Message(content=(TextContent(text="x"), ImageContent(data="aGo=")))]},
        {"turns": [Message(content=(TextContent(text="x"), ImageContent(data="aGk="))), SAID]},
    ],
)
def test_everything_that_a_model_is_told_is_part_of_the_key(other: dict[str, Any]) -> None:
    message = Message(content=(TextContent(text="x"), ImageContent(data="aGk=")))
    said = {"system": "a", "tools": (Tool(name="t", description="d"),), "turns": [message]}
    agent = Talker()
    key = key_of(agent, Conversation(**said), 0)
    assert key == key_of(Talker(), Conversation(**said), 0)
    assert key == key_of(agent, Conversation(**said, written=b"of the agent's own"), 0)
    assert key != key_of(agent, Conversation(**{**said, **other}), 0)
    assert key != key_of(agent, Conversation(**said), 1)


def test_a_turn_is_kept_whole() -> None:
    turn = ModelTurn(
        text="é\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        reasoning="hm",
        calls=(ToolCall("a", {"x": [1, None]}, "1"), MalformedCall(name="b", id="2", raw="{", problem="invalid JSON")),
        stop=StopReason.TRUNCATED,
        structured={"a": [1.5]},
        citations=(Citation(type="url", text="t", source="s"),),
        raw={"role": "assistant", "content": [{"signature": "…"}]},
        model="m-1",
        usage=Usage(input_tokens=5, cached_tokens=2, cost=0.5),
        finish="length",
        request_id="r",
    )
    assert decode_turn(encode_turn(turn)) == turn
    assert decode_turn(encode_turn(ModelTurn())) == ModelTurn()


def damage(data: bytes) -> list[bytes]:
    whole = json.loads(data.partition(b"\n")[2])
    return [
        b"",
        data[:-1],
        data[:70],
        b"0" * 64 + data[64:],
        data.replace(b"look", b"lock"),
        json.dumps(whole).encode(),
    ]


async def test_a_damaged_answer_is_none_and_is_said(
    job: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await job(Talker(), tasks=1)
    [first, *_] = [path for path in CallCache(tmp_path / "cache").files() if b"look" in path.read_bytes()]
    whole = first.read_bytes()
    for data in damage(whole):
        first.write_bytes(data)
        agent = Talker()
        caplog.clear()
        done = await job(agent, tasks=1)
        assert done.reward == 1.0
        assert agent.asked > 0
        assert "damaged" in caplog.text
        again = Talker()
        await job(again, tasks=1)
        assert again.asked == 0


async def test_a_folder_that_cannot_be_written_costs_a_warning(
    job: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    done = await job(Talker(), cache=tmp_path / "file" / "cache")
    assert done.reward == 1.0
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert len(caplog.records) <= 2


async def test_a_turn_with_a_vendors_object_is_not_kept_and_that_is_said(
    job: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Objects(Talker):
        async def respond(self, conversation: Conversation) -> ModelTurn:
            return ModelTurn(text="Say 0.", raw=object())

    done = await job(Objects(), tasks=1)
    assert done.reward == 1.0
    assert "cannot keep an answer" in caplog.text


WRITER = """
import sys
from pathlib import Path
from hud_core.metering.cache import CallCache

cache, me = CallCache(Path(sys.argv[1])), sys.argv[2]
keys = [f"{n:064x}" for n in range(40)]
for turn in range(25):
    for key in keys:
        cache.write(key, (me * 5000).encode())
        found = cache.read(key)
        assert found is not None and len(set(found)) == 1 and len(found) == 5000, found
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), str(number)] for number in range(3)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    problems = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], problems
    assert "damaged" not in "".join(problems)
    files = list(CallCache(tmp_path).files())
    assert len(files) == 40  # and no draft is left
