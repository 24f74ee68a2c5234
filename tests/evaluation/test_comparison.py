import pytest

from tssr.core.errors import ArtifactError, UsageError
from tssr.evaluation.comparison import compare
from tssr.evaluation.measurement import Measurement, Protocol

PROTOCOL = Protocol("test", 1000, 800, "none", None)


def measured(recall, ndcg, protocol=PROTOCOL):
    return Measurement(protocol, {"recall@10": recall, "ndcg@10": ndcg, "mrr@10": 0.01, "recall@20": 0.5})


def test_gains_stand_beside_the_numbers():
    comparison = compare(
        {
            "PopRec": [measured(0.02, 0.01)],
            "SASRec-ID": [measured(0.1, 0.05)],
            "TSSR": [measured(0.125, 0.06)],
        },
        reference="SASRec-ID",
        topk=(10,),
    )
    assert comparison.columns == ["model", "Recall@10", "NDCG@10"]
    assert comparison.rows() == [
        ["PopRec", "0.0200 (-80.0%)", "0.0100 (-80.0%)"],
        ["SASRec-ID", "0.1000", "0.0500"],
        ["TSSR", "0.1250 (+25.0%)", "0.0600 (+20.0%)"],
    ]
    assert comparison.record()["models"]["TSSR"]["gain"]["recall@10"] == pytest.approx(1 / 4)
    assert comparison.markdown() == (
        "| model | Recall@10 | NDCG@10 |\n"
        "| --- | ---: | ---: |\n"
        "| PopRec | 0.0200 (-80.0%) | 0.0100 (-80.0%) |\n"
        "| SASRec-ID | 0.1000 | 0.0500 |\n"
        "| TSSR | **0.1250 (+25.0%)** | **0.0600 (+20.0%)** |\n"
        "\n"
        "In brackets: gain over SASRec-ID. test split, 1,000 users, all 800 items ranked, "
        "history mask none, ties by mid-rank.\n"
    )


def test_means_and_deviations_over_seeds_and_the_gain_of_the_focus():
    comparison = compare(
        {
            "ID": [measured(0.1, 0.05)],
            "Hybrid": [measured(0.11, 0.04), measured(0.13, 0.04)],
            "TSSR": [measured(0.14, 0.06), measured(0.16, 0.06)],
        },
        reference=None,
        topk=(10,),
        focus="TSSR",
    )
    assert comparison.deviation("TSSR", "recall@10") == pytest.approx(0.02 / 2**0.5)
    assert comparison.deviation("ID", "recall@10") is None
    assert comparison.rows() == [
        ["ID", "0.1000", "0.0500"],
        ["Hybrid", "0.1200 ± 0.0141", "0.0400 ± 0.0000"],
        ["TSSR", "0.1500 ± 0.0141", "0.0600 ± 0.0000"],
        ["TSSR over the best other", "+25.0% (Hybrid)", "+20.0% (ID)"],
    ]
    assert comparison.note().startswith("Mean ± standard deviation over 2 seeds. test split")


def test_a_focus_alone_has_no_best_other():
    comparison = compare({"A": [measured(0.1, 0.1)]}, None, (10,), focus="A")
    assert comparison.rows() == [["A", "0.1000", "0.1000"]]


def test_there_is_no_gain_over_nothing():
    comparison = compare({"A": [measured(0.0, 0.0)], "B": [measured(0.1, 0.0)]}, "A", (10,))
    assert comparison.rows()[1] == ["B", "0.1000", "0.0000"]
    assert comparison.record()["models"]["B"]["gain"] == {"recall@10": None, "ndcg@10": None}


def test_what_cannot_be_compared_is_refused():
    hard = Protocol("test", 1000, 800, "hard", None)
    one = [measured(0.1, 0.1)]
    with pytest.raises(UsageError, match=r"TSSR and ID cannot be compared: .* mask hard.*ID on .* mask none"):
        compare({"ID": one, "TSSR": [measured(0.1, 0.1, hard)]}, "ID", (10,))
    with pytest.raises(UsageError, match=r"TSSR and TSSR cannot be compared: .* mask hard"):
        compare({"TSSR": [*one, measured(0.1, 0.1, hard)]}, "TSSR", (10,))
    with pytest.raises(UsageError, match="the reference SASRec-ID is not among the models: TSSR"):
        compare({"TSSR": one}, "SASRec-ID", (10,))
    with pytest.raises(UsageError, match="the focus SASRec-ID is not among the models: TSSR"):
        compare({"TSSR": one}, None, (10,), focus="SASRec-ID")
    with pytest.raises(UsageError, match=r"TSSR was not measured at ndcg@20; evaluate it with --topk 10 20"):
        compare({"TSSR": one}, "TSSR", (10, 20))


def test_measurements_come_back_from_their_records():
    measurement = measured(0.1, 0.2)
    assert Measurement.from_record(measurement.record()) == measurement
    for bad in ({}, {"protocol": {"split": "test"}, "metrics": {}}, {"protocol": {"mode": 1}, "metrics": {}}):
        with pytest.raises(ArtifactError, match="another version of tssr; measure again with: tssr evaluate"):
            Measurement.from_record(bad)
