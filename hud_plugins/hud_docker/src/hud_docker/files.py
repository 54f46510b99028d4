"""Files of containers, through the engine: no program in the container takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import APIClient


def has_path(client: APIClient, container: str, path: str) -> bool:
    """Whether a container has a file or a folder. It blocks; `Engine.read` runs it in a thread.

    Raises:
        docker.errors.DockerException: The container is not there, or the engine failed.
    """
    from docker.errors import NotFound

    try:
        content, _ = client.get_archive(container, path)
    except NotFound:
        client.inspect_container(container)  # raises, where it is the container that is not there
        return False
    for _ in content:  # to its end, or the connection could not be used again
        pass
    return True
