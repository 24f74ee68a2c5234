"""`tssr preprocess`: from a raw dump to canonical tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from ...core.artifacts import atomic_folder, write_json
from ...core.errors import DataError, UsageError
from ...core.progress import progress
from ...core.schema import IMAGE, INTERACTIONS_FILE, ITEM_ID, MANIFEST_FILE
from ...core.summary import Summary
from ..raw.custom import Custom, atomic_map, parse_map
from ..raw.dump import Actions, Catalogue, Dump
from ..raw.problems import Problems
from .engines import open_engine
from .formats import FORMATS, open_dump
from .manifest import (
    VERSION,
    actions_fingerprint,
    funnel_rows,
    input_records,
    names_in,
    paper_row,
    still_valid,
    table_records,
    table_row,
)
from .meeting_ids import check_ids_meet
from .protocol import Engine, run_steps, steps_of
from .settings import PreprocessSettings
from .tables import FinishedLog, write_tables
from .time_split import split_record


def preprocess(
    format_name: str, settings: PreprocessSettings, raw: Path, folder: Path, *, force: bool = False
) -> Summary:
    """Make the data set in `folder` from a dump, unless it is there and nothing has changed.

    `raw` is where the dump lies if the settings do not say. Raises DataError for a dump that is missing or
    damaged and for settings that leave nothing, UsageError for options that do not fit the format.
    """
    request = {"version": VERSION, "format": format_name, "raw": str(raw.absolute())}
    request["settings"] = settings.located().record()
    manifest = None if force else still_valid(folder, request)
    if manifest is not None:
        return _summary(folder, manifest, cached=True)
    dump = _open(format_name, settings, raw)
    problems = Problems(strict=settings.strict, allow_loss=settings.allow_loss)
    # Hashed before they are read: a file that changes in between no longer matches its record, so the next
    # command makes the data set again.
    inputs = input_records(dump.files())
    catalogue = dump.catalogue(problems)
    problems.refuse_loss()
    with atomic_folder(folder) as temporary:
        funnel = _write(temporary, format_name, settings, dump, catalogue, problems)
        counts = {unit: funnel[-1][unit] for unit in ("users", "items", "actions")}
        acted_on = funnel[-2] if settings.whole_catalogue else funnel[-1]  # the paper counts no other items
        split = split_record(settings, temporary / INTERACTIONS_FILE)
        tables = table_records(temporary)
        manifest = {
            "fingerprint": actions_fingerprint(tables, counts, split),
            "counts": counts,
            "window": FORMATS[format_name].window,
            "raw": str(dump.root.absolute()),
            "order": dump.order,
            "split": split,
            "funnel": funnel,
            "table_2": {"this": table_row(acted_on), "paper": paper_row(FORMATS[format_name].paper)},
            "problems": problems.record(),
            "request": request,
            "inputs": {
                "files": inputs,
                "beside": names_in(_looked_into(format_name, settings.raw or raw, dump)),
                "pictures": dump.pictures.record(),
            },
            "tables": tables,
        }
        write_json(temporary / MANIFEST_FILE, manifest)
    return _summary(folder, manifest, cached=False)


def _looked_into(format_name: str, raw: Path, dump: Dump) -> list[str]:
    """The folders in which files were looked for; of custom they are named."""
    if format_name == "custom":
        return []
    return [str(path.absolute()) for path in (raw, *(file.path.parent for file in dump.files()))]


def _write(
    folder: Path,
    format_name: str,
    settings: PreprocessSettings,
    dump: Dump,
    catalogue: Catalogue | None,
    problems: Problems,
) -> list[dict[str, Any]]:
    """Read the actions, run the protocol and write the tables into `folder`; returns the funnel."""
    usable = _usable(catalogue)
    if settings.whole_catalogue and usable.is_empty():
        raise UsageError(f"--whole-catalogue: {format_name} knows of no items with text or pictures")
    # A generator: rows are read as the engine asks for them, so the dump is never in memory as text.
    batches = _shown(format_name, dump.actions(problems))
    with open_engine(settings, batches, usable, folder) as engine:
        _refuse_empty(engine, dump, problems)
        problems.refuse_loss()
        has_content = catalogue is not None and bool(catalogue.modalities)
        needed = has_content and not settings.keep_missing_content
        check_ids_meet(engine, catalogue, problems, FORMATS[format_name].editions, needed=needed)
        steps = steps_of(settings, has_content=has_content, content_cure=_content_cure(catalogue, dump))
        try:
            left, funnel = run_steps(engine, steps)
        except DataError as error:  # what was noticed while reading is often why nothing is left
            raise DataError("; ".join([str(error), *problems.lines()])) from None
        log = left.finished()
        if settings.whole_catalogue:
            log = _with_cold_items(log, usable)
            funnel.append({**funnel[-1], "step": "the rest of the catalogue", "items": len(log.item_ids)})
        write_tables(folder, log, catalogue.table if catalogue else None)
    return funnel


def _open(format_name: str, settings: PreprocessSettings, raw: Path) -> Dump:
    if format_name != "custom":
        settings.refuse_custom_options(format_name)
        return cast(Dump, open_dump(format_name, settings.raw or raw, settings.encoding))
    if settings.interactions is None:
        raise UsageError("custom needs --interactions FILE")
    files = (settings.interactions, settings.items)
    mapping = atomic_map(*files, settings.encoding) if settings.map is None else parse_map(settings.map)
    return Custom(*files, mapping, settings.format, settings.raw, settings.encoding)


def _shown(format_name: str, batches: Iterable[Actions]) -> Iterator[Actions]:
    """The batches, with the progress of reading them."""
    with progress(f"preprocess {format_name}", None, "actions") as advance:
        for batch in batches:
            yield batch
            advance(len(batch.timestamps))


def _refuse_empty(engine: Engine, dump: Dump, problems: Problems) -> None:
    if engine.counts()[2] == 0:
        raise DataError(f"{dump.files()[0]} has no actions{problems.why_empty()}")


def _usable(catalogue: Catalogue | None) -> pl.Series:
    """The ids of the items that have content of one of the dump's modalities."""
    if catalogue is None or not catalogue.modalities:
        return pl.Series([], dtype=pl.String)
    any_content = pl.any_horizontal(pl.col(name).is_not_null() for name in catalogue.modalities)
    return catalogue.table.filter(any_content)[ITEM_ID]


