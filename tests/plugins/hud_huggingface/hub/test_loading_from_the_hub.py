"""Datasets on the Hub: what a ref means, which files hold it, tokens, the cache, and what can go wrong."""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
import traceback
from pathlib import Path

import pyarrow as pa
import pytest
from huggingface_hub import constants
from pyarrow import parquet

from hud_core.errors import ConfigError, TaskDataError
from hud_huggingface import HubError, iter_tasks, load_tasks
from hud_huggingface.refs import HubRef, hub_ref, secret_in

pytestmark = pytest.mark.filterwarnings("ignore:LegacyTask is deprecated:DeprecationWarning")

TOKEN = "hf_local_0123456789"


def row(name, **more):
    servers = {"local": {"url": "${URL:http://127.0.0.1:1/mcp}", "headers": {"Authorization": "Bearer ${KEY}"}}}
    return {"id": name, "prompt": f"Do {name}", "mcp_config": servers, **more}


def jsonl(*names):
    return "".join(json.dumps(row(name)) + "\n" for name in names)


def table(*names):
    """A Parquet file as `datasets` pushes it: structured fields as JSON text."""
    rows = [{**row(name), "mcp_config": json.dumps(row(name)["mcp_config"]), "setup_tool": ""} for name in names]
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def ids(ref, **options):
    return [task.id for task in load_tasks(ref, **options)]


CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: "data/train-*"}
  - {split: test, path: [data/test-00000-of-00001.parquet]}
- config_name: hard
  data_dir: hard
