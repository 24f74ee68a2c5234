"""Writes the generated shop as a raw dump in the layout of Kaggle's H&M competition.

From one seed the files come out byte for byte the same.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...core.artifacts import atomic_folder, read_json, write_json
from ...core.errors import UsageError
from ...core.progress import progress
from ...core.summary import Summary
from .articles import Article, article_row, make_articles
from .customers import draw_purchases, draw_taste
from .drawing import draw
from .settings import DemoSettings
from .shop import Shop

FIRST_DAY = datetime.date(2018, 9, 20)  # as in H&M's own data
JPEG_QUALITY = 88
VERSION = 2  # raise it when the same settings would give another dump
MARKER_FILE = "tssr-demo.json"  # tells a generated dump from a real one

PURCHASE_COLUMNS = ("t_dat", "customer_id", "article_id", "price", "sales_channel_id")
CUSTOMER_COLUMNS = (
    "customer_id", "FN", "Active", "club_member_status", "fashion_news_frequency", "age", "postal_code",
)  # fmt: skip

Purchase = tuple[str, str, str, float, int]  # one row, by PURCHASE_COLUMNS


def make_dump(folder: Path, settings: DemoSettings, *, force: bool) -> Summary:
    """Write the dump unless `folder` holds it already.

    Raises UsageError where the folder holds anything else, such as a real dump.
    """
    request = {"version": VERSION, "settings": settings.record()}
    ours = (folder / MARKER_FILE).exists()
    if not ours and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds files that tssr demo did not write; choose another --workspace")
    cached = ours and not force and read_json(folder / MARKER_FILE, cure="run tssr demo --force") == request
    if not cached:
        write_dump(folder, settings)
    rows = [("articles", f"{settings.articles:,}"), ("customers", f"{settings.customers:,}")]
    return Summary("Shop drawn", rows, {**request, "folder": str(folder)}, cached=cached)


def write_dump(folder: Path, settings: DemoSettings) -> None:
    """Write transactions_train.csv, articles.csv, customers.csv and images/ into `folder`.

    The folder is whole or absent; one that stands there is replaced.
    """
    articles = make_articles(settings.articles, _stream(settings, "articles"))
    rows = [article_row(article) for article in articles]
    with atomic_folder(folder) as temporary:
        _write_csv(temporary / "articles.csv", list(rows[0]), [list(row.values()) for row in rows])
        _write_csv(temporary / "customers.csv", CUSTOMER_COLUMNS, make_customers(settings))
        _write_csv(temporary / "transactions_train.csv", PURCHASE_COLUMNS, make_purchases(articles, settings))
        with progress("draw", len(articles), "articles") as advance:
            for article in articles:
                path = temporary / "images" / article.article_id[:3] / f"{article.article_id}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = draw(article, _stream(settings, f"picture {article.article_id}"))
                picture.save(path, quality=JPEG_QUALITY)
                advance()
        write_json(temporary / MARKER_FILE, {"version": VERSION, "settings": settings.record()})


def make_purchases(articles: Sequence[Article], settings: DemoSettings) -> list[Purchase]:
    """Every customer's purchases, sorted by day; within a day they stay in the order they were made."""
    shop = Shop(articles, _stream(settings, "shop"))
    purchases: list[Purchase] = []
    for number in range(settings.customers):
        rng = _stream(settings, f"customer {number}")
        customer = customer_id(settings, number)
        for bought in draw_purchases(shop, draw_taste(rng), rng):
            day, article = FIRST_DAY + datetime.timedelta(days=bought.day), articles[bought.article]
            price = article.price * rng.choice((1.0, 1.0, 1.0, 0.8))  # now and then reduced
            channel = rng.choice((1, 2, 2))  # 1 is a shop, 2 is online
            purchases.append((day.isoformat(), customer, article.article_id, price, channel))
    return sorted(purchases, key=lambda purchase: purchase[0])


def customer_id(settings: DemoSettings, number: int) -> str:
    """64 hexadecimal digits, as H&M's."""
    return hashlib.sha256(f"{settings.seed} customer {number}".encode()).hexdigest()


def _stream(settings: DemoSettings, name: str) -> random.Random:
    """A stream of random numbers of its own for each thing drawn, all from one seed."""
    return random.Random(f"{settings.seed} {name}")


def make_customers(settings: DemoSettings) -> list[list[object]]:
    """The rows of customers.csv, by customer id."""
    rows: list[list[object]] = []
    for number in range(settings.customers):
        rng = _stream(settings, f"person {number}")
        flag, news = ("1.0", "Regularly") if rng.random() < 0.35 else ("", "NONE")
        status = "ACTIVE" if rng.random() < 0.93 else "PRE-CREATE"
        age = float(round(min(85.0, max(16.0, rng.gauss(36, 13)))))
        postal_code = hashlib.sha256(f"{settings.seed} postal {rng.randrange(2000)}".encode()).hexdigest()
        rows.append([customer_id(settings, number), flag, flag, status, news, age, postal_code])
    return sorted(rows, key=lambda row: str(row[0]))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
