import json

import pytest

from tssr.cli import main


def write_log(folder):
    rows = [f"u{user},i{item},{item}" for user in range(6) for item in range(6)]
    (folder / "log.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")


def arguments(tmp_path, *more):
    mapping = "user=user,item=item,time=time"
    log = str(tmp_path / "log.csv")
    return [
        "preprocess",
        "custom",
        "--interactions",
        log,
        "--map",
        mapping,
        "--workspace",
        str(tmp_path / "w"),
        *more,
    ]


def test_the_table_and_the_json(tmp_path, capsys):
    write_log(tmp_path)
    main(arguments(tmp_path))
    shown = capsys.readouterr().out
    assert "5-core" in shown
    assert "Left: 6 users, 6 items, 36 actions, 6.0 per item, 6.0 per user" in shown
    main(arguments(tmp_path, "--json"))
    result = json.loads(capsys.readouterr().out)
    assert result["cached"] is True
    assert result["counts"] == {"users": 6, "items": 6, "actions": 36}


def test_the_result_has_the_name_one_gives_it(tmp_path, capsys):
    write_log(tmp_path)
    main(arguments(tmp_path, "--dataset", "mine"))
    assert (tmp_path / "w" / "datasets" / "mine" / "manifest.json").is_file()
    assert "Data set mine" in capsys.readouterr().out


def test_settings_come_from_a_file_and_options_win(tmp_path, capsys):
    write_log(tmp_path)
    (tmp_path / "c.toml").write_text("[preprocess]\nmin-actions = 7\n")
    with pytest.raises(SystemExit, match="1"):
        main(arguments(tmp_path, "--config", str(tmp_path / "c.toml")))
    assert "error: step '7-core' left nothing" in capsys.readouterr().err
    main(arguments(tmp_path, "--config", str(tmp_path / "c.toml"), "--min-actions", "6"))
    assert "6-core" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--min-actions", "-1"), "2", "--min-actions: should be greater than or equal to 0, not -1"),
        (("--keep-last", "1"), "2", "--keep-last: should be greater than or equal to 3, not 1"),
        (("--split", "time"), "2", "--split time needs --test-from"),
        (("--test-from", "2020-01-01"), "2", "--test-from and --validation-from belong to --split time"),
        (("--dataset", "../x"), "2", "--dataset '../x': use letters, digits"),
        (("--map", "user=user"), "2", "--map lacks item=COLUMN"),
    ],
)
def test_errors_are_one_line_with_a_code(tmp_path, capsys, more, code, message):
    write_log(tmp_path)
    with pytest.raises(SystemExit, match=code):
        main(arguments(tmp_path, *more))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_wrong_format_lists_the_formats(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["preprocess", "hn"])
    assert "'hm'" in capsys.readouterr().err


def test_the_default_raw_folder_is_in_the_workspace(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["preprocess", "hm", "--workspace", str(tmp_path)])
    assert f"there is no folder {tmp_path / 'raw' / 'hm'}" in capsys.readouterr().err
