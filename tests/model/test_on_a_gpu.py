"""What only happens on a GPU: tensors must meet on one device, and leave it by `cpu()` alone.

On a machine with a GPU these tests run on it. Elsewhere they run on a pretended one: a tensor "on the GPU" is
a wrapper that holds its numbers in a tensor on the CPU, says that its device is cuda:0, refuses to meet
tensors of the CPU as CUDA would, and refuses to become a NumPy array. Speed, memory and the numbers of CUDA's
own kernels cannot be tested so.
"""

from __future__ import annotations

import itertools

import pytest
import torch
import torch._dynamo  # before anything is replaced: it notes at its import what torch's functions are
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from tssr.core.device import choose_device
from tssr.core.errors import TssrError
from tssr.model.checkpoint import load_checkpoint, save_checkpoint
from tssr.model.content import EncoderTraining, trained_contents
from tssr.model.materials import Materials, TrainableContent
from tssr.model.recommender import NeuralRecommender
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings
from tssr.model.trainer import TrainState
from tssr.model.training_steps import TrainingSteps
from tssr.testing import contract

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda:0")
aten = torch.ops.aten
# CUDA lets indices lie on the CPU, and copies between devices.
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
COPYING = {aten._to_copy.default, aten.copy_.default}
NEW = {getattr(aten, f"new_{what}").default for what in ("zeros", "ones", "empty", "full", "empty_strided")}

DRAWING = {
    "bpr-mf",
    "cl4srec",
}  # models whose steps draw on the device: a real GPU has random numbers of its own


class OnGPU(Tensor):
    """A tensor on the pretended GPU; `held` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)

    @staticmethod
    def __new__(cls, held):
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device="cpu", **layout)

    def __init__(self, held):
        self.held = held

    def cpu(self):
        return _Moved.apply(self, _held)

    def to(self, *args, **kwargs):
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
        wanted = {key: value for key, value in (("dtype", dtype), ("memory_format", layout)) if value}
        changed = super().to(**wanted) if wanted else self
        return changed.cpu() if device is not None and device.type == "cpu" else changed

    def tolist(self):
        return self.held.tolist()

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __deepcopy__(self, memo):
        copied = OnGPU(self.held.detach().clone())
        return nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied

    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, size, stride):
        return OnGPU(inner["held"])

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class _Moved(torch.autograd.Function):
    """A copy on the other device; its gradient goes back."""

    @staticmethod
    def forward(ctx, tensor, moved):
        return moved(tensor.detach()).clone() if moved is _held else moved(tensor.detach().clone())

    @staticmethod
    def backward(ctx, gradient):
        return (_held(gradient) if isinstance(gradient, OnGPU) else OnGPU(gradient)), None


def _held(tensor):
    return tensor.held if isinstance(tensor, OnGPU) else tensor


def computed(operation, args, kwargs):
    """What the operation gives on the numbers that tensors of the pretended GPU hold."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, OnGPU)]
    if there and operation is aten._fused_sdp_choice.default:
        return 0  # attention from plain products
    if there and operation not in COPYING:
        others = [each for each in tensors if not isinstance(each, OnGPU) and each.ndim]
        if operation in INDEXING and isinstance(args[0], OnGPU):
            others = [each for each in others if not any(each is index for index in args[1])]
        assert not others, f"tensors of two devices meet in {operation}"
    asked = kwargs.get("device")
    asks = asked is not None and torch.device(asked).type == "cuda"
    on_gpu = asks or (isinstance(args[0], OnGPU) if operation in COPYING | NEW else bool(there))
    plain, options = tree_map(_held, (args, kwargs))
    result = operation(*plain, **(options | {"device": torch.device("cpu")} if asks else options))
    if not on_gpu:
        return result
    result = tree_map(lambda each: OnGPU(each) if type(each) is Tensor else each, result)
    as_before = operation in NEW | {aten._to_copy.default, aten.equal.default} or not there
    return result if as_before else return_and_correct_aliasing(operation, args, kwargs, result)


