import pytest
import torch
from torch import nn

from tssr.core.errors import TssrError
from tssr.core.torchrun import World
from tssr.model import compiling
from tssr.model.layers import Transformer
from tssr.model.training_steps import TrainingSteps

CPU = torch.device("cpu")


@pytest.fixture
def first_losses(build, ring, training):
    """The terms of the first two steps of a model."""

    def of(name, **changed):
        model = build(name, **({} if name == "bpr-mf" else {"dropout": 0.3}))
        settings = training.model_copy(update=changed)
        steps = TrainingSteps(model, model.samples(ring, "all", CPU), settings)
        torch.manual_seed(4)
        steps.compile(0)
        return [steps.take(step) for step in range(2)]

    return of


def compile_with(monkeypatch, backend):
    """Let torch trace the encoders, and `backend` turn what it traced into code."""
    monkeypatch.setattr(Transformer, "compile", lambda self: nn.Module.compile(self, backend=backend))
    torch.compiler.reset()


def test_compiling_changes_nothing_but_the_code(monkeypatch, first_losses, capsys):
    """A backend that runs what was traced as it stands gives the same numbers, draws included."""
    expected = first_losses("tssr")
    traced = []

    def as_it_stands(graph, _inputs):
        traced.append(graph)
        return graph.forward

    compile_with(monkeypatch, as_it_stands)
    assert first_losses("tssr", compile=True) == expected
    assert traced
    assert capsys.readouterr().err == ""


def test_batches_of_any_size_stay_compiled(monkeypatch, build, ring, training):
    """However many steps are real, in training and in evaluation: none falls back to code as it stands."""
    compile_with(monkeypatch, lambda graph, _inputs: graph.forward)
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    model = build("tssr", contents=2)
    steps = TrainingSteps(
        model, model.samples(ring, "all", CPU), training.model_copy(update={"compile": True})
    )
    steps.compile(0)
    for size in (40, 60, 80, 60):
        for real in (1, 70, 5 * size - 1, 5 * size):
            inputs = (torch.arange(5 * size) >= 5 * size - real).view(size, 5).long()
            model.train().states(inputs).sum().backward()
            with torch.no_grad():
                model.eval().states(inputs)


def test_without_a_compiler_one_line_says_so_and_training_goes_on(monkeypatch, first_losses, capsys):
    expected = first_losses("tssr")

    def missing(_graph, _inputs):
        raise RuntimeError("no compiler here")

    compile_with(monkeypatch, missing)
    assert first_losses("tssr", compile=True) == expected
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--compile: torch.compile does not work here, so it trains as it is (")
    assert "no compiler here" in line


def test_a_model_without_a_transformer_says_so(first_losses, capsys):
    assert first_losses("bpr-mf", compile=True) == first_losses("bpr-mf")
    assert capsys.readouterr().err == (
        "--compile: this model has no transformer to compile, so it trains as it is\n"
    )


@pytest.mark.slow
def test_the_real_compiler_gives_the_same_loss(build, ring, training):
    def losses(**changed):
        model = build("tssr", dropout=0)
        steps = TrainingSteps(model, model.samples(ring, "all", CPU), training.model_copy(update=changed))
        steps.compile(0)
        return [float(term) for step in range(4) for term in steps.take(step).values()]

    torch.compiler.reset()
    assert losses(compile=True) == pytest.approx(losses(), rel=1e-3)


def test_among_several_processes_one_without_a_compiler_ends_them(monkeypatch, first_losses):
    def missing(_graph, _inputs):
        raise RuntimeError("no compiler here")

    compile_with(monkeypatch, missing)
    monkeypatch.setattr(compiling, "current_world", lambda: World(0, 2))
    with pytest.raises(TssrError, match=r"--compile: .*no compiler here.*; leave it out"):
        first_losses("tssr", compile=True)
