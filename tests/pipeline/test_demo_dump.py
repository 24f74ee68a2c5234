import csv
import hashlib
import random
import re

import numpy as np
import pytest
from PIL import Image

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.pipeline.demo.articles import article_row, make_articles
from tssr.pipeline.demo.customers import Shop, draw_purchases, draw_taste
from tssr.pipeline.demo.drawing import HEIGHT, WIDTH, draw
from tssr.pipeline.demo.dump import make_purchases, write_dump
from tssr.pipeline.demo.geometry import Cut
from tssr.pipeline.demo.kinds import KINDS
from tssr.pipeline.demo.looks import SOLID
from tssr.pipeline.demo.settings import DemoSettings
from tssr.pipeline.demo.silhouettes import SILHOUETTES

SMALL = DemoSettings(seed=3, customers=60, articles=90)
ARTICLES_HEADER = (
    "article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,"
    "graphical_appearance_no,graphical_appearance_name,colour_group_code,colour_group_name,"
    "perceived_colour_value_id,perceived_colour_value_name,perceived_colour_master_id,"
    "perceived_colour_master_name,department_no,department_name,index_code,index_name,index_group_no,"
    "index_group_name,section_no,section_name,garment_group_no,garment_group_name,detail_desc"
)
CUSTOMERS_HEADER = "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "hm"
    write_dump(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def full():
    settings = DemoSettings()
    articles = make_articles(settings.articles, random.Random("full"))
    purchases = make_purchases(articles, settings)
    return settings, articles, purchases


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(dump, tmp_path):
    write_dump(tmp_path / "again", SMALL)
    write_dump(tmp_path / "other", SMALL.model_copy(update={"seed": 4}))
    first, again, other = contents(dump), contents(tmp_path / "again"), contents(tmp_path / "other")
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_layout_is_kaggles(dump):
    assert (dump / "articles.csv").read_text().splitlines()[0] == ARTICLES_HEADER
    assert (dump / "customers.csv").read_text().splitlines()[0] == CUSTOMERS_HEADER
    articles = rows_of(dump / "articles.csv")
    assert len({row["article_id"] for row in articles}) == SMALL.articles
    customers = {row["customer_id"] for row in rows_of(dump / "customers.csv")}
    assert len(customers) == SMALL.customers
    purchases = rows_of(dump / "transactions_train.csv")
    assert list(purchases[0]) == ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    assert {row["customer_id"] for row in purchases} == customers
    assert all(re.fullmatch(r"[0-9a-f]{64}", customer) for customer in customers)
    dates = [row["t_dat"] for row in purchases]
    assert dates == sorted(dates)
    assert "2018-09-20" <= dates[0] < dates[-1] <= "2020-09-22"
    for row in articles:
        assert re.fullmatch(r"0\d{9}", row["article_id"])
        assert row["product_code"] == row["article_id"][1:7]
        picture = dump / "images" / row["article_id"][:3] / f"{row['article_id']}.jpg"
        with Image.open(picture) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (WIDTH, HEIGHT))
    assert len(list((dump / "images").rglob("*.jpg"))) == SMALL.articles


def test_text_and_columns_agree_with_the_article():
    for article in make_articles(200, random.Random(0)):
        row = article_row(article)
        text = str(row["detail_desc"])
        assert text.startswith(f"{row['colour_group_name']} ".capitalize())
        assert f" {article.pattern.adjective} {article.kind.noun} in " in text
        assert all(detail in text for detail in article.details)
        assert row["product_type_name"] == article.kind.name
        assert row["graphical_appearance_name"] == article.pattern.name
        assert article.kind.noun in str(row["prod_name"])
        assert article.kind.noun in article.kind.name.lower() or article.kind.noun == article.kind.name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_detail_named_in_the_text_is_seen_in_the_picture(kind):
    usual = tuple(group[0] for group in kind.details)
    for place, group in enumerate(kind.details):
        drawn = []
        for phrase in group:
            details = (*usual[:place], phrase, *usual[place + 1 :])
            drawn.append(repr(SILHOUETTES[kind.name](Cut(1.0, 1.0, details))))
        assert len(set(drawn)) == len(group)


