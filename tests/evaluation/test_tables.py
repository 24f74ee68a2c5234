import csv
import doctest
import io

from tssr.evaluation import tables
from tssr.evaluation.tables import csv_table, latex_table, markdown_table

COLUMNS = ["model", "Recall@10"]
ROWS = [["a_b & co", "**0.1 ± 0.2 (+5.0%)**"], ["****", ""]]


def test_docstring_examples():
    assert doctest.testmod(tables) == (0, 2)


def test_markdown():
    assert markdown_table(COLUMNS, ROWS[:1]) == (
        "| model | Recall@10 |\n| --- | ---: |\n| a_b & co | **0.1 ± 0.2 (+5.0%)** |\n"
    )


def test_latex_escapes_what_is_no_text_there():
    assert latex_table(COLUMNS, [*ROWS, ["~^\\{}$#%", "\N{EN DASH}"]]).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & Recall@10 \\",
        r"\midrule",
        r"a\_b \& co & \textbf{0.1 $\pm$ 0.2 (+5.0\%)} \\",
        r"**** &  \\",
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}\$\#\% & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_comes_back_as_it_was():
    text = csv_table(["a", "b"], [["x,y", 0.1], ['"', None]])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["x,y", "0.1"], ['"', ""]]