---
# Tasks
"""


# --- which rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "suffix", "expected"),
    [
        ({"tasks.jsonl": jsonl("a", "b")}, "", ["a", "b"]),
        ({"tasks.json": json.dumps([row("a")]), "config.json": "{}"}, "", ["a"]),
        ({"tasks.csv": 'id,prompt,mcp_config\na,p,"{""x"": {""url"": ""http://u""}}"\n'}, "", ["a"]),
        ({"data/train-00000-of-00002.parquet": table("a"), "data/train-00001-of-00002.parquet": table("b")},
          "", ["a", "b"]),
        ({"data/easy-00000-of-00001.parquet": table("a")}, ":easy", ["a"]),
        ({"data/easy-00000-of-00001.parquet": table("a")}, "", ["a"]),
        ({"train.jsonl": jsonl("a"), "test.jsonl": jsonl("b")}, "", ["a"]),
        ({"train.jsonl": jsonl("a"), "test.jsonl": jsonl("b")}, ":test", ["b"]),
        ({"train.jsonl": jsonl("a"), "eval/part.jsonl": jsonl("b")}, ":test", ["b"]),
        ({"valid/one.jsonl": jsonl("a"), "valid/two.jsonl": jsonl("b")}, ":validation", ["a", "b"]),
        ({"tasks.jsonl": jsonl("a"), ".hidden/more.jsonl": jsonl("b"), "notes.txt": "x"}, "", ["a"]),
        ({"README.md": "---\nconfigs: {}\n---\n", "tasks.jsonl": jsonl("a")}, "", ["a"]),
        ({"README.md": CARD, "data/train-1.parquet": table("a"), "data/test-00000-of-00001.parquet": table("b"),
          "hard/train.jsonl": jsonl("c"), "hard/test.jsonl": jsonl("d")}, ":test", ["b"]),
        ({"README.md": CARD, "data/train-1.parquet": table("a"), "data/test-00000-of-00001.parquet": table("b"),
          "hard/train.jsonl": jsonl("c"), "hard/test.jsonl": jsonl("d")}, ":hard/test", ["d"]),
        ({"README.md": "---\nconfigs: [{data_files: {test: b.jsonl, train: [a.jsonl]}}]\n---\n",
          "a.jsonl": jsonl("a"), "b.jsonl": jsonl("b")}, ":test", ["b"]),
        ({"README.md": "---\nconfigs:\n- config_name: only\n  data_files: 'x[1]*.jsonl'\n---\n",
          "x1.jsonl": jsonl("a"), "x2.jsonl": jsonl("b")}, "", ["a"]),
    ],
)  # fmt: skip
def test_the_card_or_the_names_say_which_files(hub, files, suffix, expected):
    hub.put("org/tasks", files)
    assert ids(f"org/tasks{suffix}") == expected


def test_revisions(hub):
    first = hub.put("org/tasks", {"tasks.jsonl": jsonl("old")})
    hub.put("org/tasks", {"tasks.jsonl": jsonl("new")})
    hub.put("org/tasks", {"tasks.jsonl": jsonl("other")}, "refs/pr/1")
    assert ids("org/tasks") == ["new"]
    assert ids(f"org/tasks@{first}") == ["old"]
    assert ids("org/tasks", revision="refs/pr/1") == ["other"]
    assert ids("org/tasks@refs/pr/1:train") == ["other"]
    assert ids("hf://datasets/org/tasks@refs/pr/1") == ["other"]


def test_a_dataset_in_another_form_is_read_as_the_hub_converted_it(hub):
    hub.put("org/tasks", {"tasks.arrow": b"?"})
    hub.put(
        "org/tasks",
        {"default/train/0000.parquet": table("a"), "default/test/0000.parquet": table("b")},
        "refs/convert/parquet",
    )
    assert ids("org/tasks:test") == ["b"]


def test_nothing_is_downloaded_twice_or_beside_the_split(hub):
    hub.put("org/tasks", {"train.jsonl": jsonl("a"), "test.jsonl": jsonl("b"), "big.bin": b"x"})
    assert ids("org/tasks:test") == ids("org/tasks:test") == ["b"]
    assert [path for path in hub.seen if "GET" in path and "/resolve/" in path] == [
        path for path in hub.seen if path.endswith((".gitattributes", "test.jsonl")) and path.startswith("GET")
    ]
    assert len([path for path in hub.seen if path.startswith("GET") and path.endswith("test.jsonl")]) == 1


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("org/name", HubRef("org/name")),
        ("org/name:test", HubRef("org/name", split="test")),
        ("org/name@v1:hard/test", HubRef("org/name", "v1", "hard", "test")),
        ("org/name@refs/pr/1", HubRef("org/name", "refs/pr/1")),
        ("hf://datasets/org/tasks.json@v1", HubRef("org/tasks.json", "v1")),
        ("https://huggingface.co/datasets/org/name", HubRef("org/name")),
        ("https://huggingface.co/datasets/org/name/tree/v1", HubRef("org/name", "v1")),
        ("org/tasks.json", None),
        ("./org/name", None),
        ("org/name/", None),
        ("a/b/c", None),
        ("name", None),
        ("org/name:train[:10]", None),
        ("https://example.org/a.jsonl", None),
        ("", None),
    ],
)
def test_refs(text, ref):
    assert hub_ref(text) == ref
    if ref is not None:
        assert hub_ref(f"hf://datasets/{ref}") == ref


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_ref("org/name") is None
    assert hub_ref("org/name:test") is None
    assert hub_ref("org/name@main") == HubRef("org/name", "main")
    assert hub_ref("hf://datasets/org/name") == HubRef("org/name")


# --- other addresses --------------------------------------------------------------------------------------------------


def test_an_address_is_read(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.pages["a/tasks.jsonl"] = jsonl("a", "b").encode()
    assert ids(f"{hub.url}/files/a/tasks.jsonl?signature=x") == ["a", "b"]
    assert hub.tokens == set()  # the Hub's token is the Hub's


def test_addresses_that_give_no_rows(hub):
    with pytest.raises(ConfigError, match=r"/files/a/tasks\.jsonl: the server refuses \(404"):
        load_tasks(f"{hub.url}/files/a/tasks.jsonl")
    with pytest.raises(ConfigError, match="does not end as a file of rows does"):
        load_tasks(f"{hub.url}/files/a/tasks")
    hub.faults = [("/files/", 503, {})]
    with pytest.raises(HubError, match="503"):
        load_tasks(f"{hub.url}/files/a/tasks.jsonl")


@pytest.mark.parametrize(
    "ref",
    [
        "{url}/files/gone.jsonl?sig={secret}",
        "{url}/files/gone?sig={secret}",
        "{url}/files/empty.jsonl?sig={secret}",
        "{url}/files/bad.jsonl?sig={secret}",
        "{login}/files/gone.jsonl",
        "{url}/files/gone.jsonl?${{SIG}}",
    ],
)
@pytest.mark.parametrize("options", [{}, {"split": "test"}, {"revision": "v1"}])
def test_what_may_be_secret_in_an_address_is_never_told(hub, monkeypatch, capfd, ref, options):
    secret = secrets.token_hex()  # a traceback shows the lines of this test
    monkeypatch.setenv("SIG", f"sig={secret}")
    hub.pages.update({"empty.jsonl": b"", "bad.jsonl": b'{"prompt": 5}'})
    login = hub.url.replace("//", f"//user:{secret}@")
    with pytest.raises((ConfigError, TaskDataError)) as info:
        load_tasks(ref.format(url=hub.url, login=login, secret=secret), **options)
    assert "/files/" in str(info.value)
    assert secret not in "".join(traceback.format_exception(info.value)) + capfd.readouterr().err


def test_variables_of_an_address_are_replaced(hub, monkeypatch):
    hub.pages["tasks.jsonl"] = jsonl("a").encode()
    ref = f"{hub.url}/files/${{NAME}}.jsonl?sig=${{SIG:none}}"
    with pytest.raises(ConfigError, match=r"/files/\$\{NAME\}\.jsonl needs the environment variable NAME"):
        load_tasks(ref)
    monkeypatch.setenv("NAME", "tasks")
    assert ids(ref) == ["a"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", None),
        ("download=true&v=2", None),
        ("X-Amz-Date=1&X-Amz-Signature=abc", "X-Amz-Signature"),
        ("token=abc", "token"),
        ("sig=${SIG}", None),
        ("${QUERY}", None),
    ],
)
def test_secret_in(query, named):
    assert secret_in(f"https://host/a.jsonl?{query}") == named
    assert secret_in(f"https://${{USER}}:${{PASSWORD}}@host/a.jsonl?{query}") == named
    assert secret_in(f"https://user:pw@host/a.jsonl?{query}") == "user and password"


# --- who may read -----------------------------------------------------------------------------------------------------


def test_a_private_dataset_needs_its_owners_token(hub, monkeypatch):
    hub.put("alice/secret", {"tasks.jsonl": jsonl("a")}, private=True)
    with pytest.raises(ConfigError, match="no dataset 'alice/secret' on the Hub, or it is private: set HF_TOKEN"):
        load_tasks("alice/secret")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ConfigError, match=r"the token is refused \(Invalid credentials") as info:
        load_tasks("alice/secret")
    assert "hf_wrong" not in "".join(traceback.format_exception(info.value))
    monkeypatch.setenv("HF_TOKEN", "hf_other_0123456789")
    with pytest.raises(ConfigError, match="your token may not see it"):
        load_tasks("alice/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert ids("alice/secret") == ["a"]


def test_a_stored_token_counts(hub, environment):
    hub.put("alice/secret", {"tasks.jsonl": jsonl("a")}, private=True)
    Path(environment["HF_HOME"], "token").write_text(TOKEN)
    assert ids("alice/secret") == ["a"]


def test_a_gated_dataset_names_the_page_where_to_ask(hub):
    hub.put("org/gated", {"tasks.jsonl": jsonl("a")}, gated=True)
    with pytest.raises(ConfigError, match=r"org/gated is gated: ask for access at http.*/datasets/org/gated"):
        load_tasks("org/gated")


# --- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "ref", "says"),
    [
        ({"tasks.jsonl": jsonl("a")}, "org/other", "no dataset 'org/other' on the Hub"),
        ({"tasks.jsonl": jsonl("a")}, "org/tasks@v9", "org/tasks has no revision 'v9'"),
        ({"tasks.jsonl": jsonl("a")}, "org/tasks:tests", "split 'tests' is not there; there are train"),
        ({"tasks.jsonl": jsonl("a")}, "org/tasks:hard/train", "config 'hard' is not there; there are default"),
        ({"a_test.jsonl": jsonl("a"), "a_val.jsonl": jsonl("b")}, "org/tasks", "name one, as org/tasks:validation"),
        ({"README.md": CARD}, "org/tasks", "its card names the data files 'data/train-*', and there are none"),
        ({"README.md": "---\na: [\n---\n"}, "org/tasks", "the head of org/tasks/README.md is no valid YAML"),
        ({"README.md": "---\nconfigs: [1]\n---\n"}, "org/tasks", "its card must give each of its configs as an object"),
        ({"README.md": "---\nconfigs: [{data_files: 5}]\n---\n"}, "org/tasks", "its card names data files as 5"),
        ({"data/train-00000-of-00003.parquet": table("a")}, "org/tasks", "2 of the 3 files data/train-"),
        (
            {"tasks.py": "raise SystemExit", "x.zip": b""},
            "org/tasks",
            "is made by a script (tasks.py), which is not run",
        ),
        ({"notes.txt": "hi"}, "org/tasks", "org/tasks has no files of rows (.json, .jsonl"),
        ({"tasks.jsonl": ""}, "org/tasks", "there are no rows in org/tasks"),
    ],
)
def test_what_is_missing_is_named_with_what_there_is(hub, files, ref, says):
    hub.put("org/tasks", files)
    with pytest.raises(ConfigError) as info:
        load_tasks(ref)
    assert says in str(info.value)


def test_mistakes_are_named_with_the_dataset_and_the_file(hub):
    hub.put("org/tasks", {"tasks.jsonl": jsonl("a") + '{"prompt": 5}\nnope\n'})
    with pytest.raises(TaskDataError) as info:
        load_tasks("org/tasks")
    assert all("org/tasks: tasks.jsonl:" in problem for problem in info.value.problems)
    assert any("tasks[1].mcp_config" in problem for problem in info.value.problems)
    assert any("not JSON" in problem and "tasks[2]" in problem for problem in info.value.problems)


def test_a_damaged_download_is_told(hub):
    hub.put("org/tasks", {"tasks.parquet": table("a")[:-50]})
    with pytest.raises(TaskDataError, match="no Parquet file, or one that is damaged or cut off"):
        list(iter_tasks("org/tasks"))


# --- without a connection ---------------------------------------------------------------------------------------------


def test_the_cache_is_enough_where_the_hub_is_not_to_be_asked(hub, monkeypatch):
    hub.put("org/tasks", {"train.jsonl": jsonl("a"), "test.jsonl": jsonl("b")})
    load_tasks("org/tasks")
    hub.seen.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ids("org/tasks") == ["a"]
    for ref in ("org/tasks:test", "org/never"):
        with pytest.raises(ConfigError, match=r"HF_HUB_OFFLINE is set, and org/\w+ is not whole in the cache"):
            load_tasks(ref)
    assert hub.seen == []


def test_a_hub_that_is_away(hub, monkeypatch):
    hub.put("org/tasks", {"tasks.jsonl": jsonl("a")})
    load_tasks("org/tasks")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert ids("org/tasks") == ["a"]
    with pytest.raises(HubError, match="org/other cannot be read: the server cannot be reached"):
        load_tasks("org/other")


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (429, {"Retry-After": "7"}, r"wants no more requests \(429\) for 7 s"),
        (500, {}, "the server cannot be reached|500"),
    ],
)
def test_a_hub_that_is_too_busy_or_fails(hub, status, headers, says):
    hub.put("org/tasks", {"tasks.jsonl": jsonl("a")})
    hub.faults = [("/api/", status, headers)] * 9
    with pytest.raises(HubError, match=says):
        load_tasks("org/tasks")


def test_a_download_that_is_cut_off_is_told_and_can_be_done_again(hub):
    hub.put("org/tasks", {"tasks.parquet": table("a")})
    hub.missing_bytes = 5
    with pytest.raises(HubError, match="org/tasks: the download failed: Consistency check failed") as info:
        load_tasks("org/tasks")
    assert "planted-signature" not in "".join(traceback.format_exception(info.value))
    hub.missing_bytes = 0
    assert ids("org/tasks") == ["a"]


def test_a_server_that_is_no_hub_is_told(hub):
    hub.put("org/tasks", {"tasks.jsonl": jsonl("a")})
    hub.faults = [("/api/", 200, {})]
    with pytest.raises(HubError, match="is not of a Hub; look at HF_ENDPOINT"):
        load_tasks("org/tasks")


def test_environment_variables_of_the_hub_are_honoured_by_a_new_process(hub, environment):
    hub.put("alice/secret", {"tasks.jsonl": jsonl("a")}, private=True)
    code = "from hud.datasets import load_tasks; print([t.id for t in load_tasks('alice/secret')])"
    for more in ({"HF_TOKEN": TOKEN}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, **environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("['a']\n", "")
