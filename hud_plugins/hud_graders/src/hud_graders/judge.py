"""Models that judge an answer by criteria in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import anyio

from hud_core import Answer, ConfigError
from hud_core.interfaces import Agent
from hud_core.job.grading import current_grading
from hud_core.kernel import Kernel
from hud_core.settings import settings as hud_settings
from hud_graders.agreement import krippendorff_alpha
from hud_graders.base import Grader, Score
from hud_graders.criteria import Criteria, read_criteria
from hud_graders.named import NamedGrader, given
from hud_graders.panel import Panel, Verdict
from hud_graders.text import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_graders.criteria import Criterion

Combine = Literal["majority", "mean"]
CLOSE_SECONDS = 10.0
"""How long judges may take to close their connections."""
Judges = str | Agent | list[str | Agent] | None


class LLMJudgeGrader(Grader):
    """Asks models whether an answer meets criteria, and gives the weighted share of those that it meets.

    ``await LLMJudgeGrader.grade(weight=1.0, answer=answer, criteria=["names a source", ("is short", 0.5)])``. The
    metadata has each criterion with every judge's verdict and reason, and how far the judges agree.
    """

    name: ClassVar[str] = "LLMJudgeGrader"

    @classmethod
    async def compute_score(
        cls,
        *,
        answer: object = "",
        criteria: Criteria | None = None,
        question: str | None = None,
        model: Judges = None,
        samples: int = 1,
        combine: Combine = "majority",
        settings: Mapping[str, Any] | None = None,
    ) -> Score:
        """Ask the judges.

        Args:
            answer: What is judged.
            criteria: What it must meet: a text, or a text and its weight, or several. A negative weight is a penalty.
            question: What was asked, for the judges to read; by default the rollout's prompt, where it is known.
            model: The name of a model or agent, or an agent, or several; ``HUD_JUDGE_MODEL`` by default.
            samples: How often each of them is asked.
            combine: Per criterion, the verdict of the majority (a tie is a half), or the share of judges who say yes.
            settings: Settings of judges that are given by name, such as ``{"temperature": 0}``.

        Raises:
            ConfigError: There are no criteria, or no such model.
            GraderError: A judge failed, refused, or gave no verdict twice.
        """
        wanted = read_criteria(criteria)
        check_asking(samples, combine)
        agents = make_judges(model, settings)
        panel = Panel([agent for agent, _ in agents for _ in range(samples)], wanted, _asked(question), text_of(answer))
        try:
            verdicts = await panel.ask()
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                for agent, is_ours in agents:
                    if is_ours:
                        await agent.aclose()
        return _combined(wanted, verdicts, combine)


def check_asking(samples: int, combine: str) -> None:
    """Check how judges are asked.

    Raises:
        ConfigError: It makes no sense.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ConfigError(f"samples must be a whole number of at least 1, got {samples!r}")
    if combine not in ("majority", "mean"):
        raise ConfigError(f"combine must be 'majority' or 'mean', got {combine!r}")


def _asked(question: str | None) -> str:
    grading = current_grading.get()
    if question is not None or grading is None or grading.prompt is None:
        return question or ""
    return grading.prompt.text


def make_judges(model: Judges, settings: Mapping[str, Any] | None) -> list[tuple[Agent, bool]]:
    """Give the agents that judge, and whether each is to be closed afterwards: a job keeps its judges to its end.

    Raises:
        ConfigError: There is none, or settings are for one that has its own.
        UnknownProviderError: No installed agent has the name or runs such a model.
    """
    chosen = hud_settings.judge_model if model is None else model
    found: list[tuple[Agent, bool]] = []
    grading = current_grading.get()
    kept = None if grading is None else grading.judges
    judges: dict[str, Agent] = {} if kept is None else kept
    for one in chosen if isinstance(chosen, list | tuple) else [chosen]:
        if isinstance(one, Agent):
            if settings:
                raise ConfigError(f"settings are for judges given by name; {one!r} has its own already")
            found.append((one, False))
            continue
        key = json.dumps([one, settings], sort_keys=True, default=repr)
        if key not in judges:
            kernel = Kernel() if grading is None else grading.kernel
            judges[key] = kernel.create_agent(one, **(settings or {}))
        found.append((judges[key], kept is None))
    if not found:
        raise ConfigError("a judge needs a model: give model=, or set HUD_JUDGE_MODEL")
    return found


def _combined(criteria: Sequence[Criterion], verdicts: Sequence[Sequence[Verdict]], combine: Combine) -> Score:
    """Make one score of every judge's verdict on every criterion."""
    told, score = [], 0.0
    for criterion, votes in zip(criteria, zip(*verdicts, strict=True), strict=True):
        share = sum(vote.is_met for vote in votes) / len(votes)
        value = share if combine == "mean" else (share > 0.5) + 0.5 * (share == 0.5)  # noqa: PLR2004
        score += criterion.weight * value
        said = [{"judge": vote.judge, "is_met": vote.is_met, "reason": vote.reason} for vote in votes]
        told.append({"criterion": criterion.text, "weight": criterion.weight, "value": value, "verdicts": said})
    metadata: dict[str, Any] = {"criteria": told, "judges": [votes[0].judge for votes in verdicts]}
    if len(verdicts) > 1:
        ratings = zip(*([vote.is_met for vote in votes] for votes in verdicts), strict=True)
        metadata["alpha"] = krippendorff_alpha(list(ratings))
    most = sum(criterion.weight for criterion in criteria if criterion.weight > 0)
    return min(max(score / most, 0.0), 1.0), metadata


# --- in task rows -----------------------------------------------------------------------------------------------------


class NamedJudge(NamedGrader):
    """The grader ``llm_judge``."""

    def __init__(self) -> None:
        super().__init__("llm_judge", llm_judge, problem_of)


async def llm_judge(
    answer: Answer,
    *,
    criteria: str | list[Any],
    question: str | None = None,
    model: str | list[str] | None = None,
    samples: int = 1,
    combine: str = "majority",
    settings: dict[str, Any] | None = None,
) -> Score:
    """Ask the judges; options as of `LLMJudgeGrader`."""
    return await LLMJudgeGrader.compute_score(
        answer=given(answer),
        criteria=criteria,
        question=question,
        model=model,  # type: ignore[arg-type]  # list is invariant
        samples=samples,
        combine=combine,  # type: ignore[arg-type]  # checked
        settings=settings,
    )


def problem_of(
    *,
    criteria: str | list[Any],
    model: str | list[str] | None = None,
    samples: int = 1,
    combine: str = "majority",
    settings: dict[str, Any] | None = None,
    **_: object,
) -> str:
    """Say what is wrong with a row's options; a judge that cannot be made is found here."""
    try:
        read_criteria(criteria)
        check_asking(samples, combine)
        make_judges(model, settings)  # type: ignore[arg-type]  # list is invariant
    except ConfigError as error:
        return str(error)
    return ""
