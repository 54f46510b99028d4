from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import ConfigError
from hud_core.model.task import EnvRef
from hud_docker.config import engine_config
from hud_docker.docker_args import parse_docker_args
from hud_docker.images import described
from hud_docker.options import CAPABILITIES, ContainerOptions, read_options
from hud_docker.variables import Redactor, variables


def read(**options):
    return read_options(EnvRef("shop", "docker", {"image": "shop:1", **options}))


def config(**options):
    return engine_config(read(**options), image="sha256:1", env={}, labels={})


# --- what is safe -----------------------------------------------------------------------------------------------------


def test_containers_have_few_rights_and_limits_unless_told_otherwise():
    host = config()["HostConfig"]
    assert (host["CapDrop"], set(host["CapAdd"])) == (["ALL"], set(CAPABILITIES))
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (4 << 30, 4 << 30, 1024)
    assert host["Init"] is True
    assert host["LogConfig"]["Type"] == "none"
    assert not {"Privileged", "PidMode", "IpcMode"} & host.keys()


def test_rights_and_limits_are_what_they_are_told_to_be():
    host = config(
        cap_add=["net_raw"], cap_drop=["CAP_CHOWN"], new_privileges=True, memory="512m", pids="unlimited", cpus=1.5,
        gpus=["0", "2"], devices=["/dev/kvm"], shm_size="1g", read_only=True, tmpfs=["/work:size=8m"],
        mounts=["/data:/data:ro", "cache:/cache"], ports=["8080:80", 9], hosts={"db": "10.0.0.1"}, network="none",
    )["HostConfig"]  # fmt: skip
    assert "NET_RAW" in host["CapAdd"]
    assert "CHOWN" not in host["CapAdd"]
    assert host["SecurityOpt"] == []
    assert (host["Memory"], host["NanoCpus"], host["ShmSize"]) == (512 << 20, 1_500_000_000, 1 << 30)
    assert "PidsLimit" not in host
    assert host["DeviceRequests"] == [{"Driver": "", "Capabilities": [["gpu"]], "DeviceIDs": ["0", "2"]}]
    assert host["Devices"][0]["PathOnHost"] == "/dev/kvm"
    assert host["Tmpfs"] == {"/tmp": "", "/run": "", "/work": "size=8m"}
    assert [(mount["Type"], mount["ReadOnly"]) for mount in host["Mounts"]] == [("bind", True), ("volume", False)]
    assert host["PortBindings"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "8080"}]
    assert host["PortBindings"]["9/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": ""}]
    assert host["ExtraHosts"] == ["db:10.0.0.1"]
    assert host["NetworkMode"] == "none"