class PretendedGPU(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


def _is_gpu(device):
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


def pretend(patch):
    """Let torch say that it sees a GPU, and take the ways that its C++ code would take by itself."""
    to, tensor, as_tensor, autocast = Tensor.to, torch.tensor, torch.as_tensor, torch.autocast.__init__
    enabled, cast = torch.is_autocast_enabled, torch.get_autocast_dtype

    def moved(self, *args, **kwargs):
        wanted, *rest = args or [kwargs.pop("device", None)]
        wanted = wanted.device if isinstance(wanted, Tensor) else wanted
        if not _is_gpu(wanted):
            return to(self, *args, **kwargs) if args else to(self, wanted, **kwargs)
        kwargs.pop("non_blocking", None)
        here = to(self, *rest[:1], **kwargs) if rest or kwargs else self
        return _Moved.apply(here, OnGPU)

    def made(make):
        return lambda data, device=None, **options: (
            make(data, **options).to(device) if _is_gpu(device) else make(data, device=device, **options)
        )

    patch(Tensor, "to", moved)
    patch(Tensor, "pin_memory", lambda self: self.clone())
    patch(torch, "tensor", made(tensor))
    patch(torch, "as_tensor", made(as_tensor))
    patch(torch, "inference_mode", torch.no_grad)
    patch(torch, "is_autocast_enabled", lambda device="cpu": enabled("cpu"))
    patch(torch, "get_autocast_dtype", lambda device="cpu": cast("cpu"))
    patch(
        torch.autocast, "__init__", lambda self, device, *rest, **more: autocast(self, "cpu", *rest, **more)
    )
    patch(torch, "_has_compatible_shallow_copy_type", lambda one, other: False)
    patch(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda self: None)
    patch(torch.optim.Optimizer, "_cuda_graph_capture_health_check", lambda self: None)
    patch(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
    patch(torch.cuda, "_lazy_init", lambda: None)
    patch(torch.cuda, "is_available", lambda: True)
    patch(torch.cuda, "device_count", lambda: 1)
    patch(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    patch(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
    patch(torch.cuda, "set_rng_state", lambda state, device=None: torch.set_rng_state(state))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, real or pretended."""
    if torch.cuda.is_available():
        yield choose_device("cuda")
        return
    pretend(lambda place, name, value: monkeypatch.setattr(place, name, value, raising=False))
    with PretendedGPU():
        yield choose_device("cuda")


def steps_on(device, model, precision="float32"):
    """Steps of a model on the ring."""
    model.to(device)
    settings = TrainSettings(batch_size=16, learning_rate=1e-2, device=str(device), precision=precision)
    return TrainingSteps(model, model.samples(contract.ring(), "all", device), settings)


def test_tensors_of_two_devices_do_not_meet(gpu):
    rows = torch.ones(3, 2, device=gpu)
    with pytest.raises((RuntimeError, AssertionError), match="device"):
        rows + torch.ones(3, 2)
    with pytest.raises((RuntimeError, AssertionError), match="device"):
        torch.ones(3)[torch.zeros(2, dtype=torch.int64, device=gpu)]
    with pytest.raises(TypeError, match="cuda:0"):
        rows.numpy()
    assert (2 * rows)[torch.tensor([1, 2])].sum().cpu().numpy() == 8


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_learns_and_answers_as_on_the_cpu(gpu, name):
    first, answers = [], []
    for device in (contract.CPU, gpu):
        fields = MODELS[name].settings.model_fields
        model = contract.small_model(name, contents=2, **{key: 0.0 for key in fields if "dropout" in key})
        if isinstance(model, NeuralRecommender):
            steps = steps_on(device, model)
            torch.manual_seed(3)
            terms = steps.take(0)
            first.append(torch.stack([term.float().cpu() for term in terms.values()]))
            steps.take(1)
            model.eval()
        elif isinstance(model, nn.Module):
            model.to(device)
        answers.append(contract.answers(model).cpu())
    assert all(bool(found.isfinite().all()) for found in answers)
    if name in DRAWING and not isinstance(torch.ones(1, device=gpu), OnGPU):
        return
    for one, other in itertools.pairwise(first):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    # Adam's first steps are as long for a small gradient as for a large one, so rounding may turn a few.
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-2, atol=5e-2)


@pytest.mark.parametrize("name", ["tssr", "gru4rec", "unisrec", "bpr-mf"])
def test_a_step_in_bfloat16_is_finite(gpu, name):
    steps = steps_on(gpu, contract.small_model(name, contents=2), "bfloat16")
    terms = [steps.take(0), steps.take(1)][1]
    assert all(bool(term.isfinite()) for term in terms.values())


PICTURES = torch.randn(contract.ITEM_COUNT, 5, generator=torch.Generator().manual_seed(2))


def with_trained_encoder(device, **changed):
    """TSSR with an encoder that draws dropout, in chunks of two."""
    contents = torch.arange(contract.ITEM_COUNT + 1).to(device) - 1

    def read(numbers):
        return (PICTURES[numbers].to(device),)

    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.2), nn.Linear(6, 4))
    training = EncoderTraining(1e-2, 0.0, 2, train_batchnorm=False)
    source = TrainableContent("image", encoder, read, contents, 4, training)
    train = contract.ring()
    materials = Materials(
        contract.ITEM_COUNT, contract.LENGTH, [source], train, torch.from_numpy(train.counts())
    )
    return MODELS["tssr"].build(materials, MODELS["tssr"].settings(**contract.SMALL, **changed))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_of_an_encoder_goes_on_to_the_same_numbers(gpu, precision, tmp_path):
    steps = steps_on(gpu, with_trained_encoder(gpu), precision)
    steps.take(0)
    save_checkpoint(tmp_path / "state", steps.model, steps.optimizer, TrainState(step=1))
    steps.take(1)
    resumed = steps_on(gpu, with_trained_encoder(gpu), precision)
    load_checkpoint(tmp_path / "state", resumed.model, resumed.optimizer)
    resumed.take(1)
    for one, other in zip(steps.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(one.detach().cpu(), other.detach().cpu(), rtol=1e-5, atol=1e-6)
    steps.model.eval()
    (content,) = trained_contents(steps.model)
    assert content.encode_all().cpu().shape == (contract.ITEM_COUNT + 1, 4)


@pytest.mark.parametrize("scale", ["standard", "whiten"])
def test_vectors_of_an_untrained_encoder_are_scaled_before_the_model_is_on_the_gpu(gpu, scale):
    steps = steps_on(gpu, with_trained_encoder(gpu, content_scale=scale))
    assert all(bool(term.isfinite()) for term in steps.take(0).values())


def test_memory_that_runs_out_while_all_items_are_encoded_names_the_setting(gpu):
    (content,) = trained_contents(with_trained_encoder(gpu).eval().to(gpu))

    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    content.encoder.forward = too_much
    with pytest.raises(TssrError, match=r"GPU memory encoding all items; lower --encoder-chunk \(now 2\)$"):
        content.encode_all()