def test_silhouettes_stay_on_the_canvas():
    for article in make_articles(800, random.Random(0)):
        for element in SILHOUETTES[article.kind.name](Cut(*article.proportions, article.details)):
            for x, y in element[0]:
                assert -47 <= x <= 47
                assert 2 <= y <= 123


def test_pictures_show_the_colour_and_none_equals_another():
    articles = make_articles(400, random.Random(0))
    pictures = [draw(article, random.Random(article.article_id)) for article in articles]
    assert len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures}) == len(articles)
    alike = []
    for article, picture in zip(articles, pictures, strict=True):
        if article.pattern == SOLID and article.kind.name in ("T-shirt", "Vest top", "Bag", "Skirt"):
            seen = np.median(np.asarray(picture)[95:105, 55:75].reshape(-1, 3), axis=0)
            meant = np.array(article.colour.rgb)
            alike.append(seen @ meant / np.linalg.norm(seen) / np.linalg.norm(meant))
    assert len(alike) > 20
    assert min(alike) > 0.985  # between orange and red it would be 0.93


def test_the_full_shop_has_a_long_tail_repeats_and_survives_the_core_filter(full):
    settings, articles, purchases = full
    customers = {row[1] for row in purchases}
    assert len(customers) == settings.customers
    assert 8 <= len(purchases) / settings.customers <= 14
    counts = {article.article_id: 0 for article in articles}
    for row in purchases:
        counts[row[2]] += 1
    rare = [count for count in counts.values() if 5 <= count <= 10]
    assert len(rare) >= 0.12 * len(articles)
    assert max(counts.values()) > 10 * np.median(list(counts.values()))
    assert 0.08 < 1 - len({row[1:3] for row in purchases}) / len(purchases) < 0.25

    kept = [row[1:3] for row in purchases]
    while True:
        users, items = (np.unique([row[side] for row in kept], return_counts=True) for side in (0, 1))
        few = set(users[0][users[1] < 5]) | set(items[0][items[1] < 5])
        if not few:
            break
        kept = [row for row in kept if row[0] not in few and row[1] not in few]
    assert len(users[0]) >= 2500
    assert len(items[0]) >= 700


def test_every_part_of_the_mechanism_helps_to_foresee_the_next_purchase():
    rng = random.Random(5)
    shop = Shop(make_articles(300, rng), rng)
    indifferent = np.ones(300)
    hits = dict.fromkeys(("all", "habit", "taste", "popularity"), 0)
    for _ in range(600):
        taste = draw_taste(rng)
        *history, target = draw_purchases(shop, taste, rng)
        liking = shop.liking(taste)
        foreseen = {
            "all": shop.next_purchase(liking, history),
            "habit": shop.next_purchase(indifferent, history),
            "taste": liking * shop.popularity,
            "popularity": shop.popularity,
        }
        for name, chances in foreseen.items():
            hits[name] += int((chances > chances[target]).sum() < 10)
    assert hits["all"] > 1.15 * hits["habit"]
    assert hits["all"] > 1.5 * hits["taste"]
    assert min(hits["habit"], hits["taste"]) > 1.3 * hits["popularity"]
    assert hits["all"] > 2.5 * hits["popularity"]


def test_next_purchase_is_a_distribution():
    rng = random.Random(2)
    shop = Shop(make_articles(100, rng), rng)
    liking = shop.liking(draw_taste(rng))
    for history in ([], [3], [3, 5, 3]):
        assert shop.next_purchase(liking, history).sum() == pytest.approx(1.0)


def test_a_shop_too_small_is_refused():
    with pytest.raises(UsageError, match=r"--articles: should be greater than or equal to 50, not 10"):
        resolve(DemoSettings, {"articles": 10})
