"""Tasks into datasets on the Hub: one commit that replaces what was there, and loads back the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError, TaskDataError
from hud_huggingface.card import updated_card
from hud_huggingface.columns import not_json
from hud_huggingface.files import Row
from hud_huggingface.hub import DATASET, explained, has_token, hub, upload_bars
from hud_huggingface.layout import DEFAULT, TRAIN, card_of, splits_of
from hud_huggingface.loading import Problems, RowReader, SlugComparison, slug_of
from hud_huggingface.parquet import write_rows
from hud_huggingface.secrets import find_secrets, literal_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.hf_api import DatasetInfo

_CARD = "README.md"
_OBJECT = (
    "{where} is a {kind} object{more}. Pass dictionaries, as task.model_dump() gives them: they keep variables such as "
    "${{VAR}} as templates, and an object has resolved them to actual values, which may be secrets"
)


def save_tasks(
    tasks: Iterable[Mapping[str, Any]],
    repo_id: str,
    fields: Sequence[str] | None = None,
    *,
    private: bool | None = None,
    split: str = TRAIN,
    revision: str | None = None,
    tags: Sequence[str] = (),
    commit_message: str = "",
) -> str:
    """Save tasks as a dataset on the Hub, in one commit. What the split held before is replaced.

    Args:
        tasks: Rows, as dicts; templates such as ``${VAR}`` stay what they are.
        repo_id: ``org/name``, or ``name`` for one of your own; it is made when it is not there.
        fields: The fields to keep; all of them by default.
        private: Whether a new dataset is private; by default as your account or organisation has it.
        split: The split to write; others stay.
        revision: The branch; ``main`` by default.
        tags: Tags for the dataset's card.
        commit_message: What the commit is called.

    Returns:
        A ref that loads exactly these rows again: ``org/name@commit:split``.

    Raises:
        TaskDataError: Something is no dict, no task or no JSON, or holds a secret; everything is named, nothing saved.
        ConfigError: The Hub does not let you, the dataset's card cannot be read, or the dataset is public and
            ``private=True`` was asked for.
        HubError: The Hub cannot be reached, or fails.
    """
    rows = _checked(tasks, fields)
    if not split or not split.replace("_", "").replace(".", "").isalnum():
        raise ConfigError(f"split {split!r} must be of letters, digits, '.' and '_'")
    with explained(repo_id, revision), upload_bars():
        if not has_token():
            raise ConfigError(
                f"{repo_id} cannot be saved without a token: set HF_TOKEN, or log in with `hf auth login`"
            )
        repo = hub().create_repo(repo_id, repo_type=DATASET, private=private, exist_ok=True).repo_id
        info = hub().dataset_info(repo, revision=revision)
        if private and info.private is False:
            raise ConfigError(f"{repo} is public already, so private=True hides nothing; make it private on its page")
        commit = hub().create_commit(
            repo,
            _operations(rows, repo, info, split, tags),
            commit_message=commit_message or f"Save {len(rows)} tasks",
            repo_type=DATASET,
            revision=revision,
            parent_commit=info.sha,
        )
    return f"{repo}@{commit.oid}:{split}"


def _operations(
    rows: Sequence[Mapping[str, Any]], repo: str, info: DatasetInfo, split: str, tags: Sequence[str]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Say what a commit on top of the state that was looked at must do."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    names = [file.rfilename for file in info.siblings or ()]
    text = _card_text(repo, names, info)
    splits = splits_of(names, card_of(text, repo), repo).get(DEFAULT, {})
    path = f"data/{split}-00000-of-00001.parquet"
    old = [CommitOperationDelete(name) for name in splits.get(split, ()) if name != path]
    others = {name: files for name, files in splits.items() if name != split}
    card = updated_card(text, repo, {**others, split: [path]}, len(rows), tags)
    with TemporaryDirectory(prefix="hud-rows-") as folder:
        file = Path(folder, "rows.parquet")
        write_rows(rows, file)
        data = file.read_bytes()
    return [*old, CommitOperationAdd(path, data), CommitOperationAdd(_CARD, card.encode())]


def _card_text(repo: str, names: Sequence[str], info: DatasetInfo) -> str:
    if _CARD not in names:
        return ""
    path = hub().hf_hub_download(repo, _CARD, repo_type=DATASET, revision=info.sha)
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:  # the Hub's library sends no such card
        raise ConfigError(f"{repo}/{_CARD} is no UTF-8 ({error}); save it as UTF-8 on the Hub first") from error


# --- what may be saved ------------------------------------------------------------------------------------------------


def _checked(tasks: Iterable[Mapping[str, Any]], fields: Sequence[str] | None) -> list[Mapping[str, Any]]:
    """Give the rows, when all of them can be saved and will load again."""
    if isinstance(tasks, str | bytes | Mapping):
        raise TaskDataError([f"expected a list of dicts, got {type(tasks).__name__} @ tasks"])
    if isinstance(fields, str):
        raise ConfigError(f"fields must be a list of names, such as [{fields!r}]")
    tasks = list(tasks)
    if objects := [number for number, task in enumerate(tasks) if not isinstance(task, Mapping)]:
        raise TaskDataError([_no_dict(tasks, objects)])
    rows: list[Mapping[str, Any]] = []
    problems, reader, slugs = Problems(), RowReader(), SlugComparison()
    for number, task in enumerate(tasks):
        with problems.kept():
            row = _row(task, fields, f"tasks[{number}]")
            found = Row(row, f"row {number}")
            if (slug := slug_of(reader.read(found, number))) is not None:
                slugs.add(slug, number, found)
            rows.append(row)
    problems.raise_any()
    if not rows:
        raise ConfigError("there are no tasks to save")
    _warn_of_credentials(rows)
    return rows


def _no_dict(tasks: Sequence[object], objects: Sequence[int]) -> str:
    where = f"tasks[{objects[0]}]"
    more = f", and so are {len(objects) - 1} more" if len(objects) > 1 else ""
    return f"{_OBJECT.format(where=where, kind=type(tasks[objects[0]]).__name__, more=more)} @ {where}"


def _row(task: Mapping[str, Any], fields: Sequence[str] | None, where: str) -> dict[str, Any]:
    row = {field: value for field, value in task.items() if fields is None or field in fields}
    try:
        problems = [*not_json(row, where)] or [*find_secrets(row, where)]
    except RecursionError:
        problems = [f"nested too deeply @ {where}"]
    if problems:
        raise TaskDataError(problems)
    return row


def _warn_of_credentials(rows: Sequence[Mapping[str, Any]]) -> None:
    places = [place for number, row in enumerate(rows) for place in literal_credentials(row, f"tasks[{number}]")]
    if places:
        more = f" and {len(places) - 1} more places" if len(places) > 1 else ""
        warnings.warn(
            f"{places[0]}{more}: credentials stand there as they are, and everybody who may read the dataset can read "
            "them; write ${VAR} for the value of a variable",
            UserWarning,
            stacklevel=4,
        )
