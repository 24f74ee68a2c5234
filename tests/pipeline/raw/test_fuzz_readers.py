"""Every reader on dumps that were damaged at random: tables or one line, never a traceback, never a hang.

The slow test tries many inputs. `TSSR_FUZZ=20000 pytest -m slow tests/pipeline/raw/test_fuzz_readers.py
--basetemp /dev/shm/fuzz` tries that many for each reader, and other ones each time.
"""

import gzip
import io
import json
import os
import shutil
import zipfile
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tssr.core.errors import TssrError
from tssr.pipeline.preprocess.settings import PreprocessSettings
from tssr.pipeline.preprocess.stage import preprocess
from tssr.pipeline.raw import blocks

FEW, MANY = 25, int(os.environ.get("TSSR_FUZZ", "1000"))


def lines(*objects):
    return "".join(json.dumps(value) + "\n" for value in objects).encode()


def review(user, item):
    return {"reviewerID": user, "asin": item, "unixReviewTime": 1529193600}


ARTICLES = (
    b"article_id,prod_name,product_type_name,colour_group_name,detail_desc\n"
    b'0108775015,"Strap, top",Vest,Black,"Two\nlines"\n0108775044,Top,Vest,White,Soft\n'
)
DUMPS = {
    "hm": {
        "transactions_train.csv": b"t_dat,customer_id,article_id,price\n2018-09-20,c1,0108775015,0.1\n"
        b"2018-09-21,c1,0108775044,0.1\n2018-09-21,c2,0108775044,0.1\n",
        "articles.csv": ARTICLES,
    },
    "yelp": {
        "yelp_academic_dataset_review.json": lines(
            {"user_id": "u", "business_id": "b", "date": "2018-07-07 22:09:11", "text": "a\n\u2603"},
            {"user_id": "v", "business_id": "b", "date": "2018-07-08 22:09:11", "text": ""},
        ),
        "yelp_academic_dataset_business.json": lines(
            {"business_id": "b", "name": "Bar", "categories": None, "city": "X", "state": "CA"}
        ),
        "photos.json": lines({"photo_id": "p", "business_id": "b", "caption": "", "label": "food"}),
    },
    "toy": {
        "Toys_and_Games_5.json.gz": gzip.compress(lines(review("u", "B1"), review("v", "B2")), mtime=0),
        "meta_Toys_and_Games.json": lines({"asin": "B1", "title": "<b>x", "category": ["a", "b"]})
        + b"{'asin': 'B2', 'title': 'y', 'imUrl': 'http://x/y.jpg'}\n",
    },
    "mind": {
        "behaviors.tsv": b"1\tU1\t11/12/2019 2:14:46 PM\tN1 N2\tN3-1 N1-0\n"
        b"2\tU2\t11/13/2019 2:14:46 AM\t\tN1-1\n",
        "news.tsv": b"N1\tsports\tgolf\tTitle\tAbstract\thttps://x\t[]\t[]\n",
    },
    "movielens": {
        "ratings.dat": b"1::10::5::978300760\n1::2::3::978300759\n",
        "movies.dat": b"2::Caf\xe9 (1995)::Drama|War\n10::Toy::Animation\n",
    },
    "custom": {
        "log.csv": b"user,item,time\na,x,3\nb,y,2020-01-01\na,y,2020-01-01T00:00:01Z\n",
        "items.jsonl": lines({"item": "x", "title": "X", "n": 1}, {"item": "y", "title": None, "n": 2}),
    },
}
EVIL = [
    *(
        b"",
        b"\0",
        b"\xff",
        b'"',
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b"\t",
        b"::",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"'",
    ),
    *(
        b"[" * 200,
        b"9" * 30,
        b"-1",
        b"\\u0000",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"null",
        b"1e999",
        b"NaN",
        b"\x1a",
    ),
]

EDITS = st.lists(
    st.tuples(
        st.integers(0, 7),  # which file
        st.floats(0, 1, exclude_max=True),  # where
        st.one_of(st.just(0), st.integers(0, 40)),  # how many bytes go
        st.one_of(st.sampled_from(EVIL), st.binary(max_size=12)),
        st.integers(1, 3),  # how often the new bytes come
    ),
    min_size=1,
    max_size=6,
)


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return {"dump.zip": packed.getvalue()}


PACKED = {
    "plain": dict,
    "gz": lambda files: {
        f"{name.removesuffix('.gz')}.gz": data if name.endswith(".gz") else gzip.compress(data, mtime=0)
        for name, data in files.items()
    },
    "zip": zipped,
}


def damaged(files, edits):
    changed = dict(files)
    names = sorted(files)
    for which, where, gone, new, times in edits:
        name = names[which % len(names)]
        data = changed[name]
        place = int(where * (len(data) + 1))
        changed[name] = data[:place] + new * times + data[place + gone :]
    return changed


def run(format_name, raw, out):
    options = {"min_actions": 0, "keep_missing_content": True, "allow_loss": True}
    if format_name == "custom":
        log, items = (next(iter(raw.glob(f"{name}*")), raw / name) for name in ("log.csv", "items.jsonl"))
        options |= {"interactions": log, "items": items}
        options["map"] = "user=user,item=item,time=time,text=title"
    return preprocess(format_name, PreprocessSettings(**options), raw, out, force=True)


@pytest.mark.parametrize("format_name", DUMPS)
@pytest.mark.parametrize("inputs", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
def test_damaged_dumps(tmp_path, monkeypatch, format_name, inputs):
    def written(raw, packing, edits, *, before):
        """Damage the files before or after they are packed."""
        pack, harm = PACKED[packing], lambda files: damaged(files, edits)
        for name, data in (
            pack(harm(DUMPS[format_name])) if before else harm(pack(DUMPS[format_name]))
        ).items():
            (raw / name).write_bytes(data)

    @settings(
        max_examples=inputs,
        deadline=timedelta(seconds=60),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(EDITS, st.sampled_from(list(PACKED)), st.booleans(), st.sampled_from([8 << 20, 48]))
    def try_it(edits, packing, before, block):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
        raw = tmp_path / "raw"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        written(raw, packing, edits, before=before)
        try:
            summary = run(format_name, raw, tmp_path / "out")
        except TssrError as error:
            message = str(error)
        else:
            assert summary.data["counts"]["actions"] > 0
            message = " ".join(summary.data["problems"]["lines"])
        assert len(message) < 2000, message

    try_it()
