"""Saving datasets: what is saved loads back the same, in one commit, and no secret goes along."""

from __future__ import annotations

import json
import sys
import traceback

import pytest
import yaml
from huggingface_hub import HfApi
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, tqdm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hud_core import EnvRef, Task
from hud_core.errors import ConfigError, TaskDataError
from hud_huggingface import HubError, LegacyTask, load_tasks, save_tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore:LegacyTask is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # huggingface_hub's own uploads
]

TOKEN = "hf_local_0123456789"
ROWS = [
    {
        "id": "one",
        "prompt": "Größe?",
        "mcp_config": {"local": {"url": "${URL:http://x}", "headers": {"Authorization": "Bearer ${HUD_API_KEY}"}}},
        "setup_tool": None,
        "evaluate_tool": {"name": "evaluate", "arguments": {"n": 1}},
        "metadata": {},
    },
    {
        "id": "two",
        "prompt": "[]",
        "mcp_config": {"local": {"command": "python", "args": ["-m", "$HOME/server"]}},
        "setup_tool": [{"name": "setup"}],
    },
]


@pytest.fixture(autouse=True)
def alice(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def card(hub, name):
    head, body = hub.files(name)["README.md"].decode().split("---\n")[1:]
    return yaml.safe_load(head), body


def test_what_is_saved_loads_back_the_same(hub):
    ref = save_tasks(tasks=ROWS, repo_id="my-tasks", private=False)
    assert ref == f"alice/my-tasks@{hub.repos['alice/my-tasks'].refs['main']}:train"
    assert load_tasks("alice/my-tasks", raw=True) == load_tasks(ref, raw=True) == ROWS
    assert [task.model_dump(exclude_unset=True) for task in load_tasks(ref)] == [
        task.model_dump(exclude_unset=True) for task in load_tasks(ROWS)
    ]


def test_new_tasks_are_saved_as_well():
    tasks = [
        Task(env=EnvRef("letters"), scenario="count", args={"n": n}, slug=f"t-{n}", columns={"a": 1.0}) for n in "ab"
    ]
    rows = [task.model_dump() for task in tasks]
    ref = save_tasks(rows, "alice/letters", split="test")
    assert load_tasks(ref, raw=True) == rows
    assert [task.model_dump() for task in load_tasks("alice/letters:test")] == rows


def test_objects_of_the_mission_page(monkeypatch):
    """Its example dumps loaded tasks: templates survive, although the objects give resolved values."""
    monkeypatch.setenv("HUD_API_KEY", "sk-planted-1234567890")
    tasks = load_tasks(ROWS)
    assert tasks[0].mcp_config["local"]["headers"]["Authorization"] == "Bearer sk-planted-1234567890"
    ref = save_tasks(tasks=[task.model_dump() for task in tasks], repo_id="my-tasks", private=False)
    assert load_tasks(ref) == tasks
    assert load_tasks(ref, raw=True)[0]["mcp_config"] == ROWS[0]["mcp_config"]


@pytest.mark.parametrize("make", [LegacyTask.model_validate, lambda row: Task(scenario="x")])
def test_objects_are_refused_with_the_reason(hub, make):
    with pytest.raises(
        TaskDataError, match=r"Pass dictionaries.* and an object has resolved them to actual values"
    ) as i:
        save_tasks([ROWS[0], *[make(ROWS[1])] * 50], "alice/tasks")
    (problem,) = i.value.problems
    assert problem.startswith("tasks[1] is a ")
    assert "object, and so are 49 more." in problem
    assert hub.repos == {}


def test_a_save_replaces_what_was_there_in_one_commit(hub):
    hub.put(
        "alice/tasks", {"README.md": "---\nlicense: mit\n---\n# Mine\n", "old_train.jsonl": "{}", "test.csv": "x\n1\n"}
    )
    hub.put(
        "alice/tasks",
        {"README.md": "---\nlicense: mit\ntags: [own]\n---\n# Mine\n", "train.jsonl": "{}", "test.jsonl": "{}"},
    )
    before = len(hub.repos["alice/tasks"].commits)
    save_tasks(ROWS, "alice/tasks", tags=["more"])
    save_tasks(ROWS[:1], "alice/tasks")
    assert len(hub.repos["alice/tasks"].commits) == before + 2
    assert load_tasks("alice/tasks", raw=True) == ROWS[:1]
    assert sorted(hub.files("alice/tasks")) == [
        ".gitattributes", "README.md", "data/train-00000-of-00001.parquet", "test.jsonl",
    ]  # fmt: skip
    head, body = card(hub, "alice/tasks")
    assert body == "# Mine\n"
    assert head["license"] == "mit"
    assert head["tags"] == ["own", "hud", "more"]
    assert {item["split"]: item["path"] for item in head["configs"][0]["data_files"]} == {
        "test": "test.jsonl",
        "train": "data/train-00000-of-00001.parquet",
    }


def test_a_card_of_another_encoding_is_named_and_nothing_is_saved(hub):
    hub.put("alice/tasks", {"README.md": "# Caf\u00e9\n".encode("latin-1"), "train.jsonl": "{}"})
    before = dict(hub.files("alice/tasks"))
    with pytest.raises(ConfigError, match=r"^alice/tasks/README.md is no UTF-8 .*; save it as UTF-8 on the Hub first$"):
        save_tasks(ROWS, "alice/tasks")
    assert hub.files("alice/tasks") == before


def test_a_new_dataset_has_a_card_and_is_private_when_asked(hub):
    save_tasks(ROWS, "alice/tasks", private=True, tags=["browser"], commit_message="First")
    head, body = card(hub, "alice/tasks")
    assert head["tags"] == ["hud", "browser"]
    assert head["size_categories"] == ["n<1K"]
    assert 'load_tasks("alice/tasks")' in body
    assert hub.repos["alice/tasks"].private
    assert list(hub.repos["alice/tasks"].commits.values())[-1].message == "First"


def test_fields_choose(hub):
    save_tasks(ROWS, "alice/tasks", fields=["id", "prompt", "mcp_config"])
    assert [set(row) for row in load_tasks("alice/tasks", raw=True)] == [{"id", "prompt", "mcp_config"}] * 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TEMPLATES = st.sampled_from(["${A}", "${A:b}", "$A", "pre ${A:-x} post", "$5", "${"]) | st.text(max_size=5)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.dictionaries(st.text(max_size=3), JSON | TEMPLATES, max_size=3), TEMPLATES), min_size=1, max_size=4
    )
)
def test_any_metadata_and_any_template_survive_the_hub(values):
    rows = [
        {
            "id": str(n),
            "prompt": text,
            "mcp_config": {"s": {"url": f"http://u{text}"}},
            **({"metadata": data} if n % 2 else {}),
        }
        for n, (data, text) in enumerate(values)
    ]
    ref = save_tasks(rows, "alice/random")
    assert json.dumps(load_tasks(ref, raw=True), sort_keys=True) == json.dumps(rows, sort_keys=True)
    assert load_tasks(ref) == load_tasks(rows)


