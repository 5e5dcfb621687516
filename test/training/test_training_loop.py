"""The loop of all four trainings: interruption, starting points, devices, and examples composed ahead."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from one_device import OneDevice
from tiny import TINY_CODES
from tiny_stages import STAGES, TOKENIZER, tiny_stage

from training.loop import precision
from training.loop.averaged_weights import AveragedWeights
from training.loop.budget import Budget
from training.loop.checkpoint import load_checkpoint, load_weights, read_start, save_checkpoint, save_weights
from training.loop.device import Hardware
from training.loop.examples import Examples, stream, to_device
from training.loop.muon import Muon
from training.loop.parallel import ThreadedGradients
from training.loop.stage import Stage, TrainingSettings
from training.loop.training_loop import TrainingLoop
from training.loop.whole_batch import WholeBatchGradients
from training.models.generator import Generator, GeneratorConfig
from training.world.prompts import SET_WORDS, TINT_WORDS
from training.world.tokenizer import encode_prompts

CPU = Hardware(torch.device("cpu"))


class Stopped(Budget):
    """A budget that a kill cuts short after three steps."""

    def progress(self, step: int) -> float:
        return 1.0 if step == 3 else super().progress(step)


def run(name: str, folder, budget: Budget, *, resume: bool = False, workers: int = 0) -> TrainingLoop:
    stage, settings = tiny_stage(name)
    # Threads take parts of a batch where a stage has parts; elsewhere they would meet in every operator.
    hardware = Hardware(torch.device("cpu"), threads=2 if stage.parts > 1 else 1, workers=workers)
    loop = TrainingLoop(stage, settings, budget, folder, hardware=hardware, seed=5)
    if resume:
        loop.resume()
    loop.train()
    return loop


def assert_equal_checkpoints(first, second) -> None:
    one, other = load_checkpoint(first / "checkpoint.pt"), load_checkpoint(second / "checkpoint.pt")
    assert one["step"] == other["step"] == 6
    for states in ((one["model"], other["model"]), (one["average"]["state"], other["average"]["state"])):
        for name, value in states[0].items():
            assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize("name", STAGES)
def test_an_interrupted_run_ends_with_the_same_weights(name, tmp_path):
    run(name, tmp_path / "whole", Budget(steps=6))
    run(name, tmp_path / "parts", Stopped(steps=6))
    run(name, tmp_path / "parts", Budget(steps=6), resume=True)
    assert_equal_checkpoints(tmp_path / "whole", tmp_path / "parts")


def test_a_run_whose_examples_are_composed_ahead_ends_with_the_same_weights(tmp_path):
    run("detector", tmp_path / "alone", Budget(steps=6))
    run("detector", tmp_path / "helped", Stopped(steps=6), workers=2)
    run("detector", tmp_path / "helped", Budget(steps=6), resume=True, workers=1)
    assert_equal_checkpoints(tmp_path / "alone", tmp_path / "helped")


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run("quantizer", tmp_path, Stopped(steps=6))
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    saved["config"]["decoder_width"] = 64
    save_checkpoint(tmp_path / "checkpoint.pt", saved)
    with pytest.raises(ValueError, match=r"cannot be resumed: decoder_width is 64 there and 32 here"):
        run("quantizer", tmp_path, Budget(steps=6), resume=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        run("quantizer", tmp_path / "empty", Budget(steps=6), resume=True)


def test_the_log_says_how_to_repeat_the_run_and_what_it_measured(tmp_path):
    loop = run("quantizer", tmp_path, Budget(steps=25))
    first, scalars, measured = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert first["start"] == 0 and first["seed"] == 5 and first["training"]["batch"] == 8 and first["device"] == "cpu"
    assert first["model"]["codebook_size"] == TINY_CODES
    assert first["parameters"] == sum(weight.numel() for weight in loop.model.parameters())
    assert scalars["step"] == 25 and scalars["examples_per_second"] > 0 and 0 < scalars["reconstruction"] < 2
    assert measured["object_psnr"] > 0
    released = load_weights(tmp_path / "quantizer.pt", type(loop.model), type(loop.model.config))
    for name, value in loop.averaged().state_dict().items():
        torch.testing.assert_close(released.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_a_verifier_starts_from_released_weights_and_learns_on(tmp_path):
    stage, settings = tiny_stage("parm")
    stage.model.eval()
    loop = TrainingLoop(stage, settings, Budget(steps=2), tmp_path / "first", hardware=CPU, seed=5)
    loop.train()
    again, _ = tiny_stage("parm")
    again.start_from(loop.weights)
    torch.testing.assert_close(again.model.head.weight, loop.averaged().head.weight, rtol=1e-3, atol=1e-6)
    counts = [value for name, value in stage.model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts and all(count == 2 for count in counts), "batch normalisation learns although evaluation mode was on"


def test_a_generator_starts_from_its_released_form(tmp_path):
    stage, _ = tiny_stage("generator")
    with torch.no_grad():
        for weight in stage.model.parameters():
            weight.normal_(std=0.1)
    save_weights(tmp_path / "generator.pt", stage.released(stage.model))
    again, _ = tiny_stage("generator")
    again.start_from(tmp_path / "generator.pt")
    begun = again.model
    # Words with a mark begin as their stem and their mark, whatever they were.
    prompts = torch.from_numpy(encode_prompts(TOKENIZER, ["a photo of a red cat", "fluent sky two dogs"]))
    tokens = torch.randint(0, TINY_CODES + 1, (2, 16))
    released = load_weights(tmp_path / "generator.pt", Generator, GeneratorConfig)
    found, expected = begun(prompts, tokens), released(prompts, tokens)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"cannot start from .*: width is 32 there and 64 here"):
        read_start(tmp_path / "generator.pt", GeneratorConfig(**{**released.config.__dict__, "width": 64}))


def test_a_generator_starts_from_weights_that_know_fewer_words(tmp_path):
    """Styles came later than the first released weights."""
    stage, _ = tiny_stage("generator")
    styles = len(SET_WORDS) + len(TINT_WORDS)
    released = stage.released(stage.model)
    shorter = Generator(replace(released.config, vocabulary_size=released.config.vocabulary_size - styles))
    shorter.load_state_dict({**released.state_dict(), "text_table.weight": released.text_table.weight[:-styles]})
    save_weights(tmp_path / "generator.pt", shorter)
    torch.manual_seed(1)
    again, _ = tiny_stage("generator")
    own = again.model.text_table.weight[-styles:].clone()
    again.start_from(tmp_path / "generator.pt")
    cat, sky = (TOKENIZER.token_to_id(word) for word in ("cat", "sky"))
    torch.testing.assert_close(again.model.word_table()[cat], released.text_table.weight[cat], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.model.word_table()[-styles:], own)
    assert sky >= len(again.model.word_table()) - styles, "words of styles are the last ones"


@dataclass(frozen=True)
class Points:
    x: torch.Tensor
    y: torch.Tensor


class LineStage(Stage):
    """Fits a line: a loss that is a mean over examples, so that parts and whole must agree."""

    name = "line"
    parts = 4

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(torch.nn.Linear(3, 1))

    def examples(self, rng, size):
        x = torch.from_numpy(rng.normal(size=(size, 3)).astype(np.float32))
        return Points(x, x.sum(1, keepdim=True))

    def loss(self, model, batch):
        loss = (model(batch.x) - batch.y).square().mean()
        return loss, {"loss": loss}

    def is_hidden(self, name, weight):
        return False


def test_parts_on_threads_give_the_gradient_of_the_whole_batch(monkeypatch):
    monkeypatch.setattr(precision, "_CPU_HAS_BFLOAT16", False)  # its rounding would hide what is compared
    stage = LineStage()
    examples = Examples(stage.examples, 1, 8, parts=4)
    threaded = ThreadedGradients(stage, examples, threads=3)
    scalars = threaded.backward(2)
    threaded.close()
    found = [weight.grad.clone() for weight in stage.model.parameters()]

    @dataclass(frozen=True)
    class Joined(Examples):
        def __getitem__(self, step):
            parts = [examples.part(step, part) for part in range(4)]
            return Points(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))

    whole = WholeBatchGradients(stage, Joined(stage.examples, 1, 8), CPU, first=2)
    assert whole.backward(2)[0]["loss"].item() == pytest.approx(np.mean([part["loss"].item() for part in scalars]))
    for weight, gradient in zip(stage.model.parameters(), found, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    with pytest.raises(ValueError, match="step 3 come next, step 5 was asked for"):
        whole.backward(5)
    whole.close()


def test_examples_that_cannot_be_divided_into_parts_are_refused():
    with pytest.raises(ValueError, match="batch of 10 cannot be divided into 4 equal parts"):
        Examples(LineStage().examples, 1, 10, parts=4)


@pytest.mark.parametrize("workers", (0, 2))
def test_what_goes_wrong_while_composing_ends_the_run(workers):
    def broken(rng, size):
        raise ValueError("no placement of 9 objects")

    with pytest.raises(ValueError, match="no placement of 9 objects"):
        next(stream(Examples(broken, 1, 4), 0, workers))


def test_batches_move_with_all_that_they_hold():
    @dataclass(frozen=True)
    class Nested:
        points: Points
        noise: int

    moved = to_device(Nested(Points(torch.ones(2), torch.ones(1)), 7), torch.device("meta"))
    assert moved.points.x.device.type == moved.points.y.device.type == "meta" and moved.noise == 7
    with pytest.raises(TypeError, match="got list"):
        to_device([torch.ones(1)], torch.device("meta"))


@pytest.mark.parametrize("name", STAGES)
def test_a_step_stays_on_the_models_device_and_never_waits_for_its_numbers(name):
    # "meta" stands for a GPU: tensors of another device fail beside it, and so does every wish to know a value.
    stage, settings = tiny_stage(name)
    batch = stage.prepared(stage.examples(np.random.default_rng(0), settings.batch))
    model, batch = stage.model.to("meta"), to_device(batch, torch.device("meta"))
    hidden = [weight for path, weight in model.named_parameters() if stage.is_hidden(path, weight)]
    average = AveragedWeights(model, 0.9)
    optimizer = Muon(hidden, lr=0.1)
    with OneDevice():
        loss, scalars = stage.loss(model, batch)
        loss.backward()
        optimizer.step()
        average.update(model)
    assert hidden and all(weight.grad is not None for weight in model.parameters())
    assert {value.device.type for value in scalars.values()} == {"meta"}


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        TrainingSettings(batch=0)
    with pytest.raises(ValueError, match="either minutes or steps"):
        Budget()
    with pytest.raises(ValueError, match="more than 0, got 0"):
        Budget(minutes=0)
