import importlib.util
import json

import pytest

from tssr.core.errors import TssrError, UsageError
from tssr.model.tracking import LOG_FILE, TENSORBOARD_FOLDER, RunLog, require_tensorboard


def curves(folder):
    """What TensorBoard shows: the points of each curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / TENSORBOARD_FOLDER)).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def write(folder, steps, after=0, **kind):
    with RunLog(folder, after, **kind) as log:
        for step in steps:
            log.write({"step": step, "loss_ce": step / 8})


def test_tensorboard_shows_the_numbers_of_the_log(tmp_path):
    write(tmp_path, [10, 20], tensorboard=True)
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert curves(tmp_path) == {"loss_ce": [(line["step"], line["loss_ce"]) for line in lines]}
    assert lines[-1] == {"step": 20, "loss_ce": 2.5}


def test_a_resumed_run_writes_each_point_once(tmp_path):
    write(tmp_path, [10, 20, 30], tensorboard=True)
    write(tmp_path, [20, 30], after=10, tensorboard=True)
    assert [step for step, _ in curves(tmp_path)["loss_ce"]] == [10, 20, 30]
    assert len((tmp_path / LOG_FILE).read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    write(tmp_path, [10, 20], tensorboard=False)
    whole = (tmp_path / LOG_FILE).read_text()
    for line in ('{"step": 3', "[" * 100_000):
        (tmp_path / LOG_FILE).write_text(whole + line)
        write(tmp_path, [], after=20, tensorboard=False)
        assert (tmp_path / LOG_FILE).read_text() == whole


def test_nothing_but_the_log_unless_asked(tmp_path):
    write(tmp_path, [10], tensorboard=False)
    assert [path.name for path in tmp_path.iterdir()] == [LOG_FILE]


def test_a_missing_extra_says_how_to_install_it(monkeypatch):
    require_tensorboard()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--tensorboard needs TensorBoard: pip install 'tssr\[tracking\]'"):
        require_tensorboard()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    with RunLog(tmp_path, 0, tensorboard=False) as log:
        (tmp_path / LOG_FILE).unlink()
        (tmp_path / LOG_FILE).mkdir()
        with pytest.raises(TssrError, match=r"could not write .*log\.jsonl"):
            log.write({"step": 1, "loss": 2.0})
