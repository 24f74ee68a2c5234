"""The workspace as an object: the folder with data sets, features and runs, and methods for every stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..core.dataset import describe_dataset
from ..core.errors import UsageError
from ..core.lock import exclusive
from ..core.settings import resolve
from ..core.workspace import WorkspaceFolders
from ..pipeline.preprocess.formats import FORMATS
from ..pipeline.preprocess.settings import PreprocessSettings
from .dataset import Dataset
from .frames import FRAMES_FOLDER, refuse_signs, stored
from .results import Result, as_tuple, html_table, spread
from .run import Run

CUSTOM = "custom"


class Workspace:
    """The folder that holds data sets, features and runs; nothing is created before a stage writes.

    Several processes may work in one: whoever writes a folder holds its lock, and others wait.
    """

    def __init__(self, folder: str | Path = "workspace") -> None:
        self.folder = Path(folder).expanduser()  # "~/shop", which a shell would expand
        self._folders = WorkspaceFolders(self.folder)

    def preprocess(
        self,
        source: str = CUSTOM,
        *,
        interactions: Any = None,
        items: Any = None,
        user: str = "user_id",
        item: str = "item_id",
        time: str | None = None,
        text: str | Sequence[str] = (),
        image: str | None = None,
        dataset: str | None = None,
        force: bool = False,
        **settings: Any,
    ) -> Dataset:
        """Make a data set of frames, of files, or of a dump that its owners publish; as `tssr preprocess`.

        `source` is the layout of a dump (`hm`, `yelp`, …), or `custom` for `interactions` and `items`:
        Polars, pandas or Arrow tables, or paths of files. `user`, `item`, `time` name columns of
        interactions; `item`, `text`, `image` those of items, texts joined in this order. `dataset` is the
        name of the result. Further settings are the command's options: `min_actions`, `repeats`, `raw`, …

        Raises UsageError for an unknown setting or column, DataError for rows that cannot be read or settings
        that leave nothing.
        """
        from ..pipeline.preprocess.stage import preprocess

        if source not in FORMATS:
            raise UsageError(f"preprocess {source}: there are {', '.join(FORMATS)}")
        name = dataset or source
        given = spread(settings, PreprocessSettings)
        if source == CUSTOM:
            # A frame without a header has numbers for names: 0 is a name as good as another.
            texts = [str(column) for column in as_tuple(text)]
            one_each = {"user": user, "item": item, "time": time, "image": image}
            columns = {key: str(column) for key, column in one_each.items() if column is not None}
            refuse_signs([*texts, *columns.values()])
            if "map" in given:
                raise UsageError("map=: name the columns by user=, item=, time=, text= and image=")
        elif interactions is not None or items is not None:
            raise UsageError(f"interactions and items belong to custom; {source} has a fixed layout")
        folder = self._folders.dataset(name)
        kept = self._folders.raw(name) / FRAMES_FOLDER
        in_memory = any(not isinstance(table, str | Path | None) for table in (interactions, items))
        # From writing the files of the frames until they are read, so that two notebooks that make a data set
        # of one name from different frames each read their own.
        with exclusive(kept) if in_memory else nullcontext():
            if source == CUSTOM:
                given |= self._custom(kept, interactions, items, columns, texts, given.get("raw"))
            chosen = resolve(PreprocessSettings, given, FORMATS[source].defaults)
            summary = preprocess(source, chosen, self._folders.raw(source), folder, force=force)
        return Dataset(self._folders, name, summary)

    def _custom(
        self,
        kept: Path,
        interactions: Any,
        items: Any,
        columns: dict[str, str],
        texts: list[str],
        pictures: Any,
    ) -> dict[str, Any]:
        """The settings that name a person's own files and columns; frames become files in the folder `kept`.

        `pictures` is the folder that the person named with raw=, or None.
        """
        if interactions is None:
            raise UsageError("custom needs interactions=, a table or the path of a file")
        named = columns | ({"text": "+".join(texts)} if texts else {})
        if items is None:
            for key in ("text", "image"):
                if key in named:
                    raise UsageError(f"{key}={named[key]!r} names a column of items; give items= as well")
        acted = [columns[key] for key in ("user", "item", "time") if key in columns]
        path = stored(interactions, "interactions", acted, kept / "interactions.parquet", others=False)
        given: dict[str, Any] = {
            "interactions": path,
            "map": ",".join(f"{key}={column}" for key, column in named.items()),
        }
        if items is not None:
            shown = [columns["item"], *texts, *([columns["image"]] if "image" in columns else [])]
            given["items"] = stored(items, "items", shown, kept / "items.parquet", others=True)
            if pictures is None and not isinstance(items, str | Path):
                given["raw"] = kept.parent  # a frame has no folder that its pictures could lie beside
        return given

    def dataset(self, name: str | None = None) -> Dataset:
        """The data set of this name, or the only one; raises UsageError that lists what there is."""
        folder = self._folders.choose_dataset(name)
        describe_dataset(folder)
        return Dataset(self._folders, folder.name)

    def run(self, name: str | None = None) -> Run:
        """The finished run of this name, or the newest one; raises UsageError that lists what there is."""
        return Run(self._folders, self._folders.choose_run(name).name)

    def blend(
        self,
        *runs: str | Run,
        name: str | None = None,
        device: str = "auto",
        force: bool = False,
        **settings: Any,
    ) -> Run:
        """Add up the scores of finished runs with weights chosen on validation; as `tssr blend`.

        Further settings are the command's options, `by_popularity` and `by_history`. Raises UsageError for
        runs that cannot be added: of several data sets, or blends themselves.
        """
        from ..model.settings import BlendSettings
        from ..pipeline.runs.blend import blend_runs

        names = _names(runs)
        chosen = resolve(BlendSettings, spread(settings, BlendSettings))
        summary = blend_runs(self._folders, names, chosen, name=name, device=device, force=force)
        return Run(self._folders, str(summary.data["run"]))

    def report(self, **settings: Any) -> Result:
        """Write one HTML file of data and runs; as `tssr report`.

        Settings are the command's options: `run` (runs, or their names), `output` (the file), `users`,
        `pictures`, …
        """
        from ..pipeline.report.settings import ReportSettings
        from ..pipeline.report.stage import write_report

        if "run" in settings:
            runs = [settings["run"]] if isinstance(settings["run"], Run) else as_tuple(settings["run"])
            settings["run"] = _names(runs)
        return Result(write_report(self._folders, resolve(ReportSettings, spread(settings, ReportSettings))))

    def reproduce(
        self, what: str, name: str | None = None, *, train: Mapping[str, Any] | None = None, **settings: Any
    ) -> Result:
        """A table or figure of the paper again, or one that others published; as `tssr reproduce`.

        `what` is table1 … figure6, or published with the `name` of an entry. Whatever is missing is trained,
        each run in a process of its own. Settings: `dataset`, `features`, `seeds`, `quick`, … `train`
        replaces settings of the paper, as in `{"learning_rate": 1e-3}`. Raises UsageError for an unknown
        table, figure, entry or setting.
        """
        from ..pipeline.reproduce.settings import ReproduceSettings
        from ..pipeline.reproduce.stage import reproduce
        from ..pipeline.runs.train_config import TrainConfig

        chosen = resolve(ReproduceSettings, spread(settings, ReproduceSettings))
        return Result(reproduce(self._folders, what, name, chosen, TrainConfig.of(train or {}, None)))

    def status(self) -> Result:
        """What the workspace holds, what no longer fits and why, and what to do next; as `tssr status`."""
        from ..pipeline.runs.housekeeping import workspace_status

        return Result(workspace_status(self._folders))

    def clean(self, *, yes: bool = False) -> Result:
        """What nothing refers to; with `yes` it is removed; as `tssr clean`."""
        from ..pipeline.runs.housekeeping import remove, unused_entries, unused_summary

        unused = unused_entries(self._folders)
        result = Result(unused_summary(self._folders, unused))
        if yes:
            remove(unused)
        return result

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets, in alphabetical order."""
        return self._folders.dataset_names()

    @property
    def runs(self) -> list[str]:
        """Names of the finished runs, the newest last."""
        return self._folders.run_names()

    def demo(self, *, force: bool = False, **settings: Any) -> Result:
        """The whole pipeline on a generated shop; as `tssr demo`, whose options are the settings."""
        from ..pipeline.demo.settings import DemoSettings
        from ..pipeline.demo.tour import run_demo

        return Result(
            run_demo(self._folders, resolve(DemoSettings, spread(settings, DemoSettings)), force=force)
        )

    def __repr__(self) -> str:
        return f"Workspace({str(self.folder)!r}): {len(self.datasets)} data sets, {len(self.runs)} runs"

    def _repr_html_(self) -> str:
        rows = [("data set", name) for name in self.datasets] + [("run", name) for name in self.runs[::-1]]
        return html_table(f"Workspace {self.folder}", ["", "name"], rows)


def _names(runs: Iterable[str | Run]) -> list[str]:
    """The names of runs, which may be given as objects."""
    return [run.name if isinstance(run, Run) else run for run in runs]
