import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tssr.core.errors import DataError, UsageError
from tssr.pipeline.download import fetch as fetching
from tssr.pipeline.download.fetch import FetchError, Limits, fetch, is_public, picture_suffix
from tssr.pipeline.download.pace import Pace, PaceStoppedError
from tssr.pipeline.download.settings import DownloadSettings
from tssr.pipeline.download.stage import download_images

JPEG = b"\xff\xd8\xff" + b"x" * 500
PNG = b"\x89PNG\r\n\x1a\n" + b"y" * 10


class Misbehaving(BaseHTTPRequestHandler):
    """A server with every bad habit; `calls` counts the requests for each path."""

    calls: Counter

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.calls[self.path] += 1
        name = self.path.strip("/").replace(".", "_").replace("-", "_")
        getattr(self, name, self.missing)()

    def answer(self, body=JPEG, status=200, **headers):
        self.send_response(status)
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        for key, value in {"Content-Length": str(len(body)), **given}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def missing(self):
        self.answer(b"", 404)

    def good_jpg(self):
        self.answer()

    def good_png(self):
        self.answer(PNG)

    def flaky(self):
        first = self.calls[self.path] == 1
        self.answer(b"" if first else JPEG, 500 if first else 200)

    def busy(self):
        first = self.calls[self.path] == 1
        self.answer(b"" if first else JPEG, 429 if first else 200, Retry_After="0")

    def html(self):
        self.answer(b"<html>sold out</html>", Content_Type="image/jpeg")

    def cut(self):
        self.answer(JPEG, Content_Length="100000")

    def slow(self):
        self.send_response(200)
        for _ in range(800):
            self.wfile.write(b"X")
            self.wfile.flush()
            time.sleep(0.05)

    def huge(self):
        self.answer(JPEG, Content_Length=str(2 << 30))

    def endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"\xff\xd8\xff" + b"x" * (1 << 16))

    def moved(self):
        self.answer(b"", 302, Location="/good.jpg")

    def private(self):
        self.answer(b"", 302, Location="http://10.0.0.1/secret")

    def loop(self):
        self.answer(b"", 301, Location="/loop")

    def to_file(self):
        self.answer(b"", 302, Location="file:///etc/passwd")


@pytest.fixture
def server():
    handler = type("Handler", (Misbehaving,), {"calls": Counter()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.calls
    server.shutdown()
    server.server_close()


def local(address):
    return address == "127.0.0.1"


def limits(**changes):
    return Limits(**{"seconds": 60.0, "bytes": 1 << 20, "allowed": local, **changes})


def test_a_picture_also_behind_a_redirect(server):
    assert fetch(f"{server[0]}/good.jpg", limits()) == JPEG
    assert fetch(f"{server[0]}/moved", limits()) == JPEG


@pytest.mark.parametrize(
    ("path", "message", "passing"),
    [
        ("nothing", "HTTP 404", False),
        ("flaky", "HTTP 500", True),
        ("busy", "HTTP 429", True),
        ("cut", "cut off", True),
        ("huge", "larger than 1 MiB", False),
        ("endless", "larger than 1 MiB", False),
        ("private", r"10\.0\.0\.1 is no public host", False),
        ("loop", "more than 5 redirects", False),
        ("to-file", "file address, only http and https are fetched", False),
    ],
)
def test_what_goes_wrong(server, path, message, passing):
    with pytest.raises(FetchError, match=message) as caught:
        fetch(f"{server[0]}/{path}", limits())
    assert caught.value.passing is passing


class KeepingOpen(BaseHTTPRequestHandler):
    """Answers any number of requests on one connection, and counts the connections and what was asked."""

    protocol_version = "HTTP/1.1"
    connections: list
    asked: list

    def setup(self):
        self.connections.append(self.client_address)
        super().setup()

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append((self.headers["Host"], self.path))
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(JPEG)))
        self.end_headers()
        self.wfile.write(JPEG)


