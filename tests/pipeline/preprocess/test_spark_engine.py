"""Spark gives the tables of the local engine, step by step and byte by byte."""

import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tssr.core.errors import DataError, UsageError
from tssr.pipeline.preprocess.action_log import collect
from tssr.pipeline.preprocess.local_engine import LocalEngine
from tssr.pipeline.preprocess.protocol import ProtocolSettings, run_steps, steps_of
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess
from tssr.pipeline.raw.dump import Actions

DATA = Path(__file__).parents[4] / "shared" / "data"
TABLES = ("interactions.parquet", "items.parquet", "users.parquet")


def test_without_pyspark_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.delitem(sys.modules, "tssr.pipeline.preprocess.spark_engine", raising=False)
    (tmp_path / "log.txt").write_text("1 2 3\n")
    options = PreprocessSettings(engine="spark", interactions=tmp_path / "log.txt", format="sequences")
    with pytest.raises(UsageError, match=r"--engine spark needs PySpark: pip install 'tssr\[spark\]'"):
        preprocess("custom", options, tmp_path, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt"]


@pytest.fixture(scope="module")
def session():
    pytest.importorskip("pyspark", reason="the extra spark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from tssr.pipeline.preprocess.spark_engine import spark_session

    with spark_session("local[2]") as session:
        session.conf.set("spark.sql.shuffle.partitions", "2")
        yield session


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["u9", "u10", "ü", "a", "A"]),
        st.sampled_from(["i2", "i10", "x", "\U0001f600", "\uffee"]),
        st.sampled_from([0, 1, 2**24 + 1, -5, 2**62]),
    ),
    min_size=1,
    max_size=40,
)
SETTINGS = st.builds(
    ProtocolSettings,
    min_actions=st.sampled_from([0, 2, 3]),
    repeats=st.sampled_from(["keep", "consecutive", "drop"]),
    keep_last=st.sampled_from([None, 3]),
    keep_last_when=st.sampled_from(["before", "after"]),
    keep_missing_content=st.booleans(),
    users=st.sampled_from([None, 2]),
)


def outcome(engine, chosen):
    """Everything an engine gives: funnel, ids and actions; or what it says where nothing is left."""
    try:
        left, funnel = run_steps(engine, steps_of(chosen, has_content=True))
    except DataError as error:
        return str(error)
    log = left.finished()
    actions = pa.concat_tables(log.interactions).to_pylist()
    return funnel, log.user_ids.to_list(), log.item_ids.to_list(), actions


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS, SETTINGS)
def test_both_engines_agree_on_random_logs(session, tmp_path_factory, rows, chosen):
    from tssr.pipeline.preprocess.spark_engine import SparkEngine, spool

    columns = list(zip(*rows, strict=True))
    batch = Actions(pa.array(columns[0]), pa.array(columns[1]), np.array(columns[2], np.int64))
    usable = pl.Series(["i2", "i10", "\uffee"])
    work = tmp_path_factory.mktemp("spark")
    spool([batch], work / "log")
    spark = SparkEngine.read(session, work / "log", usable, work)
    assert outcome(spark, chosen) == outcome(LocalEngine(collect([batch]), usable), chosen)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real samples (shared/data) are absent")
def test_movielens_is_the_same_to_the_byte(session, tmp_path):
    folder = DATA / "movielens-1m"
    manifests = []
    for engine in ("local", "spark"):
        options = PreprocessSettings(
            engine=engine,
            spark_master="local[2]",
            repeats="consecutive",
            min_actions=20,
            users=3000,
            interactions=folder / "interactions.csv.gz",
            items=folder / "items.csv",
            map="user=user_id,item=item_id,time=position,text=title",
        )
        manifests.append(preprocess("custom", options, tmp_path, tmp_path / engine).data)
    assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
    for name in TABLES:
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "spark" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local", "spark"]