def test_all_capabilities_can_be_dropped():
    host = config(cap_drop=["ALL"], cap_add=["KILL"])["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["KILL"])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": None}, "image is needed"),
        ({"image": "a b"}, "image must be the name of an image"),
        ({"memmory": "1g"}, r"unknown option 'memmory'.*memory"),
        ({"memory": "lots"}, "memory must be a number of bytes, as '512m' or '4g', or 'unlimited', got 'lots'"),
        ({"memory": "1m"}, "memory must be at least '6m'"),
        ({"pids": True}, "pids must be a whole number"),
        ({"cpus": 0}, "cpus must be a number above 0"),
        ({"cpus": float("nan")}, "cpus must be a number above 0"),
        ({"env": {"A": 1}}, "env must map names to text, and 'A' is of type int"),
        ({"env": ["A=b"]}, "env must map names to text$"),
        ({"mounts": ["data:/data", "./x:/x"]}, "mounts need an absolute path"),
        ({"mounts": "/a:/b"}, "mounts must be a list of text"),
        ({"mounts": ["/a"]}, "mounts must be 'source:/target'"),
        ({"mounts": ["/a:/b:rx"]}, "mounts end in ':ro' or ':rw'"),
        ({"ports": ["80:90000"]}, "ports must be as"),
        ({"gpus": "some"}, "gpus must be 'all', a number"),
        ({"pull": "sometimes"}, "pull must be 'missing', 'never' or 'always'"),
        ({"port": 0}, "port must be a whole number from 1 to 65535"),
        ({"port": 80, "transport": "stdio"}, "port is for HTTP"),
        ({"network": "host"}, "network must not be the machine's own"),
        ({"network": "x", "egress": ["a.test"]}, "egress makes a network of its own"),
        ({"egress": ["a.test"], "port": 80}, "transport must be 'stdio'"),
        ({"read_only": "yes"}, "read_only must be true or false"),
        ({"ready_timeout": -1}, "ready_timeout must be a number of seconds above 0"),
        ({"command": "a 'b"}, "command cannot be split into words"),
        ({"cap_add": ["a b"]}, "cap_add must be a list of capabilities"),
        ({"pool": -1}, "pool must be a whole number"),
        ({"workdir": "app"}, "workdir must be a path that begins with '/'"),
        ({"docker_args": ["--privileged"]}, r"docker_args have --privileged, which is not offered: .*cap_add"),
        ({"docker_args": ["--name", "x"]}, "each rollout has a container of its own"),
        ({"docker_args": ["--memmory=1g"]}, r"have --memmory, which is not known.*--memory"),
        ({"docker_args": ["-e"]}, "docker_args end in --env, which needs a value"),
        ({"docker_args": ["serve"]}, r"'serve' is none; the image's own command is command="),
        ({"docker_args": ["-it"]}, "MCP needs plain streams"),
        ({"docker_args": ["--security-opt", "seccomp=unconfined"]}, "seccomp, which is not offered"),
        ({"docker_args": ["--env-file", "/no/such"]}, "no such file"),
        ({"docker_args": "-e A=b"}, "docker_args must be a list of text$"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(options, says):
    with pytest.raises(ConfigError, match=f"environment 'shop' .*{says}"):
        read(**options)


def test_no_message_shows_the_value_of_a_variable():
    for wrong in ({"env": {"TOKEN": 12345678}}, {"env": "TOKEN=12345678"}, {"docker_args": "-e TOKEN=12345678"}):
        with pytest.raises(ConfigError) as caught:
            read(**wrong)
        assert "12345678" not in str(caught.value)
    assert "12345678" not in repr(read(env={"TOKEN": "12345678"}))


# --- arguments of docker run ------------------------------------------------------------------------------------------


def test_arguments_of_docker_run_mean_what_they_mean_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HERE", "of this process")
    file = tmp_path / "some.env"
    file.write_text("# c\nF=1\nA=file\n")
    written = (
        f"--rm -i --env-file {file} -e A=b=c --env=D=e -eG=h -e HERE -e NOT_SET -v /x:/y -v=/z:/w:ro --gpus all "
        "-p 8080:80 --memory=1g --cpus 2 --pids-limit -1 --shm-size 256m --network none --read-only -u 1000:1000 "
        "--mount type=bind,src=/m,dst=/n,readonly --mount type=tmpfs,target=/t --tmpfs /u:size=1m "
        "--add-host db:10.0.0.1 "
        "-w /app --entrypoint /bin/sh --platform linux/amd64 --pull=never --cap-add SYS_PTRACE --label a=b "
        "--security-opt no-new-privileges:false --device /dev/kvm --init=false"
    )
    options = read(docker_args=shlex.split(written))
    assert options == ContainerOptions(
        image="shop:1",
        env={"F": "1", "A": "b=c", "D": "e", "G": "h", "HERE": "of this process"},
        mounts=("/x:/y", "/z:/w:ro", "/m:/n:ro"),
        tmpfs=("/t", "/u:size=1m"),
        gpus="all",
        ports=("8080:80",),
        memory=1 << 30,
        cpus=2.0,
        pids=None,
        shm_size=256 << 20,
        network="none",
        read_only=True,
        user="1000:1000",
        hosts={"db": "10.0.0.1"},
        workdir="/app",
        entrypoint=("/bin/sh",),
        platform="linux/amd64",
        pull="never",
        cap_add=("SYS_PTRACE",),
        labels={"a": "b"},
        new_privileges=True,
        devices=("/dev/kvm",),
        init=False,
    )


def test_options_count_more_than_arguments_and_env_vars_most():
    options = read(
        docker_args=["-e", "A=1", "-e", "B=1", "-m", "1g", "-v", "/a:/a"],
        memory="2g", env={"B": "2", "C": "2"}, env_vars={"C": "3"}, mounts=["/b:/b"],
    )  # fmt: skip
    assert (options.env, options.memory) == ({"A": "1", "B": "2", "C": "3"}, 2 << 30)
    assert options.mounts == ("/a:/a", "/b:/b")


@given(
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]*", fullmatch=True), st.text(st.characters(exclude_characters="\0")))
)
def test_variables_come_through_however_they_are_written(env):
    for flags in (["-e", "{}"], ["--env={}"], ["-e{}"]):
        args = [flag.replace("{}", f"{name}={value}") for name, value in env.items() for flag in flags]
        assert parse_docker_args(args).get("env", {}) == env


# --- variables --------------------------------------------------------------------------------------------------------