# --- what must not be saved -------------------------------------------------------------------------------------------


def test_the_value_of_a_secret_variable_is_never_saved_nor_told(hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OTHER_TOKEN=planted-in-a-file\n")
    monkeypatch.setenv("SERVICE_API_KEY", "planted-1234567890")
    bad = {**ROWS[0], "mcp_config": {"a": {"url": "http://u", "headers": {"X": "Bearer planted-1234567890"}}}}
    worse = {**ROWS[1], "prompt": "log in with planted-in-a-file"}
    with pytest.raises(TaskDataError) as info:
        save_tasks([bad, worse], "alice/tasks")
    assert info.value.problems == (
        "it holds the value of SERVICE_API_KEY; write ${SERVICE_API_KEY} instead @ tasks[0].mcp_config.a.headers.X",
        "it holds the value of OTHER_TOKEN; write ${OTHER_TOKEN} instead @ tasks[1].prompt",
    )
    assert hub.repos == {}
    assert hub.seen == []


@pytest.mark.parametrize("written", [dict, json.dumps])
def test_credentials_that_stand_in_a_row_are_warned_of(written):
    row = {**ROWS[0], "mcp_config": written({"a": {"url": "http://u", "headers": {"Authorization": "Bearer abc"}}})}
    with pytest.warns(UserWarning, match=r"tasks\[0\]\.mcp_config\.a\.headers\.Authorization: credentials stand there"):
        save_tasks([row], "alice/tasks")


def test_every_mistake_is_named_and_nothing_is_saved(hub):
    deep = []
    for _ in range(5000):
        deep = [deep]
    rows = [
        {"id": "a", "prompt": "p", "mcp_config": {"s": {"url": "http://u"}}, "metadata": {"x": float("inf")}},
        {"prompt": "p"},
        {"slug": "s", "scenario": "x"},
        {"slug": "s", "scenario": "y"},
        {"scenario": "x", "metadata": deep},
    ]
    with pytest.raises(TaskDataError) as info:
        save_tasks(rows, "alice/tasks")
    problems = "\n".join(info.value.problems)
    for place in ("tasks[0].metadata.x", "tasks[1].mcp_config", "tasks[3].slug", "nested too deeply @ tasks[4]"):
        assert place in problems
    assert hub.seen == []
    with pytest.raises(ConfigError, match=r"fields must be a list of names, such as \['id'\]"):
        save_tasks(ROWS, "alice/tasks", fields="id")
    with pytest.raises(ConfigError, match="no tasks to save"):
        save_tasks([], "alice/tasks")
    with pytest.raises(TaskDataError, match="expected a list of dicts, got dict"):
        save_tasks(ROWS[0], "alice/tasks")


def test_a_public_dataset_does_not_become_private_by_saving(hub):
    hub.put("alice/tasks", {})
    with pytest.raises(ConfigError, match="is public already, so private=True hides nothing"):
        save_tasks(ROWS, "alice/tasks", private=True)
    assert list(hub.files("alice/tasks")) == [".gitattributes"]


def test_who_may_not_write_is_told(hub, monkeypatch):
    with pytest.raises(ConfigError, match=r"the server refuses .403 You don't have the rights"):
        save_tasks(ROWS, "bob/tasks")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ConfigError, match="the token is refused"):
        save_tasks(ROWS, "tasks")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="cannot be saved without a token: set HF_TOKEN"):
        save_tasks(ROWS, "tasks")


