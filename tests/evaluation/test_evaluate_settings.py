import subprocess
import sys

import pytest

from tssr.core.errors import UsageError
from tssr.core.settings import resolve
from tssr.evaluation.settings import EvaluateSettings


def test_defaults_are_the_headline_protocol():
    settings = EvaluateSettings()
    assert (settings.topk, settings.mask[0], settings.split) == ((10, 20), "none", "test")


def test_ranks_are_kept_as_deep_as_the_longest_list():
    assert EvaluateSettings().depth == 100
    assert EvaluateSettings(topk=(10, 500)).depth == 500


def test_every_field_is_described():
    assert all(field.description for field in EvaluateSettings.model_fields.values())


@pytest.mark.parametrize("topk", [[0], [10, -1]])
def test_lists_of_no_items_are_refused(topk):
    with pytest.raises(UsageError, match="--topk: list lengths should be 1 or more"):
        resolve(EvaluateSettings, {"topk": topk})


def test_settings_load_nothing_heavy():
    # What is there before may come from the machine: a sitecustomize that sets torch's precision loads torch.
    code = (
        "import sys; before = {*sys.modules}; import tssr.evaluation.settings; "
        "print({'torch', 'faiss', 'numpy', 'pyarrow'} & ({*sys.modules} - before))"
    )
    assert subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip() == ("set()")
