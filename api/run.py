"""A finished run: measured, asked for recommendations, exported."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from ..core.errors import UsageError
from ..core.progress import note
from ..core.schema import SELECTION_METRIC
from ..core.settings import resolve
from ..core.workspace import WorkspaceFolders, read_run
from ..evaluation.settings import EvaluateSettings
from ..pipeline.runs.recommend_settings import ListSettings
from .frames import as_list, id_text, refuse_signs, stored
from .results import Result, html_table, measured_frame, spread

if TYPE_CHECKING:
    from ..core.dataset import LoadedDataset
    from ..pipeline.runs.asked_users import Ask, AskedUsers

GALLERY_FILE = "gallery.png"


class Run:
    """A trained model in its folder."""

    def __init__(self, folders: WorkspaceFolders, name: str) -> None:
        self.name = name
        self._folders = folders

    @property
    def folder(self) -> Path:
        """Where weights, log and record lie."""
        return self._folders.run(self.name)

    @property
    def record(self) -> dict[str, Any]:
        """What was trained on what, with all settings, the versions, and what training reported."""
        return read_run(self.folder)

    @property
    def log(self) -> pl.DataFrame:
        """The training log, a row a validation; empty for a model that is not trained."""
        path = self.folder / "log.jsonl"
        return pl.read_ndjson(path) if path.exists() and path.stat().st_size else pl.DataFrame()

    def evaluate(self, *, force: bool = False, **settings: Any) -> pl.DataFrame:
        """Rank every item for every user exactly and measure; as `tssr evaluate`.

        One row a history mask: the protocol in its columns (`split`, `queries`, `candidates`, `mask`,
        `window`, `ties`, …), then the metrics (shares in 0…1). Settings are the command's options:
        `topk`, `mask`, …
        """
        from ..pipeline.runs.evaluate import evaluate

        chosen = resolve(EvaluateSettings, spread(settings, EvaluateSettings))
        data = evaluate(self._folders, self.name, chosen, force=force).data
        about = {"run": self.name, "model": data["title"], "dataset": data["dataset"]}
        return measured_frame(data, about)

    def recommend(
        self,
        *,
        histories: Any = None,
        users: Sequence[Any] | None = None,
        user: str = "user_id",
        item: str = "item_id",
        time: str | None = None,
        **settings: Any,
    ) -> pl.DataFrame:
        """The best items for histories of anyone, or for users of the data set; without both, for all users.

        `histories` are lists of item ids, oldest item first, or a table with a row for each action (Polars,
        pandas, Arrow), whose columns `user`, `item` and `time` name; without `time` its rows are in order.
        One row a recommended item: user_id (of lists `history 1`, `history 2`, …), rank from 1, item_id,
        score, text. Settings are options of `tssr recommend`: `topk`, `mask`, `cold_items`, …. Items that the
        data set does not have are left out and named; raises DataError where nothing is left.
        """
        from ..pipeline.runs.asked_users import users_named, users_of
        from ..pipeline.runs.recommend import lists_of

        if histories is not None and users is not None:
            raise UsageError("recommend: give histories= or users=, not both")
        chosen = resolve(ListSettings, spread(settings, ListSettings))
        if hasattr(histories, "columns"):
            columns = {"user": user, "item": item} | ({} if time is None else {"time": time})
            ask = _users_of_table(histories, columns, strict=chosen.strict)
        elif histories is not None:
            items = [
                [id_text(item) for item in as_list(own, "histories=")]
                for own in as_list(histories, "histories=")
            ]
            names = [f"history {place}" for place in range(1, len(items) + 1)]
            ask = users_named(names, items, strict=chosen.strict)
        elif users is not None:
            ids = [id_text(user) for user in as_list(users, "users=")]
            if not ids:
                raise UsageError("recommend: users= names nobody; leave it out for all users")
            ask = users_of(ids)
        else:
            ask = users_of(None)
        lists = lists_of(self._folders, self.name, ask, chosen)
        for line in lists.notes:
            note(f"recommend: {line}")
        return pl.DataFrame(lists.table)

    def export(self, output: str | Path, *, cold_items: bool = False, cold_bonus: float = 0.0) -> Result:
        """Write files that rank without tssr, checked against its own lists; as `tssr export`."""
        from ..pipeline.export.settings import ExportSettings
        from ..pipeline.export.stage import export

        given = {"output": output, "run": self.name, "cold_items": cold_items, "cold_bonus": cold_bonus}
        return Result(export(self._folders, resolve(ExportSettings, given)))

    def __repr__(self) -> str:
        record = self.record
        return (
            f"Run({self.name!r}): {record['model']} on {record['dataset']}, "
            f"validation NDCG@10 {record['result'][SELECTION_METRIC]:.4f}"
        )

    def _repr_html_(self) -> str:
        result = self.record["result"]
        shown = (SELECTION_METRIC, "best_step", "steps", "stopped", "parameters", "seconds")
        rows = [(name, _short(result[name])) for name in shown if name in result]
        table = html_table(repr(self), ["", ""], rows, [str(self.folder)])
        picture = self.folder / GALLERY_FILE
        if not picture.exists():
            return table
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        return f'{table}<img src="data:image/png;base64,{data}" style="max-width: 100%">'


def _users_of_table(table: Any, columns: dict[str, str], *, strict: bool) -> Ask:
    """Ask for the users of a table of actions: it is read as the file of --history that it is written to."""
    from ..pipeline.runs.asked_users import given_users
    from ..pipeline.runs.recommend_settings import RecommendSettings

    refuse_signs(list(columns.values()))

    def ask(dataset: LoadedDataset) -> AskedUsers:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "histories.parquet"
            stored(table, "histories=", list(columns.values()), path, others=False)
            mapping = ",".join(f"{key}={column}" for key, column in columns.items())
            given = {"history": path, "map": mapping, "strict": strict}
            settings = resolve(RecommendSettings, given)
            return given_users(dataset.info, path, settings, "histories=")

    return ask


def _short(value: Any) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
