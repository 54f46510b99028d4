"""What an answer is judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

from hud_core import ConfigError

Criteria = str | tuple[str, float] | Sequence[object]
"""A text; a text and its weight; or several of these, also as ``{"criterion": text, "weight": weight}``."""


@frozen(kw_only=True)
class Criterion:
    """One thing that an answer must meet."""

    text: str
    weight: float = 1.0


def read_criteria(criteria: Criteria | None) -> list[Criterion]:
    """Read criteria in any of their forms.

    Raises:
        ConfigError: There are none, one of them is no criterion, or none has a positive weight.
    """
    several = [criteria] if isinstance(criteria, str) or _is_pair(criteria) else criteria
    if not several or not isinstance(several, Sequence):
        raise ConfigError(f"a judge needs criteria, such as criteria=['names a source'], got {criteria!r}")
    found = [_criterion(one) for one in several]
    if not any(criterion.weight > 0 for criterion in found):
        raise ConfigError("at least one criterion needs a positive weight")
    return found


def _is_pair(value: object) -> bool:
    """Whether it is a text with its weight: a tuple, or a list as JSON has it."""
    match value:
        case [str(), int() | float()]:
            return True
    return False


def _criterion(value: object) -> Criterion:
    match value:
        case str(text):
            weight: object = 1.0
        case [str(text), weight]:
            pass
        case Mapping() if "criterion" in value and not value.keys() - {"criterion", "weight"}:
            text, weight = str(value["criterion"]), value.get("weight", 1.0)
        case _:
            raise ConfigError(f"a criterion is a text, or a text and its weight, got {value!r}")
    if not text.strip():
        raise ConfigError("a criterion is empty; say what the answer must meet")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise ConfigError(f"the weight of criterion {text!r} must be a number, got {weight!r}")
    return Criterion(text=text, weight=float(weight))