@contextlib.contextmanager
def serving(wrap=lambda link: link):
    handler = type("Handler", (KeepingOpen,), {"connections": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, handler
    finally:
        server.shutdown()
        server.server_close()


def all_at_home(monkeypatch):
    """Let every name be this machine's, as a name server would say."""
    real = socket.getaddrinfo

    def answer(host, port, *more, **options):
        return real("127.0.0.1", port, *more, **options)

    monkeypatch.setattr(fetching.socket, "getaddrinfo", answer)


def test_a_connection_serves_several_pictures_of_its_host_alone(monkeypatch):
    all_at_home(monkeypatch)
    with serving() as (port, handler):
        for path in ("a.jpg", "b.jpg", "/c.jpg"):
            assert fetch(f"http://one.example:{port}/{path}", limits()) == JPEG
        assert len(handler.connections) == 1
        with pytest.raises(FetchError, match="HTTP 404"):
            fetch(f"http://one.example:{port}/missing", limits())
        assert fetch(f"http://one.example:{port}/d.jpg", limits()) == JPEG, "an error leaves nothing behind"
        assert handler.asked[2] == (f"one.example:{port}", "/c.jpg")


def test_every_request_is_judged_also_on_an_open_connection(monkeypatch):
    all_at_home(monkeypatch)
    with serving() as (port, handler):
        assert fetch(f"http://shop.example:{port}/a.jpg", limits()) == JPEG
        with pytest.raises(FetchError, match=r"shop\.example is no public host"):
            fetch(f"http://shop.example:{port}/a.jpg", Limits())
        assert len(handler.asked) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_is_checked_for_the_name_of_the_host(monkeypatch, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=shop.example"
    names = ["-addext", "subjectAltName=DNS:shop.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    all_at_home(monkeypatch)
    with serving(lambda link: context.wrap_socket(link, server_side=True)) as (port, handler):
        with pytest.raises(FetchError, match="certificate verify failed"):
            fetch(f"https://shop.example:{port}/a.jpg", limits())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"https://shop.example:{port}/a.jpg", limits()) == JPEG
        assert fetch(f"https://shop.example:{port}/b.jpg", limits()) == JPEG
        with pytest.raises(FetchError, match=r"other\.example"):
            fetch(f"https://other.example:{port}/a.jpg", limits())
        assert [host for host, _ in handler.asked] == [f"shop.example:{port}"] * 2


def test_a_server_that_drips_is_cut_at_the_time_limit(server):
    began = time.monotonic()
    with pytest.raises(FetchError, match="too slow") as caught:
        fetch(f"{server[0]}/slow", limits(seconds=0.3))
    assert time.monotonic() - began < 15, "of the 40 seconds that it drips"
    assert caught.value.passing


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/x", "ftp address, only http and https"),
        ("images/x.jpg", "no address, only http and https"),
        ("http://[broken/x", "no address"),
        ("http://127.0.0.1:99999/x", "no address"),
        ("http://127.0.0.1/a b", "no well-formed address"),
        ("http://127.0.0.1/é", "no well-formed address"),
        ("http://localhost/x", "localhost is no public host"),
    ],
)
def test_addresses_that_are_not_fetched(url, message):
    with pytest.raises(FetchError, match=message):
        fetch(url, Limits())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "0.0.0.0",
        "::ffff:10.0.0.1",
    ],
)
def test_private_addresses_are_not_public(address):
    assert not is_public(address)
    assert is_public("151.101.1.69")


def test_one_private_answer_of_a_name_server_is_enough_to_refuse(monkeypatch):
    answers = [(2, 1, 6, "", (ip, 80)) for ip in ("151.101.1.69", "10.0.0.1")]
    monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(FetchError, match=r"shop\.example is no public host"):
        fetch("http://shop.example/x", Limits())


def test_a_closed_port_may_open_later():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match="refused") as caught:
        fetch(f"http://127.0.0.1:{port}/x", limits())
    assert caught.value.passing


def test_pictures_are_told_by_their_first_bytes():
    starts = (JPEG, PNG, b"GIF89a", b"RIFF1234WEBP", b"<html>", b"")
    assert [picture_suffix(data) for data in starts] == ["jpg", "png", "gif", "webp", None, None]


