"""bfloat16 keeps 8 bits, so a product is right to about 1 part in 256; the sums beside it are float32."""

import pytest
import torch
import torch.nn.functional as F

from tssr.model import softmax
from tssr.model.cl4srec import view_contrast
from tssr.model.precision import training_autocast
from tssr.model.registry import MODELS
from tssr.model.softmax import full_softmax
from tssr.model.training_steps import TrainingSteps

CPU = torch.device("cpu")
NEURAL = [name for name, spec in MODELS.items() if spec.trained]


@pytest.mark.parametrize(
    ("capabilities", "auto"),
    [
        ({}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_follows_what_the_processor_has(monkeypatch, capabilities, auto):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    for precision, dtype in (("auto", auto), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with training_autocast(precision, CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_auto_follows_what_the_gpu_has(monkeypatch):
    old, new = torch.device("cuda:0"), torch.device("cuda:1")
    capability = {old: (7, 5), new: (9, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability.__getitem__)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, enabled: (device, dtype, enabled))
    assert training_autocast("auto", old) == ("cuda", torch.bfloat16, False)
    assert training_autocast("auto", new) == ("cuda", torch.bfloat16, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_contrast_of_views_is_computed_in_float32(dtype):
    """Trained states score near 128, where bfloat16 steps by a half: gradients would be off by 10 %."""
    torch.manual_seed(1)
    first = F.layer_norm(torch.randn(64, 128), (128,)).to(dtype).requires_grad_()
    second = (first.detach() + torch.randn(64, 128) / 20).to(dtype)
    others = first.detach().roll(1, 0) * 0.2 + second * 0.98  # twins are found, though not easily
    with torch.autocast("cpu", torch.bfloat16):
        view_contrast(first, others.to(dtype), 8.0).backward()
    exact = first.detach().double().requires_grad_()
    view_contrast(exact, others.to(dtype).double(), 8.0).backward()
    error = (first.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < 0.005


@pytest.mark.parametrize("items_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("states_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 64, 512])
def test_the_full_softmax_keeps_float32_sums(monkeypatch, rows, states_dtype, items_dtype):
    """However many blocks are added up, loss and gradients are as near to float64 as one product is."""
    P, N, D = 512, 40, 16
    monkeypatch.setattr(softmax, "ROWS_CPU", rows)
    torch.manual_seed(1)
    exact = [torch.randn(P, D), torch.randn(N, D) / 2, torch.randn(N)]
    targets = torch.randint(1, N + 1, (P,))
    parts = [exact[0].to(states_dtype), exact[1].to(items_dtype), exact[2]]
    exact = [part.double().requires_grad_() for part in parts]
    parts = [part.requires_grad_() for part in parts]

    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax(*parts, targets)
    loss.backward()
    expected = F.cross_entropy(exact[0] @ exact[1].T + exact[2], targets - 1)
    expected.backward()

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    assert loss.item() != pytest.approx(expected.item(), rel=1e-9), "computed in float32 after all"
    for part, reference in zip(parts, exact, strict=True):
        assert part.grad.dtype == part.dtype
        error = (part.grad.double() - reference.grad).norm() / reference.grad.norm()
        assert error < 0.01


@pytest.mark.parametrize("name", NEURAL)
def test_every_model_steps_in_bfloat16(build, ring, training, name):
    def gradients(precision):
        model = build(name, contents=2, **({} if name == "bpr-mf" else {"dropout": 0}))
        settings = training.model_copy(update={"precision": precision})
        steps = TrainingSteps(model, model.samples(ring, "all", CPU), settings)
        torch.manual_seed(2)  # what is drawn is the same
        losses = steps.take(0)
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())
        return losses, torch.cat([p.grad.flatten() for p in model.parameters()])

    losses, gradient = gradients("bfloat16")
    exact, reference = gradients("float32")
    for term, loss in losses.items():
        assert float(loss) == pytest.approx(float(exact[term]), rel=0.02), term
    assert F.cosine_similarity(gradient, reference, dim=0) > 0.99
