"""Containers of real images on a real engine: what is said of them when they fail, and what they leave."""

from __future__ import annotations

import json
import secrets

import anyio
import pytest

from hud_core import Agent, Environment, Task, run
from hud_core.errors import BackendError, Cause, ConfigError
from hud_core.model.evaluation import Answer
from hud_core.model.events import LogLine
from hud_core.model.task import EnvRef
from hud_core.trace import Recorder, current_recorder
from hud_docker.backend import DockerBackend
from hud_docker.ownership import KIND, OWNER

pytestmark = pytest.mark.slow
PATIENCE = 60.0
SHOP = """
import os, sys
from hud import Environment

env = Environment("shop")
print("starting on stdout")
print("starting with", os.environ.get("API_TOKEN"), file=sys.stderr, flush=True)


@env.tool
def say(text: str) -> str:
    print("said", text, file=sys.stderr, flush=True)
    return f"{text} from {os.environ.get('GREETER', 'nobody')}"


@env.tool
def eat(mib: int) -> int:
    return len(bytearray(mib << 20))


@env.scenario("checkout")
async def checkout(product: str):
    answer = yield f"Buy a {product}."
    yield float(answer == product)
"""
FILES = {"env.py": SHOP}
DOCKERFILE = "FROM {base}\nLABEL hud-test=image\nWORKDIR /app\nCOPY . .\n{more}"


BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
"""For what depends on the event loop; the contract shows the rest on both."""


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def backend():
    backend = DockerBackend()
    yield backend
    await backend.aclose()


@pytest.fixture(scope="session")
def shop(image):
    return image("shop", FILES)


@pytest.fixture(scope="session")
def variant(image, base_image):
    """Builds the shop with another command."""

    def build(more):
        return image("shop-variant", {**FILES, "Dockerfile": DOCKERFILE.format(base=base_image, more=more)})

    return build


def ref(image, **options):
    return EnvRef("shop", "docker", {"image": image, **options})


async def score(backend, what):
    with anyio.fail_after(PATIENCE):
        async with backend.open(what) as session:
            prompt = await session.setup("checkout", {"product": "laptop"})
            assert prompt.text == "Buy a laptop."
            return (await session.grade(Answer(text="laptop"))).reward


async def failure(backend, what):
    with anyio.fail_after(PATIENCE), pytest.raises((BackendError, ConfigError)) as caught:
        async with backend.open(what):
            pass
    return str(caught.value)


def ours(docker, backend):
    return docker.containers(all=True, filters={"label": f"{OWNER}={backend._owner.id}"})


# --- what works -------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "command",
    [
        'CMD ["hud", "dev", "env:env", "--port", "8765"]',
        "CMD hud dev env:env --port 9000",
        'ENTRYPOINT ["hud", "dev"]\nCMD ["env:env", "--stdio"]',
    ],
    ids=["command line", "shell, over HTTP", "entrypoint"],
)
async def test_images_are_spoken_to_as_their_command_says(backend, variant, command):
    assert await score(backend, ref(variant(command))) == 1.0


async def test_one_image_may_be_run_in_several_ways(backend, shop):
    shell = ref(shop, command=["sh", "-c", "exec hud dev env:env"], port=8765)
    assert [await score(backend, ref(shop)), await score(backend, shell), await score(backend, ref(shop))] == [1.0] * 3


async def test_who_may_connect_to_a_container_may_not_grade(backend, shop, docker):
    async with backend.open(ref(shop, command=["sh", "-c", "exec hud dev env:env"], port=8765)):
        (container,) = ours(docker, backend)
        env = dict(item.partition("=")[::2] for item in docker.inspect_container(container["Id"])["Config"]["Env"])
    assert env["HUD_DEV_TOKEN"]
    assert env["HUD_DEV_TOKEN"] != env["HUD_MCP_HARNESS"], "the one is known to programs that are started in there"


async def test_the_strictest_container_still_serves(backend, shop, docker):
    strict = ref(
        shop, read_only=True, user="1000:1000", network="none", cap_drop=["ALL"], memory="256m", pids=64, cpus=1
    )
    async with backend.open(strict) as session:
        assert (await session.call_tool("say", text="hi")).text == "hi from nobody"
        (container,) = ours(docker, backend)
        assert container["Labels"][KIND] == "rollout"
    assert ours(docker, backend) == []


