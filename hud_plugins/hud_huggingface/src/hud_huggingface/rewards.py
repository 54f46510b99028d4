"""The reward in what an evaluate tool gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hud_core.environment.values import NoScoreError, evaluation_from
from hud_core.errors import GraderError
from hud_core.model.content import TextContent
from hud_core.model.evaluation import Evaluation

if TYPE_CHECKING:
    from hud_core.model.tools import ToolResult

REWARD_KEYS = ("reward", "grade", "score")
"""Where a result holds the reward; the first of them counts."""
CONTENT_KEYS = ("content", "text", "message", "logs")
"""Where it holds an explanation."""


def reward_of(result: ToolResult, tool: str = "evaluate") -> Evaluation:
    """Read the reward of an evaluate tool's result: its structured content, or else its text as JSON.

    It is the value of ``reward``, ``grade`` or ``score``, or the result itself where that is a number or a bool.

    Args:
        result: What the tool gave.
        tool: Names the tool, for the message.

    Raises:
        GraderError: There is none, it is no finite number, or the result says that the evaluation failed.
    """
    if result.is_error:
        raise GraderError(f"evaluate_tool {tool!r} failed: {result.text}")
    texts = [_json(block.text) for block in result.content if isinstance(block, TextContent)]
    for data in [result.structured_content, *texts]:
        found = _evaluation_data(data)
        if found is not None:
            try:
                return evaluation_from(found)
            except NoScoreError as error:
                raise GraderError(f"evaluate_tool {tool!r} gave no reward: {error.__cause__}") from None
            except GraderError as error:
                raise GraderError(f"evaluate_tool {tool!r} failed: {error}") from None
    keys = " or ".join(map(repr, REWARD_KEYS))
    raise GraderError(f"evaluate_tool {tool!r} gave no reward: no {keys} in its result {result.text[:200]!r}")


def mean_of(evaluations: list[tuple[str, Evaluation]]) -> Evaluation:
    """Give the evaluation of several evaluate tools: the mean of their rewards, each of which is kept in ``info``."""
    if len(evaluations) == 1:
        return evaluations[0][1]
    rewards = [evaluation.reward for _, evaluation in evaluations]
    parts = [{"tool": tool, "reward": e.reward, "content": e.content, "info": e.info} for tool, e in evaluations]
    texts = [evaluation.content for _, evaluation in evaluations if evaluation.content]
    content = "\n".join(texts) or None
    return Evaluation(reward=sum(rewards) / len(rewards), content=content, info={"evaluations": parts})


def _json(text: str) -> Any:  # noqa: ANN401  data of any type
    try:
        return json.loads(text)
    except ValueError:
        return None


def _evaluation_data(data: Any) -> Any:  # noqa: ANN401  as above
    """Give what a result says of the reward, as a scenario would; None where it says nothing."""
    if isinstance(data, dict) and data.keys() == {"result"}:  # how servers wrap what is no object
        data = data["result"]
    if isinstance(data, bool | int | float):
        return data
    key = next((key for key in REWARD_KEYS if key in data), None) if isinstance(data, dict) else None
    if key is None:
        return None
    given = {name: value for name, value in data.items() if value is not None and name != key}
    explained = next((name for name in CONTENT_KEYS if isinstance(given.get(name), str)), None)
    content = {} if explained is None else {"content": given.pop(explained)}
    others = {"info": {**_info(given), "content": given.pop("content")}} if "content" in given else {}
    return {**given, **others, **content, "reward": data[key]}


def _info(given: dict[str, Any]) -> dict[str, Any]:
    info = given.pop("info", None)
    return info if isinstance(info, dict) else {} if info is None else {"info": info}
