"""The steps of the protocol on Apache Spark, for logs that outgrow one machine.

The actions go through a folder of Parquet files that every worker must be able to read; the result comes
back as a folder of files in canonical order, which is copied into the one canonical file. Only ids, not
actions, pass through single tasks. The tables are the same as those of the local engine, byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import UsageError
from ...core.schema import INTERACTIONS, ITEM, ITEM_ID, POSITION, TIMESTAMP, USER, USER_ID
from ..raw.dump import Actions
from .tables import FinishedLog

try:
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession, Window, WindowSpec
    from pyspark.sql import functions as sql
except ImportError:
    raise UsageError("--engine spark needs PySpark: pip install 'tssr[spark]'") from None

ROW = "row"  # the place of an action in the source
LOG = pa.schema([(USER_ID, pa.string()), (ITEM_ID, pa.string()), (TIMESTAMP, pa.int64()), (ROW, pa.int64())])
ROWS_A_FILE = 1 << 24


@contextmanager
def spark_session(master: str) -> Iterator[SparkSession]:
    """A session on `master`, stopped at the end; raises UsageError where Spark does not start."""
    builder = SparkSession.builder.master(master).appName("tssr preprocess")
    builder = builder.config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
    if master.startswith("local"):
        builder = builder.config("spark.sql.shuffle.partitions", "8").config("spark.driver.host", "127.0.0.1")
    try:
        session = builder.getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--spark-master {master}: Spark (on Java 17) does not start: {reason}") from None
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def spool(batches: Iterable[Actions], folder: Path) -> None:
    """Write the actions of a source with their row numbers as Parquet files."""
    folder.mkdir(parents=True)
    done = 0
    with ExitStack() as stack:
        writer = stack.enter_context(pq.ParquetWriter(folder / "0.parquet", LOG))
        for batch in batches:
            # A file is closed where its rows pass a multiple of ROWS_A_FILE, and the next one begins.
            if done // ROWS_A_FILE != (done + len(batch.timestamps)) // ROWS_A_FILE:
                stack.close()
                writer = stack.enter_context(pq.ParquetWriter(folder / f"{done}.parquet", LOG))
            rows = np.arange(done, done + len(batch.timestamps))
            users, items = (column.cast(pa.string()) for column in (batch.users, batch.items))
            columns = [users, items, pa.array(batch.timestamps), pa.array(rows)]
            writer.write_table(pa.Table.from_arrays(columns, schema=LOG))
            done += len(rows)


@dataclass(frozen=True)
class SparkEngine:
    """Actions as a Spark table with the columns of LOG; `work` is a folder for results on their way."""

    session: SparkSession
    table: DataFrame
    usable: pl.Series
    work: Path

    @classmethod
    def read(cls, session: SparkSession, folder: Path, usable: pl.Series, work: Path) -> SparkEngine:
        """The actions in a folder of Parquet files as `spool` writes them."""
        return cls(session, session.read.parquet(str(folder.absolute())), usable, work)

    def _with(self, table: DataFrame) -> SparkEngine:
        return replace(self, table=table)

    def counts(self) -> tuple[int, int, int]:
        """Users, items and actions that are left."""
        users, items = sql.countDistinct(USER_ID), sql.countDistinct(ITEM_ID)
        found = self.table.agg(users.alias("u"), items.alias("i"), sql.count("*").alias("n")).first()
        assert found is not None  # an aggregate without keys has one row
        return found["u"], found["i"], found["n"]

    def with_content(self) -> SparkEngine:
        """Without actions on items that have no content."""
        path = self.work / "usable.parquet"
        pq.write_table(pa.table({ITEM_ID: self.usable.to_arrow().cast(pa.string())}), path)
        usable = self.session.read.parquet(str(path.absolute()))
        return self._with(self.table.join(usable, ITEM_ID, "left_semi"))

    def without_repeats(self, *, consecutive: bool) -> SparkEngine:
        """Without a user's second and later actions on an item, or only those right after the same item."""
        if consecutive:
            # A user's first action has null before it. A plain comparison with null
            # would be null and drop the row.
            before = sql.lag(ITEM_ID).over(_in_order(USER_ID))
            marked = self.table.withColumn("before", before)
            return self._with(marked.filter(~sql.col("before").eqNullSafe(sql.col(ITEM_ID))).drop("before"))
        place = sql.row_number().over(_in_order(USER_ID, ITEM_ID))
        return self._with(self.table.withColumn("place", place).filter("place = 1").drop("place"))

    def last(self, count: int) -> SparkEngine:
        """The last `count` actions of each user."""
        latest = Window.partitionBy(USER_ID).orderBy(sql.desc(TIMESTAMP), sql.desc(ROW))
        ranked = self.table.withColumn("place", sql.row_number().over(latest))
        return self._with(ranked.filter(sql.col("place") <= count).drop("place"))

    def core(self, minimum: int) -> SparkEngine:
        """The k-core for k = `minimum`; each round ends in a checkpoint, so that plans stay short."""
        table, left = self.table.localCheckpoint(), -1
        while (count := table.count()) != left:
            left = count
            # Users with enough actions, then items with enough of what is left. A round that
            # removes nothing is the last.
            for key in (USER_ID, ITEM_ID):
                strong = table.groupBy(key).count().filter(sql.col("count") >= minimum).select(key)
                table = table.join(strong, key, "left_semi")
            table = table.localCheckpoint()
        return self._with(table)

    def drawn(self, count: int, seed: int) -> SparkEngine:
        """`count` users, those whose SHA-256 of "seed:user_id" is smallest; all where there are fewer."""
        lot = sql.sha2(sql.concat(sql.lit(f"{seed}:"), sql.col(USER_ID)), 256)
        chosen = self.table.select(USER_ID).distinct().orderBy(lot).limit(count)
        return self._with(self.table.join(chosen, USER_ID, "left_semi"))

    def item_ids(self) -> pl.Series:
        """The ids of the items that are left, in the order of their bytes."""
        return self._ids(self.table.select(ITEM_ID).distinct())

    def user_ids(self) -> pl.Series:
        """The ids of the users that are left, in the order of their bytes."""
        return self._ids(self.table.select(USER_ID).distinct())

    def finished(self) -> FinishedLog:
        """The numbered users, items and actions, for writing."""
        users, items = (_numbered(self.table, key, name) for key, name in ((USER_ID, USER), (ITEM_ID, ITEM)))
        position = (sql.row_number().over(_in_order(USER_ID)) - 1).cast("int")
        numbered = self.table.withColumn(POSITION, position).join(users, USER_ID).join(items, ITEM_ID)
        ordered = numbered.select(*INTERACTIONS.names).orderBy(USER, POSITION)
        folder = self._written(ordered, "interactions")
        return FinishedLog(self._ids(users.select(USER_ID)), self.item_ids(), _tables(folder))

    def _ids(self, table: DataFrame) -> pl.Series:
        folder = self._written(table, "ids")
        return pl.Series(pq.read_table(folder).column(0)).sort()

    def _written(self, table: DataFrame, name: str) -> Path:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        table.write.parquet(str(folder.absolute()))
        return folder


def _in_order(*keys: str) -> WindowSpec:
    return Window.partitionBy(*keys).orderBy(TIMESTAMP, ROW)


def _numbered(table: DataFrame, key: str, name: str) -> DataFrame:
    """Each id with its number: users from 0, items from 1, in the order of the ids' bytes."""
    # A window without groups runs in a single task, so it is over ids and never over actions.
    number = sql.row_number().over(Window.orderBy(key)) - (1 if name == USER else 0)
    return table.select(key).distinct().withColumn(name, number.cast("int"))


def _tables(folder: Path) -> Iterator[pa.Table]:
    """The canonical tables in a folder that Spark wrote in order: its files' names count up."""
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path) as part:
            for batch in part.iter_batches(use_threads=False):  # whoever reads may stop at any batch
                yield pa.Table.from_batches([batch]).cast(INTERACTIONS)