async def test_variables_reach_the_container_and_nothing_else(backend, shop, docker, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hunter2222")
    recorder = Recorder("r")
    token = current_recorder.set(recorder)
    try:
        async with backend.open(ref(shop, env={"API_TOKEN": "${MY_SECRET}", "GREETER": "Ann"})) as session:
            assert (await session.call_tool("say", text="hi")).text == "hi from Ann"
            (container,) = ours(docker, backend)
            assert "hunter2222" not in json.dumps(container)
    finally:
        current_recorder.reset(token)
    lines = [event.text for event in recorder.pending if isinstance(event, LogLine)]
    assert "starting with ***" in lines
    assert "said hi" in lines
    assert "hunter2222" not in repr(recorder.pending)


async def test_a_script_runs_a_scenario_of_a_connected_image(shop, docker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = Environment("mine")
    env.connect_image(shop, env_vars={"GREETER": "Bob"}, options={"network": "none", "ready_timeout": 60})

    class Buyer(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            told = await toolbox.call_tool("say", text="hi")
            return "laptop" if told.text == "hi from Bob" else told.text

    rollout = await env("checkout", product="laptop").run(Buyer())
    assert (rollout.reward, rollout.error) == (1.0, None)
    assert docker.containers(all=True, filters={"name": "hud-hud-test-shop"}) == []


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ('CMD ["python", "-c", "import no_such_module"]', ["exited with code 1", "No module named 'no_such_module'"]),
        ('CMD ["no-such-program"]', ["127", "not found in the image"]),
        ('CMD ["sh", "-c", "exec hud dev nothing:env --port 80"]', ["before it served MCP on port 80", "nothing"]),
        ('CMD ["sh", "-c", "kill -9 $$"]', ["SIGKILL"]),
    ],
)  # fmt: skip
async def test_a_server_that_does_not_start_is_an_error_with_its_end_and_its_last_lines(
    backend, variant, command, says
):
    said = await failure(backend, ref(variant(command)))
    assert said.startswith("container of image 'hud-test-shop-variant:")
    assert [part for part in says if part not in said] == [], said


@pytest.mark.parametrize("closed", [{"network": "none"}, {"network": "internal"}])
async def test_a_server_whose_port_leads_nowhere_is_said_so_at_once(backend, variant, docker, closed):
    network = docker.create_network(f"hud-test-{secrets.token_hex(4)}", internal=True)["Id"]
    try:
        options = {"network": network} if closed["network"] == "internal" else closed
        said = await failure(backend, ref(variant("CMD hud dev env:env --port 9000"), **options))
    finally:
        docker.remove_network(network)
    assert "serves MCP over HTTP, and its network publishes no port" in said
    assert ours(docker, backend) == []


@BOTH
async def test_a_server_that_never_answers_costs_its_ready_timeout_and_nothing_is_left(backend, variant, docker):
    said = await failure(backend, ref(variant('CMD ["sleep", "1000"]'), ready_timeout=1, stop_timeout=1))
    assert "no answer to the handshake within 1 s (ready_timeout)" in said
    assert ours(docker, backend) == []


async def test_a_container_that_runs_out_of_memory_is_said_to(backend, shop):
    with pytest.raises(BackendError, match=r"more memory than its limit of 100 MiB \(option memory\)"):
        async with backend.open(ref(shop, memory="100m")) as session:
            await session.call_tool("eat", mib=300)


async def test_a_container_that_is_removed_in_the_middle_is_a_backend_error(backend, shop, docker):
    async def use():
        async with backend.open(ref(shop)) as session:
            (container,) = ours(docker, backend)
            docker.remove_container(container["Id"], force=True, v=True)
            await session.call_tool("say", text="hi")

    with pytest.raises(BackendError, match=r"removed by somebody else|killed from outside"):
        await use()


async def test_an_image_that_is_nowhere_is_not_started_and_says_what_to_do(backend):
    assert "pull='never'; build it with `hud build`" in await failure(backend, ref("hud-test-nowhere:1", pull="never"))
    assert "cannot be fetched" in await failure(backend, ref("localhost:9/hud-test-nowhere:1"))


async def test_an_image_for_another_machine_is_said_to_be(backend, docker, tmp_path):
    other = "amd64" if docker.version()["Arch"] == "arm64" else "arm64"
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY . /app\nLABEL hud-test=image\nCMD ["/server"]')
    tag = f"hud-test-other:{other}"
    list(docker.build(path=str(tmp_path), tag=tag, platform=f"linux/{other}", rm=True))
    said = await failure(backend, ref(tag))
    assert f"platform (linux/{other}) does not match" in said


async def test_an_environment_of_this_process_is_no_image(backend):
    with pytest.raises(ConfigError, match=r"is code of this process.*`hud build`"):
        backend.open(Environment("here"))


async def test_a_rollout_whose_container_cannot_start_has_the_cause_backend(variant):
    task = Task(env=ref(variant('CMD ["false"]')), scenario="checkout", args={"product": "x"})
    job = await run(task, "nop", save=False, retries=None)
    (rollout,) = job.rollouts
    assert (rollout.cause, rollout.reward) == (Cause.BACKEND, None)
    assert "exited with code 1" in rollout.error


# --- what is left -----------------------------------------------------------------------------------------------------


async def test_anonymous_volumes_go_with_their_container(backend, variant, docker):
    before = {volume["Name"] for volume in docker.volumes()["Volumes"] or ()}
    assert await score(backend, ref(variant('VOLUME /data\nCMD ["hud", "dev", "env:env", "--stdio"]'))) == 1.0
    left = {volume["Name"]: volume for volume in docker.volumes()["Volumes"] or () if volume["Name"] not in before}
    assert [name for name, volume in left.items() if len(name) == 64 and not volume["Labels"]] == []


@BOTH
async def test_a_rollout_that_is_cancelled_while_its_container_starts_leaves_none(backend, shop, docker):
    for seconds in (0.02, 0.1, 0.3):
        with anyio.move_on_after(seconds):
            async with backend.open(ref(shop)):
                pass
    assert ours(docker, backend) == []
