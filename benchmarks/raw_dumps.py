"""Raw dumps of any size in the format of each data set, from a seed: sizes and skew of the real ones.

Items are drawn with the square of a uniform number, so that few are popular and many are rare. No dump holds
pictures: preprocess them with `--keep-missing-content`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

CHUNK = 1_000_000
SPAN = 2 * 365 * 86400
BEGIN = 1_537_401_600  # 2018-09-20
WORDS = 120  # of a review, about 740 bytes as in the real file


def _ids(count: int, width: int, rng: np.random.Generator) -> pl.Series:
    """Distinct ids of `width` hexadecimal digits."""
    numbers = rng.permutation(count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return pl.Series([f"{number:016x}".rjust(width, "c") for number in numbers.tolist()])


def _draw(ids: pl.Series, count: int, rng: np.random.Generator, *, skew: bool) -> pl.Series:
    places = rng.random(count)
    return ids.gather(((places**2 if skew else places) * len(ids)).astype(np.int64))


def _chunks(actions: int) -> list[int]:
    return [min(CHUNK, actions - start) for start in range(0, actions, CHUNK)]


def write_hm(folder: Path, actions: int, rng: np.random.Generator) -> None:
    """Purchases ordered by day; 31.8 million in the real dump."""
    customers, articles = (
        _ids(max(actions // 23, 1), 64, rng),
        pl.Series([f"0{number}" for number in range(108775015, 108775015 + max(actions // 300, 1))]),
    )
    pl.DataFrame({"article_id": articles}).with_columns(
        prod_name=pl.lit("Strap top"),
        product_type_name=pl.lit("Vest top"),
        colour_group_name=pl.lit("Black"),
        detail_desc=pl.lit("Jersey top with narrow shoulder straps."),
    ).write_csv(folder / "articles.csv")
    with (folder / "transactions_train.csv").open("wb") as file:
        file.write(b"t_dat,customer_id,article_id,price,sales_channel_id\n")
        done = 0
        for size in _chunks(actions):
            days = (np.arange(done, done + size) * (SPAN // 86400) // actions).astype(np.int32)
            pl.DataFrame(
                {
                    "t_dat": pl.Series(days + BEGIN // 86400).cast(pl.Date),
                    "customer_id": _draw(customers, size, rng, skew=True),
                    "article_id": _draw(articles, size, rng, skew=True),
                }
            ).with_columns(price=pl.lit("0.0508305084745763"), channel=pl.lit("2")).write_csv(
                file, include_header=False
            )
            done += size


def write_mind(folder: Path, actions: int, rng: np.random.Generator) -> None:
    """Two impressions a user, each with the same history of up to twenty and with two clicks among twenty.

    Some users have no history, and one click in fifty goes to news that hardly anybody reads: the core filter
    has several rounds to go.
    """
    users = pl.Series([f"U{number}" for number in rng.permutation(max(actions // 14, 1)).tolist()])
    news = [f"N{number}" for number in range(max(actions // 130, 50))]
    rare = [f"R{number}" for number in range(max(actions // 100, 50))]
    pl.DataFrame({"id": news + rare}).with_columns(
        *(
            pl.lit(word).alias(word)
            for word in ("sports", "golf", "A title of the news", "An abstract", "https://x")
        ),
        pl.lit("[]").alias("entities"),
        pl.lit("[]").alias("more"),
    ).write_csv(folder / "news.tsv", separator="\t", include_header=False, quote_style="never")
    read, unread = pl.Series(news), pl.Series(rare)
    with (folder / "behaviors.tsv").open("wb") as file:
        for start in range(0, len(users), CHUNK // 20):
            part = users[start : start + CHUNK // 20]
            past = pl.DataFrame({"id": _words(read, unread, len(part), 20, rng, "")})
            lengths = pl.Series(rng.integers(0, 21, len(part)))
            past = pl.DataFrame({"id": _words(read, unread, len(part), 20, rng, ""), "length": lengths})
            history = past.select(pl.col("id").list.head("length").list.join(" "))["id"]
            for _ in range(2):
                clicked, shown = (
                    _words(read, unread, len(part), count, rng, mark).list.join(" ")
                    for count, mark in ((2, "-1"), (18, "-0"))
                )
                moments = pl.Series(BEGIN + rng.integers(0, SPAN, len(part)))
                pl.DataFrame({"row": np.arange(start, start + len(part)), "user": part}).with_columns(
                    pl.from_epoch(moments).dt.strftime("%m/%d/%Y %I:%M:%S %p").alias("time"),
                    history.alias("history"),
                    pl.concat_str(shown, clicked, separator=" ").alias("impressions"),
                ).write_csv(file, separator="\t", include_header=False, quote_style="never")


def _words(
    read: pl.Series, unread: pl.Series, rows: int, width: int, rng: np.random.Generator, mark: str
) -> pl.Series:
    """Lists of `width` ids with `mark` behind each."""
    count = rows * width
    table = pl.DataFrame(
        {"id": _draw(read, count, rng, skew=True), "rare": _draw(unread, count, rng, skew=False)}
    )
    chosen = pl.when(pl.Series(rng.random(count) < 0.02)).then("rare").otherwise("id") + mark
    return table.select(chosen.alias("id"))["id"].reshape((rows, width)).arr.to_list()


def write_yelp(folder: Path, actions: int, rng: np.random.Generator) -> None:
    """Reviews with their text, as JSON lines; 7 million in the real dump."""
    users, businesses = _ids(max(actions // 4, 1), 22, rng), _ids(max(actions // 46, 1), 22, rng)
    pl.DataFrame({"business_id": businesses}).with_columns(
        *(pl.lit("x").alias(name) for name in ("name", "categories", "city", "state"))
    ).write_ndjson(folder / "yelp_academic_dataset_business.json")
    with (folder / "yelp_academic_dataset_review.json").open("wb") as file:
        for size in _chunks(actions):
            moments = pl.from_epoch(pl.Series(BEGIN + rng.integers(0, SPAN, size)))
            pl.DataFrame(
                {
                    "user_id": _draw(users, size, rng, skew=True),
                    "business_id": _draw(businesses, size, rng, skew=True),
                }
            ).with_columns(
                pl.lit(4.0).alias("stars"),
                pl.lit("Great\n" * WORDS).alias("text"),
                moments.dt.strftime("%Y-%m-%d %H:%M:%S").alias("date"),
            ).write_ndjson(file)


WRITERS: dict[str, Callable[[Path, int, np.random.Generator], None]] = {
    "hm": write_hm,
    "mind": write_mind,
    "yelp": write_yelp,
}
FULL = {"hm": 31_800_000, "mind": 10_000_000, "yelp": 7_000_000}
