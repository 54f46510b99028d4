"""Arguments as they come in a prompt request or a URI: text, every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.environment.signature import Parameter, Signature


def read_arguments(signature: Signature, given: Mapping[str, str]) -> dict[str, Any]:
    """Read text by the types of parameters, as the JSON data that its codec then checks.

    A parameter that takes text gets it as it stands; for any other one the text is JSON. What is neither is left as
    it is: the codec says what is wrong with it.
    """
    parameters = signature.parameters
    return {name: _read(parameters[name], text) if name in parameters else text for name, text in given.items()}


def _read(parameter: Parameter, text: str) -> Any:  # noqa: ANN401  JSON data
    if parameter.codec.type is str:
        return text
    try:
        data = msgspec.json.decode(text)
    except ValueError:
        return text
    # Text inside JSON quotes is what people type; a sender leaves text bare, so the bare form comes first.
    for candidate in (text, data) if isinstance(data, str) else (data, text):
        if _fits(parameter, candidate):
            return candidate
    return data


def _fits(parameter: Parameter, value: Any) -> bool:  # noqa: ANN401  JSON data
    try:
        parameter.codec.convert(value)
    except ValueError:
        return False
    return True