def test_the_environments_env_file_counts_less_than_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    options = read(env={"B": "said"}, env_file=True)
    assert variables(options) == {"B": "said"}  # nothing says that this is an environment's folder
    (tmp_path / "Dockerfile").touch()
    assert variables(options) == {"A": "file", "B": "said"}
    (tmp_path / "hud.lock.yaml").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert variables(options) == {"A": "file", "B": "said"}
    assert variables(read(env={"B": "said"})) == {"B": "said"}
    assert variables(read(env_file=str(tmp_path / ".env"))) == {"A": "file", "B": "file"}
    with pytest.raises(ConfigError, match="no such file"):
        variables(read(env_file="other.env"))


def test_templates_are_replaced_when_a_container_is_made_and_not_before(monkeypatch):
    options = read(env={"TOKEN": "Bearer ${MY_SECRET}", "MODE": "${MY_MODE:fast}", "TEXT": "$5 {x}"})
    assert options.env["TOKEN"] == "Bearer ${MY_SECRET}"
    with pytest.raises(ConfigError, match="the container's variable TOKEN needs the environment variable MY_SECRET"):
        variables(options)
    monkeypatch.setenv("MY_SECRET", "hunter2")
    assert variables(options) == {"TOKEN": "Bearer hunter2", "MODE": "fast", "TEXT": "$5 {x}"}


def test_secret_values_are_hidden_in_what_a_container_writes():
    clean = Redactor({"PGPASSWORD": "hunter2", "LONG": "x" * 20, "MODE": "fast", "OTHER_KEY": "hunter2-longer"})
    assert clean("hunter2-longer or hunter2, fast, " + "x" * 20) == "*** or ***, fast, ***"
    key = Redactor({"SIGNING_KEY": "-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----\n"})
    assert key("it has MIIEvQIBADAN") == "it has ***", "a key of several lines is written line by line"


# --- what images say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "options", "arguments", "port"),
    [
        ({"Cmd": ["hud", "dev", "env:env", "--stdio"]}, {}, ("hud", "dev", "env:env", "--stdio"), None),
        ({"Cmd": ["python", "server.py"]}, {}, ("python", "server.py"), None),
        ({"Cmd": ["hud", "dev", "env:env", "--port", "80"]}, {}, ("hud", "dev", "env:env", "--stdio"), None),
        ({"Cmd": ["uv", "run", "hud", "dev", "env:env"]}, {}, ("uv", "run", "hud", "dev", "env:env", "--stdio"), None),
        ({"Entrypoint": ["/bin/hud"], "Cmd": ["dev", "env"]}, {}, ("dev", "env", "--stdio"), None),
        ({"Cmd": ["sh", "-c", "db & hud dev env:env -p 90"]}, {}, ("sh", "-c", "db & hud dev env:env -p 90"), 90),
        ({"Cmd": ["sh", "-c", "exec hud dev env"]}, {}, ("sh", "-c", "exec hud dev env"), 8765),
        ({"Cmd": ["sh", "-c", "hud dev env"], "ExposedPorts": {"70/tcp": {}}}, {}, ("sh", "-c", "hud dev env"), 70),
        ({"Cmd": ["sh", "-c", "hud dev env --stdio"]}, {}, ("sh", "-c", "hud dev env --stdio"), None),
        ({"Cmd": ["sh", "-c", "hud dev env --stdio; sync"]}, {}, ("sh", "-c", "hud dev env --stdio; sync"), None),
        ({"Cmd": ["x"], "Labels": {"org.hud.transport": "http", "org.hud.port": "5"}}, {}, ("x",), 5),
        ({"Cmd": ["hud", "dev", "env"], "Labels": {"org.hud.transport": "http"}}, {}, ("hud", "dev", "env"), 8765),
        ({"Cmd": ["hud", "dev", "env"]}, {"port": 7}, ("hud", "dev", "env"), 7),
        ({"Cmd": ["sh", "-c", "hud dev env"]}, {"transport": "stdio"}, ("sh", "-c", "hud dev env"), None),
        ({"Cmd": ["x"]}, {"command": "hud dev other"}, ("hud", "dev", "other", "--stdio"), None),
        ({"Entrypoint": ["a"], "Cmd": ["x"]}, {"entrypoint": ["b"]}, (), None),
        ({}, {}, (), None),
    ],
)
def test_an_image_says_how_its_server_is_spoken_to(image, options, arguments, port):
    found = described({"Id": "sha256:1", "Config": image}, read(**options))
    assert (found.arguments, found.port) == (arguments, port)
