"""Asking a model: out of the cache, or through the meter of the rollout that is running."""

from __future__ import annotations

import hashlib
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import msgspec
from msgspec.structs import replace

from hud_core import trace
from hud_core.agents.conversation import MalformedCall, ModelTurn, ToolTurn
from hud_core.metering.calls import send
from hud_core.metering.retrying import Endurance
from hud_core.model.content import ImageContent, TextContent
from hud_core.model.rollout import NO_USAGE, Usage
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_core.agents.conversation import Conversation
    from hud_core.agents.loop import ToolLoopAgent
    from hud_core.metering.budget import Hold
    from hud_core.metering.cache import CallCache
    from hud_core.metering.meter import RolloutMeter
    from hud_core.model.content import Content

FORMAT = 1
"""Of what is kept in the cache; another one finds nothing of an earlier one."""
CHARACTERS_PER_TOKEN = 3
"""Few, so that an estimate is rather too high."""
IMAGE_TOKENS = 1600
OUTPUT_TOKENS = 1024
"""What an answer is expected to have at the least, where the agent sets no limit."""
OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Settings of agents that limit an answer."""


class Asked(NamedTuple):
    """A turn of the model, and what it took to get it."""

    turn: ModelTurn
    usage: Usage
    seconds: float = 0.0
    waited: float = 0.0
    retries: int = 0
    cached: bool = False


async def ask(agent: ToolLoopAgent, conversation: Conversation) -> Asked:
    """Get the model's next turn: from the cache, or from the model, in its turn and within the budget.

    Raises:
        ProviderError: The endpoint failed, after the retries that make sense.
        BudgetError: The call does not fit into what is left.
    """
    recorder = trace.current_recorder.get()
    meter = recorder.meter if recorder is not None else None
    if meter is None:
        meter = agent.own_meter.rollout()
    cache = meter.job.cache
    if cache is None:
        return await _ask(agent, conversation, meter)
    question = key_of(agent, conversation, meter.repeat)
    key = hashlib.sha256(f"{question} {meter.count(question)}".encode()).hexdigest()
    if (kept := _kept(cache, key)) is not None:
        return Asked(kept, NO_USAGE, cached=True)
    asked = await _ask(agent, conversation, meter)
    _keep(cache, key, asked.turn)
    return asked


async def _ask(agent: ToolLoopAgent, conversation: Conversation, meter: RolloutMeter) -> Asked:
    config = agent.config
    model = config.model or type(agent).__name__
    throttle = meter.job.meter.throttle((type(agent), getattr(config, "base_url", None)), model)
    hold = await meter.reserve(model, estimate(agent, conversation)) if meter.job.is_limited else None
    try:
        endurance = Endurance(config.max_retries, config.overload_patience)
        sent = await send(lambda: agent.respond(conversation), endurance, throttle)
    finally:
        if hold is not None:
            meter.release(hold)
    turn = sent.answer
    usage = _usage(turn, model, meter, hold)
    return Asked(turn, usage, sent.seconds, sent.waited, turn.retries + sent.retries)


def _usage(turn: ModelTurn, model: str, meter: RolloutMeter, hold: Hold | None) -> Usage:
    """Give what a call used, with what it cost: by the name that the endpoint gives the model, else by our own."""
    if hold is not None and not turn.usage.tokens:
        meter.charge_unmeasured(hold)
    usage = turn.usage
    if usage.cost is None or not usage.tokens:  # without tokens there is no telling what was used
        usage = replace(usage, cost=meter.job.prices.cost(filter(None, (turn.model, model)), usage))
    return replace(usage, calls=1)


# --- how much a call may use ------------------------------------------------------------------------------------------


def estimate(agent: ToolLoopAgent, conversation: Conversation) -> Usage:
    """Estimate what the next call uses at the most: rather too much than too little."""
    said = [turn for turn in conversation.turns if isinstance(turn, ModelTurn)]
    counted = said[-1].usage.tokens if said else 0
    turns = conversation.turns
    if counted:
        size, new = counted, turns[max(place for place, turn in enumerate(turns) if turn is said[-1]) + 1 :]
    else:
        size, new = _size(conversation.system, msgspec.json.encode(conversation.tools, enc_hook=repr)), turns
    size += sum(map(_turn_size, new))
    longest = max((turn.usage.output_tokens for turn in said), default=0)
    return Usage(input_tokens=size, output_tokens=_output_limit(agent) or max(2 * longest, OUTPUT_TOKENS))


def _output_limit(agent: ToolLoopAgent) -> int:
    settings = (agent.config, getattr(agent.config, "completion_kwargs", {}))
    for source in settings:
        for name in OUTPUT_LIMITS:
            limit = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
            if isinstance(limit, int):
                return limit
    return 0


def _turn_size(turn: object) -> int:
    if isinstance(turn, ToolTurn):
        return sum(_content_size(result.content) for _, result in turn.results)
    if isinstance(turn, ModelTurn):
        return _size(turn.text, turn.reasoning, *(msgspec.json.encode(call, enc_hook=repr) for call in turn.calls))
    return _content_size(getattr(turn, "content", ()))


def _content_size(content: Iterable[Content]) -> int:
    return sum(map(_block_size, content))


def _block_size(block: Content) -> int:
    if isinstance(block, TextContent):
        return _size(block.text)
    return IMAGE_TOKENS if isinstance(block, ImageContent) else _size(msgspec.json.encode(block, enc_hook=repr))


def _size(*texts: str | bytes) -> int:
    return sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in texts)


# --- the cache --------------------------------------------------------------------------------------------------------


def key_of(agent: ToolLoopAgent, conversation: Conversation, repeat: int) -> str:
    """Digest everything that an answer depends on."""
    who = f"{type(agent).__module__}.{type(agent).__qualname__}"
    said = attrs.astuple(conversation, recurse=False, filter=lambda field, _: bool(field.eq))
    whole = [FORMAT, who, agent.fingerprint, repeat, *said]
    return hashlib.sha256(msgspec.json.encode(whole, enc_hook=repr, order="deterministic")).hexdigest()


def encode_turn(turn: ModelTurn) -> bytes:
    """Write a turn as JSON."""
    return msgspec.json.encode(turn)


def decode_turn(data: bytes) -> ModelTurn:
    """Read a turn that `encode_turn` wrote.

    Raises:
        ValueError: It is none.
    """
    read = msgspec.json.decode(data)
    if not isinstance(read, dict):
        raise ValueError("it holds no turn")  # noqa: TRY004  what is read, not what is passed
    calls = tuple(map(_call, read.pop("calls")))
    types = typing.get_type_hints(ModelTurn)
    fields: dict[str, Any] = {name: msgspec.convert(value, types[name]) for name, value in read.items()}
    return ModelTurn(calls=calls, **fields)


def _call(data: Mapping[str, Any]) -> ToolCall | MalformedCall:
    if "problem" in data:
        return msgspec.convert(data, MalformedCall)
    return msgspec.convert(data, ToolCall)


def _keep(cache: CallCache, key: str, turn: ModelTurn) -> None:
    try:
        data = encode_turn(turn)
    except TypeError as error:  # a vendor's object in `raw`
        cache.warn("cannot keep an answer", key, str(error))
    else:
        cache.write(key, data)


def _kept(cache: CallCache, key: str) -> ModelTurn | None:
    data = cache.read(key)
    if data is None:
        return None
    try:
        return decode_turn(data)
    except (ValueError, KeyError, TypeError) as error:
        cache.warn("holds an answer that is damaged", key, str(error))
        return None
