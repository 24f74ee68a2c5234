"""Pictures decoded by threads in turn with the encoder leave the process as they found it."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
import torch

from tssr.features.batches import picture_batches
from tssr.features.content import SOURCE, content_key
from tssr.features.content_batch import Chunk, LoaderOptions
from tssr.features.encoder import ContentEncoder
from tssr.features.encoding import encode_chunks
from tssr.features.modality import MODALITIES
from tssr.features.settings import FeatureSettings
from tssr.features.store import KEY, KEY_TYPE


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_thread_that_decodes_has_torch_for_itself_and_later_ones_as_before(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    content = pa.table({SOURCE: ["a"], KEY: pa.array([content_key(b"a")], KEY_TYPE)})
    options = LoaderOptions(batch_size=1, workers=0, threads=1, pin_memory=False)

    def prepare(_picture):
        warnings.warn("odd metadata", stacklevel=1)
        return np.array([torch.get_num_threads()])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (batch,) = picture_batches(content, [Chunk(0, np.array([0]))], tmp_path, prepare, options)
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
    assert batch.inputs[0].item() == 1
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("how", ["stopped early", "a picture fails"])
def test_later_threads_are_as_before_however_the_decoding_ends(tmp_path, how):
    (tmp_path / "a").write_bytes(b"a")
    content = pa.table({SOURCE: ["a", "a"], KEY: pa.array([content_key(b"a")] * 2, KEY_TYPE)})
    options = LoaderOptions(batch_size=1, workers=0, threads=1, pin_memory=False)

    def prepare(_picture):
        if how == "a picture fails":
            raise RuntimeError(how)
        return np.array([0])

    batches = picture_batches(content, [Chunk(0, np.array([0, 1]))], tmp_path, prepare, options)
    if how == "a picture fails":
        with pytest.raises(RuntimeError, match=how):
            next(batches)
    else:
        next(batches)
        batches.close()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


def test_an_encoder_that_fails_leaves_no_decoding_thread_behind(tmp_path):
    """A notebook keeps the last error with its traceback, as this test does."""

    class Failing(torch.nn.Module):
        def forward(self, _pictures):
            raise RuntimeError("no memory")

    (tmp_path / "a").write_bytes(b"a")
    encoder = ContentEncoder("failing", 2, {}, lambda _picture: np.zeros(3, np.float32), Failing())
    content = pa.table({SOURCE: ["a"], KEY: pa.array([content_key(b"a")], KEY_TYPE)})
    chunks = [Chunk(0, np.array([0]))]
    settings = FeatureSettings(modality=("image",), device="cpu")
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="no memory") as kept:
        encode_chunks(MODALITIES["image"], encoder, content, chunks, tmp_path, tmp_path, settings, print)
    assert set(threading.enumerate()) == before
    assert kept.traceback