def test_the_pace_is_kept_over_all_threads():
    pace = Pace(100.0)
    began = time.monotonic()
    threads = [threading.Thread(target=pace.wait) for _ in range(11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.1


def test_a_stopped_pace_lets_nobody_begin():
    pace = Pace(1000.0)
    pace.stop()
    with pytest.raises(PaceStoppedError):
        pace.wait()


@pytest.fixture
def dump(tmp_path, server):
    """Nine products that were reviewed, one that was not; addresses on the misbehaving server."""
    paths = {
        "A1": ["good.jpg"],
        "A2": ["nothing", "good.png"],
        "A3": ["flaky"],
        "A4": ["html"],
        "A5": ["nothing"],
        "A6": [],
        "A.7": ["good.jpg"],
        "A8": ["private"],
        "A9": ["good.jpg"],
    }
    reviews = [{"reviewerID": "u", "asin": item, "unixReviewTime": 1} for item in paths]
    products = [
        {"asin": item, "imageURL": [f"{server[0]}/{path}" for path in each]} for item, each in paths.items()
    ]
    products.append({"asin": "B1", "imageURL": [f"{server[0]}/never"]})
    for name, rows in (("Toys_and_Games_5.json", reviews), ("meta_Toys_and_Games.json", products)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "A9.jpg").write_bytes(b"kept")
    return tmp_path


QUICK = DownloadSettings(workers=4, rate=1000.0, backoff=0.01, retries=2)


def test_a_download_end_to_end_and_again(dump, server):
    summary = download_images("toy", QUICK, dump, local)
    assert summary.data == {
        "stage": "download-images",
        "there_before": 1,
        "fetched": 3,
        "failed": 4,
        "reasons": {
            "HTTP 404": 1,
            "no picture (by its first bytes)": 1,
            "the item's id is no file name": 1,
            "10.0.0.1 is no public host": 1,
        },
    }
    assert sorted(path.name for path in (dump / "images").iterdir()) == [
        "A1.jpg",
        "A2.png",
        "A3.jpg",
        "A9.jpg",
    ]
    assert (dump / "images" / "A9.jpg").read_bytes() == b"kept"
    failures = (dump / "download-failures.tsv").read_text().splitlines()
    assert failures[0] == "item\treason\taddresses"
    assert failures[2] == f"A4\tno picture (by its first bytes)\t{server[0]}/html"
    before = server[1].copy()
    again = download_images("toy", QUICK, dump, local)
    assert (again.data["there_before"], again.data["fetched"], again.data["failed"]) == (4, 0, 4)
    assert server[1]["/good.jpg"] == before["/good.jpg"]
    assert server[1]["/never"] == 0


def test_retries_end(dump, server):
    (dump / "meta_Toys_and_Games.json").write_text(
        json.dumps({"asin": "A1", "imageURL": [f"{server[0]}/cut"]}) + "\n"
    )
    summary = download_images("toy", QUICK, dump, local)
    assert summary.data["reasons"] == {"cut off": 1}
    assert server[1]["/cut"] == 3


def test_sets_without_addresses(tmp_path, dump):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ratings.dat").write_text("1::2::3::4\n")
    (tmp_path / "ml" / "movies.dat").write_text("2::Film::Drama\n")
    with pytest.raises(UsageError, match=r"movielens lists no addresses of pictures; see docs/datasets\.md"):
        download_images("movielens", QUICK, tmp_path / "ml", local)
    (dump / "meta_Toys_and_Games.json").write_text('{"asin": "other"}\n')
    (dump / "images" / "A9.jpg").unlink()
    with pytest.raises(DataError, match="no item that was acted on has an address of a picture"):
        download_images("toy", QUICK, dump, local)


def test_a_download_of_nothing_at_all_fails(dump, server):
    shutil.rmtree(dump / "images")
    (dump / "meta_Toys_and_Games.json").write_text(
        json.dumps({"asin": "A5", "imageURL": [f"{server[0]}/nothing"]}) + "\n"
    )
    with pytest.raises(
        DataError, match=r"none of 1 pictures could be fetched, the first: HTTP 404; .*failures"
    ):
        download_images("toy", QUICK, dump, local)
    assert "A5\tHTTP 404" in (dump / "download-failures.tsv").read_text()


@pytest.mark.parametrize(
    "url", ["http://images..amazon.com/x.jpg", f"http://{'a' * 64}.com/x", "https://./x"]
)
def test_a_host_that_no_name_server_could_know(url):
    with pytest.raises(FetchError, match="no well-formed address"):
        fetch(url, Limits(5, 1000, local))


@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "fec0::1", "224.0.0.1", "ff02::1"]
)
def test_private_addresses_in_the_clothes_of_others_are_not_public(address):
    assert not is_public(address)


def test_a_public_address_behind_a_translator_is_public():
    assert is_public("64:ff9b::808:808")


def test_a_certificate_that_is_refused_is_told_and_tried_again(monkeypatch):
    def refused(*_):
        raise ssl.SSLCertVerificationError("certificate verify failed")

    monkeypatch.setattr(fetching, "_once", refused)
    with pytest.raises(FetchError, match="certificate verify failed") as caught:
        fetch("https://example.org/x", Limits())
    assert caught.value.passing
