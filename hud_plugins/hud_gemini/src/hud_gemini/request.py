"""A request as the SDK takes it. Importing this module imports the SDK, which takes a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.genai import types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class Request(types.GenerateContentConfig):
    """The settings of a request that brings its body along.

    The SDK asks settings for each of their fields in turn, which pydantic models answer by going through all of them,
    and copies them with all that is in them: here, the whole conversation. This class answers at once, and leaves the
    body, which nobody changes, uncopied.
    """

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  a field
        return self.__dict__[name]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002  never deep
        """Copy the settings, but not what is in them."""
        return super().model_copy(update=update)

    def with_body(self, body: dict[str, Any]) -> Self:
        """Give a request like this one that sends a body; to make one anew takes ten times as long."""
        options = (self.http_options or types.HttpOptions()).model_copy(update={"extra_body": body})
        return super().model_copy(update={"http_options": options})


def request_of(options: Mapping[str, Any]) -> Request:
    """Make a request that sends nothing yet.

    Args:
        options: How it is sent: fields of `HttpOptions`.
    """
    return Request.model_construct(
        http_options=types.HttpOptions(**options),
        should_return_http_response=True,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
