from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess


@pytest.fixture
def read(tmp_path):
    """Preprocess a dump without filters; gives its actions, items and problems."""

    def run(format_name, raw=None, **settings):
        lenient = {"min_actions": 0, "keep_missing_content": True, "allow_loss": True}
        options = PreprocessSettings(**{**lenient, **settings})
        folder = tmp_path / "read"
        summary = preprocess(format_name, options, Path(raw or tmp_path / "raw"), folder, force=True)
        log = pl.read_parquet(folder / "interactions.parquet")
        items = pl.read_parquet(folder / "items.parquet")
        users = dict(pl.read_parquet(folder / "users.parquet").iter_rows())
        names = dict(items.select("item", "item_id").iter_rows())
        return SimpleNamespace(
            actions=[(users[user], names[item], time) for user, item, time, _ in log.iter_rows()],
            items={row["item_id"]: row for row in items.to_dicts()},
            problems=summary.data["problems"]["lines"],
            counts=summary.data["counts"],
        )

    return run


@pytest.fixture
def raw(tmp_path):
    """Write files of a dump: `raw({"a/b.csv": "text"})`."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "raw"

    return write
