import csv
import datetime
import hashlib
import random
import re
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.pipeline.demo.articles import article_row, make_articles
from tssr.pipeline.demo.customers import draw_purchases, draw_taste
from tssr.pipeline.demo.drawing import HEIGHT, WIDTH, draw
from tssr.pipeline.demo.dump import make_purchases, write_dump
from tssr.pipeline.demo.garment_types import GARMENT_TYPES
from tssr.pipeline.demo.geometry import Cut
from tssr.pipeline.demo.looks import SOLID
from tssr.pipeline.demo.settings import DemoSettings
from tssr.pipeline.demo.shop import DAYS, Shop
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


@pytest.mark.parametrize("kind", GARMENT_TYPES, ids=lambda kind: kind.name)
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
    assert 7.2 <= len(purchases) / settings.customers <= 7.8
    counts = {article.article_id: 0 for article in articles}
    for row in purchases:
        counts[row[2]] += 1
    assert max(counts.values()) > 10 * np.median(list(counts.values()))
    assert 0.08 < 1 - len({row[1:3] for row in purchases}) / len(purchases) < 0.15  # real: 13 %

    kept = [row[1:3] for row in purchases]
    while True:
        users, items = (np.unique([row[side] for row in kept], return_counts=True) for side in (0, 1))
        few = set(users[0][users[1] < 5]) | set(items[0][items[1] < 5])
        if not few:
            break
        kept = [row for row in kept if row[0] not in few and row[1] not in few]
    assert len(users[0]) >= 2900
    assert 720 <= len(items[0]) <= 880
    assert (items[1] <= 10).mean() > 0.2


def test_sales_follow_the_real_popularity_law_visits_and_seasons(full):
    _, articles, purchases = full
    counts = Counter(row[2] for row in purchases)
    logs = np.log([count for count in counts.values() if count >= 5])
    assert 0.8 < logs.std() < 1.2  # a log-normal law with sigma 1.2, cut at 5
    visits = {row[:2] for row in purchases}
    assert 2.4 < len(visits) / len({row[1] for row in purchases}) < 2.8
    days = {article.article_id: [] for article in articles}
    for row in purchases:
        days[row[2]].append(datetime.date.fromisoformat(row[0]).toordinal())
    apart = [np.abs(np.diff(np.random.default_rng(0).permutation(sold))).mean()
             for sold in days.values() if len(sold) >= 8]  # fmt: skip
    assert 40 < np.median(apart) < 75  # real: 54 days; without seasons it would be 240


def test_what_is_bought_in_a_row_looks_alike_as_much_as_in_the_real_sample(full):
    _, articles, purchases = full
    look = {article.article_id: article for article in articles}
    of_customer = defaultdict(list)
    for day, customer, article, *_ in purchases:
        of_customer[customer].append((day, look[article]))
    visit, later = [], []
    for bought in of_customer.values():
        for (day, article), (next_day, following) in pairwise(bought):
            if article != following:
                (visit if day == next_day else later).append((article, following))
    every = [look[row[2]] for row in purchases]
    by_chance = list(zip(every, random.Random(0).sample(every, k=len(every)), strict=True))

    def excess(pairs, trait):
        same, chance = (np.mean([trait(a) == trait(b) for a, b in some]) for some in (pairs, by_chance))
        return (same - chance) / (1 - chance)

    traits = {
        "kind": lambda article: article.kind.name,
        "colours": lambda article: article.colour.family,
        "pattern": lambda article: article.pattern.name,
        "product": lambda article: article.product,
    }
    assert 0.17 < excess(visit, traits["kind"]) < 0.28
    assert 0.25 < excess(visit, traits["colours"]) < 0.36
    assert 0.18 < excess(visit, traits["pattern"]) < 0.30
    assert 0.02 < excess(visit, traits["product"]) < 0.06
    assert 0.02 < excess(later, traits["colours"]) < 0.08


def test_every_part_of_the_mechanism_helps_to_foresee_the_next_purchase():
    rng = random.Random(5)
    shop = Shop(make_articles(300, rng), rng)
    indifferent, likeness = np.ones(300), shop.likeness
    hits = dict.fromkeys(("all", "no looks", "no habits", "selling", "popularity"), 0)
    for _ in range(600):
        taste = draw_taste(rng)
        *history, target = draw_purchases(shop, taste, rng)
        last, day = history[-1].article, target.day
        if history[-1].day != day:
            continue
        liking = shop.liking(taste)
        foreseen = {"all": shop.next_in_visit(liking, last, day)}
        shop.likeness = np.ones_like(likeness)
        foreseen["no looks"] = shop.next_in_visit(indifferent, last, day)
        shop.likeness = likeness
        foreseen["no habits"] = liking * likeness[last] * shop.selling(day)
        foreseen["selling"] = shop.selling(day)
        foreseen["popularity"] = shop.rates * (shop.closes - shop.opens)
        for name, chances in foreseen.items():
            hits[name] += int((chances > chances[target.article]).sum() < 10)
    assert hits["all"] > 1.1 * max(hits["no looks"], hits["no habits"])
    assert min(hits["no looks"], hits["no habits"]) > 1.1 * hits["selling"]
    assert hits["selling"] > 1.3 * hits["popularity"]


def test_what_may_be_bought_next_is_a_distribution():
    rng = random.Random(2)
    shop = Shop(make_articles(100, rng), rng)
    liking = shop.liking(draw_taste(rng))
    for day in (0, 300, DAYS - 1):
        for history in ([], [3], [3, 5, 3]):
            assert shop.first_of_visit(liking, day, history).sum() == pytest.approx(1.0)
        assert shop.next_in_visit(liking, 3, day).sum() == pytest.approx(1.0)
        assert shop.selling(day).sum() == pytest.approx(1.0)


def test_purchases_lie_in_the_two_years_and_in_order():
    rng = random.Random(8)
    shop = Shop(make_articles(60, rng), rng)
    for _ in range(300):
        days = [purchase.day for purchase in draw_purchases(shop, draw_taste(rng), rng)]
        assert len(days) >= 5
        assert days == sorted(days)
        assert 0 <= days[0] <= days[-1] < DAYS


def test_a_shop_too_small_is_refused():
    with pytest.raises(UsageError, match=r"--articles: should be greater than or equal to 50, not 10"):
        resolve(DemoSettings, {"articles": 10})
