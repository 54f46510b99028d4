from __future__ import annotations

import pytest

from hud_core.model.task import EnvRef
from hud_core.testing import BackendContract, PluginContract
from hud_docker.backend import DockerBackend

SERVED = {"env.py": "from hud_core.testing.environments import contract as env\n"}


class TestPlugin(PluginContract):
    plugin = "hud_docker"
    distribution = "hud-docker"


@pytest.mark.slow
class TestDocker(BackendContract):
    isolates_module_state = True
    patience = 60.0

    @pytest.fixture
    def backend(self):
        return DockerBackend()

    @pytest.fixture
    def ref(self, image, tmp_path_factory):
        folder = tmp_path_factory.getbasetemp()  # the tests look there for what environments leave
        return EnvRef("contract", "docker", {"image": image("contract", SERVED), "mounts": [f"{folder}:{folder}"]})
