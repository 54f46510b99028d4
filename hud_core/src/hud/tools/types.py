"""What tools and scenarios give: content, sub-scores, evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import AgentAnswer, Citation, Evaluation, SubScore, ToolError
    from hud_core import Evaluation as EvaluationResult
    from hud_core import Evaluation as ScenarioResult

__all__ = ["AgentAnswer", "Citation", "Evaluation", "EvaluationResult", "ScenarioResult", "SubScore", "ToolError"]

_RENAMED = {"EvaluationResult": "Evaluation", "ScenarioResult": "Evaluation"}

__getattr__ = lazy(
    __name__,
    {name: f"hud_core:{_RENAMED.get(name, name)}" for name in __all__},
    {name: (f"hud_tools.types:{name}", "hud-tools") for name in ("ContentResult", "Coordinate")},
)
