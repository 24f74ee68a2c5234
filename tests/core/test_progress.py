import pytest

from tssr.core import progress as module
from tssr.core.progress import note, progress


@pytest.fixture
def clock(monkeypatch):
    """Time stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_piped_loop_says_a_line_every_ten_seconds(clock, capsys):
    with progress("ranking", 300, "users") as advance:
        for _ in range(30):
            clock[0] += 1.0
            advance(10, text="so far")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "ranking: 100/300 users, 10.0/s, so far",
        "ranking: 200/300 users, 10.0/s, so far",
        "ranking: 300/300 users, 10.0/s, so far",
    ]


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        ("0", ["for all\n", "mine\n"]),
        ("1", ["", "process 1 of this torchrun: mine\n"]),
        (None, ["for all\n", "mine\n"]),
    ],
)
def test_under_torchrun_a_line_that_all_know_is_said_once(monkeypatch, capsys, rank, said):
    if rank is not None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
    note("for all")
    for_all = capsys.readouterr().err
    note("mine", known_to_all=False)
    assert [for_all, capsys.readouterr().err] == said


def test_an_unknown_end_is_left_out(clock, capsys):
    with progress("training", None, "steps") as advance:
        clock[0] += 20.0
        advance()
    assert capsys.readouterr().err == "training: 1 steps, 0.1/s\n"


def test_a_quick_loop_says_nothing_when_piped(clock, capsys):
    with progress("reading", 2, "rows") as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_stays_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("reading", 2, "rows") as advance:
        advance(text="newest")
        advance()
    assert capsys.readouterr().out == ""


def test_notes_go_to_stderr(capsys):
    note("hello")
    assert capsys.readouterr() == ("", "hello\n")