def test_a_change_by_somebody_else_is_not_overwritten(hub, monkeypatch):
    save_tasks(ROWS, "alice/tasks")
    real = HfApi.create_commit

    def late(self, *arguments, **options):
        hub.put("alice/tasks", {"other.jsonl": "{}"})
        return real(self, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", late)
    with pytest.raises(HubError, match="changed by somebody else meanwhile; save again"):
        save_tasks(ROWS[:1], "alice/tasks")
    assert "other.jsonl" in hub.files("alice/tasks")


def test_progress_is_shown_to_people_only(hub, monkeypatch, capsys):
    """Uploads to the real Hub draw bars of the client's own; the local one takes files in another way."""
    real = HfApi.create_commit

    def drawing(self, *arguments, **options):
        with tqdm(total=1, desc="Processing Files") as bar:
            bar.update()
        return real(self, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", drawing)
    save_tasks(ROWS, "alice/tasks")
    assert capsys.readouterr().err == ""
    assert not are_progress_bars_disabled()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    save_tasks(ROWS, "alice/tasks")
    assert "Processing Files" in capsys.readouterr().err


def test_a_commit_that_fails_leaves_what_was_there(hub):
    save_tasks(ROWS, "alice/tasks")
    hub.faults = [("/api/datasets/alice/tasks/commit", 500, {})]
    with pytest.raises(HubError, match="the server fails"):
        save_tasks(ROWS[:1], "alice/tasks")
    assert load_tasks("alice/tasks", raw=True) == ROWS


def test_an_upload_that_fails_is_told(hub):
    hub.faults = [("/lfs/", 403, {})]
    with pytest.raises(HubError, match=r"Error while uploading 'data/train-.*403") as info:
        save_tasks(ROWS, "alice/tasks")
    assert "planted-signature" not in "".join(traceback.format_exception(info.value))
    assert "README.md" not in hub.files("alice/tasks")