def _with_cold_items(log: FinishedLog, usable: pl.Series) -> FinishedLog:
    """The same log with the items that have content and no action numbered after those that have one."""
    cold = usable.filter(~usable.is_in(log.item_ids.implode())).sort()
    return replace(log, item_ids=pl.concat([log.item_ids, cold]))


def _content_cure(catalogue: Catalogue | None, dump: Dump) -> str:
    """What to try where no item has content; where no picture is found, first of all to look elsewhere."""
    keep = "--keep-missing-content"
    if catalogue is None or IMAGE not in catalogue.modalities or catalogue.table[IMAGE].count():
        return keep
    elsewhere = f"another --raw (there is none of the pictures in {dump.root})"
    return " or ".join(filter(None, (catalogue.cure, elsewhere, keep)))


def _summary(folder: Path, manifest: Mapping[str, Any], *, cached: bool) -> Summary:
    name, counts, table_2 = folder.name, manifest["counts"], manifest["table_2"]
    if table_2["paper"]:
        notes = [
            f"Table 2, {who}: {_table_words(table_2[row])}"
            for who, row in ((name, "this"), ("the paper", "paper"))
        ]
    else:  # a log of one's own is in no table of the paper
        notes = [f"Left: {_table_words(table_2['this'])}"]
    if manifest["split"]["kind"] == "time":
        asked = manifest["split"]["users_asked"]
        notes.append(
            f"Time split: {asked['validation']:,} users asked in validation, {asked['test']:,} in test"
        )
    notes += [f"Note: {line}" for line in manifest["problems"]["lines"]]
    notes.append(f"Tables: {folder}")
    return Summary(
        title=f"Data set {name}",
        columns=("step", "users", "items", "actions"),
        rows=funnel_rows(manifest["funnel"]),
        notes=notes,
        data={
            "stage": "preprocess",
            "dataset": name,
            "folder": str(folder),
            "counts": counts,
            "fingerprint": manifest["fingerprint"],
            "funnel": manifest["funnel"],
            "table_2": table_2,
            "split": manifest["split"],
            "problems": manifest["problems"],
        },
        cached=cached,
    )


def _table_words(row: Mapping[str, Any]) -> str:
    return (
        f"{row['users']:,} users, {row['items']:,} items, {row['actions']:,} actions, "
        f"{row['actions_per_item']} per item, {row['actions_per_user']} per user"
    )
