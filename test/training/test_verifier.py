"""The verifier: what it reads, how it counts, what it learns, and that its graph says the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import TINY_QUANTIZER, tiny_quantizer
from verifier_cases import LEFT, RIGHT, TINY, TOKENIZER, drawn_verifier, make_verifier, random_images, seen

from training.data.object_targets import object_loss, object_targets
from training.export.graphs import verifier_graph
from training.export.graphs.runtime import GraphSession
from training.export.graphs.stored_weights import half_stored
from training.loop.budget import Budget
from training.loop.checkpoint import read_start, save_weights
from training.loop.device import Hardware
from training.loop.training_loop import TrainingLoop
from training.models.detector import DetectorMaps
from training.models.evidence import Evidence, WordMeanings, count_distribution
from training.models.verifier import TASKS, Verifier, VerifierConfig, with_vocabulary
from training.verifiers.merge_verifiers import answering_all, merge
from training.verifiers.verifier_data import BatchMaker, Example, VerifierBatch, encode_short, join
from training.verifiers.verifier_kinds import KINDS, RELEASED
from training.verifiers.verifier_stage import VerifierStage, VerifierTraining, ranking_loss, verifier_loss
from training.verifiers.word_targets import ANY_COLOR, NO_OBJECT, WordTargets
from training.world.classes import CLASS_INDEX, COLORS
from training.world.config import WorldConfig
from training.world.tokenizer import PAD, encode_prompts
from training.world.world import World

SETTINGS = VerifierTraining(batch=4, adam_lr=1e-2)
NO_CODES = torch.empty(0, 1, dtype=torch.int64)
CAT = {"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a photo of a cat"}
DOG = {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"}


def test_padding_is_not_read():
    model = drawn_verifier()
    images, prompt_ids = random_images(1), torch.from_numpy(encode_prompts(TOKENIZER, ["a photo of a cat"]))
    padded = prompt_ids == PAD
    before = model(images, prompt_ids)
    with torch.no_grad():
        model.word_table.weight[PAD] += 5.0
        model.word_position[padded[0]] -= 5.0
    assert torch.allclose(model(images, prompt_ids), before, atol=1e-6)


def test_prompts_of_one_picture_do_not_see_each_other_or_other_pictures():
    model = drawn_verifier()
    prompts = ["a photo of a cat", "two red dogs", "a cup", "a photo of three clocks"]
    prompt_ids = torch.from_numpy(encode_prompts(TOKENIZER, prompts))
    images = random_images(2)
    together = model(images, prompt_ids)
    alone = torch.cat([model(images[i // 2 : i // 2 + 1], prompt_ids[i : i + 1]) for i in range(4)])
    assert together.shape == (4, 3)
    assert torch.allclose(together, alone, atol=1e-5)
    assert (together.std(0) > 1e-3).all(), "answers must depend on picture and prompt"


def test_prompts_that_cannot_be_shared_out_are_refused():
    prompt_ids = torch.from_numpy(encode_prompts(TOKENIZER, ["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"3 prompts .* 2 pictures"):
        make_verifier().logits(random_images(2), prompt_ids)


def test_the_number_of_objects_is_exact_for_independent_ones():
    certain = count_distribution(torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert certain.tolist() == [0, 0, 0, 1, 0]
    coins = count_distribution(torch.full((3,), 0.5))
    assert torch.allclose(coins, torch.tensor([1, 3, 3, 1]) / 8)
    assert torch.allclose(count_distribution(torch.rand(7, 5)).sum(-1), torch.ones(7))


def color_logits(targets) -> torch.Tensor:
    return torch.nn.functional.one_hot(targets.colors.clamp(min=0), len(COLORS)).permute(0, 3, 1, 2) * 20.0


def maps_of(objects) -> DetectorMaps:
    """Maps as a perfect reader of the objects would make them."""
    targets = object_targets([objects], TINY)
    heat = torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4))
    return DetectorMaps(heat, targets.extents, color_logits(targets))


def meaning_of(name: str, color: str | None, number: int | None) -> WordMeanings:
    sizes = (TINY.class_count + 1, TINY.color_count + 1, 4 + 2)
    classes, colors, numbers = (torch.zeros(1, 1, size) for size in sizes)
    classes[0, 0, CLASS_INDEX[name]] = 1.0
    colors[0, 0, -1 if color is None else COLORS.index(color)] = 1.0
    numbers[0, 0, -1 if number is None else number] = 1.0
    return WordMeanings(classes, colors, numbers)


CATS_AND_DOG = [
    seen("cat", LEFT, 1.0, "red"),
    seen("cat", RIGHT, 0.98, "blue"),
    seen("dog", (32.0, 60.0, 60.0, 90.0), 1.0, "red"),
]


def test_a_word_counts_its_objects_and_knows_where_they_stand():
    evidence, maps = Evidence(candidates=4), maps_of(CATS_AND_DOG)

    def counts(name, color):
        numbers = evidence(maps, meaning_of(name, color, None))[0][0, 0]
        matching, of_class = numbers[: 2 * 5].view(2, 5), numbers[2 * 5 : 4 * 5].view(2, 5)
        return matching.argmax(-1).tolist(), of_class.argmax(-1).tolist(), numbers[4 * 5 :]

    assert counts("cat", None)[:2] == ([2, 2], [2, 2])
    assert counts("cat", "red")[:2] == ([1, 1], [2, 2])
    assert counts("dog", "blue")[:2] == ([0, 0], [1, 1])
    assert counts("clock", None)[:2] == ([0, 0], [0, 0])
    logit, match, x, y, width, height = counts("cat", "red")[2].tolist()
    assert logit == pytest.approx(1.0, abs=0.1) and match == pytest.approx(1.0, abs=0.01)
    assert (x, y, width, height) == pytest.approx((24 / 96, 48 / 96, 32 / 96, 32 / 96), abs=1e-4)


def test_counting_keeps_its_precision_where_layers_give_theirs_up():
    evidence, maps = Evidence(candidates=4), maps_of(CATS_AND_DOG)
    maps.heat.add_(torch.linspace(0, 0.02, maps.heat.numel()).view_as(maps.heat))
    meaning = meaning_of("cat", "red", 1)
    exact = evidence(maps, meaning)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = evidence(maps, meaning)
    assert all(torch.equal(one, other) for one, other in zip(exact, reduced, strict=True))


def test_a_word_is_satisfied_by_its_number_of_objects_of_its_colour():
    evidence, maps = Evidence(candidates=4), maps_of(CATS_AND_DOG)

    def satisfied(*meaning):
        return evidence(maps, meaning_of(*meaning))[1][0, 0].min().item() > -0.2

    assert (
        satisfied("cat", None, 2) and satisfied("cat", None, None) and satisfied("cat", "red", 1) and satisfied("clock", None, 0)
    )
    assert not satisfied("cat", None, 3) and not satisfied("cat", None, 1) and not satisfied("cat", "green", None)
    assert not satisfied("clock", None, None)
    nothing = meaning_of("cat", "green", 4)
    nothing.classes[0, 0] = torch.eye(TINY.class_count + 1)[-1]
    seen, satisfied = evidence(maps, nothing)
    assert satisfied.abs().max() == 0, "a word that names nothing asks for nothing"
    assert seen[..., -5:].abs().max() == 0, "and has no match and no place"


def test_object_targets_carry_the_score_and_the_loss_is_least_where_maps_agree():
    targets = object_targets([[seen("cat", LEFT, 0.6, "red"), seen("dog", RIGHT, 0.9, "green")], []], TINY)
    assert targets.heat[0, CLASS_INDEX["cat"]].max() == pytest.approx(0.6)
    assert targets.heat[1].max() == 0 and (targets.colors[1] == -1).all()
    assert targets.colors[0, 6, 3] == COLORS.index("red") and targets.colors[0, 6, 9] == COLORS.index("green")
    exact = DetectorMaps(torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4)), targets.extents, color_logits(targets))
    at_best = object_loss(exact, targets)
    for change in ({"heat": exact.heat + 1}, {"extents": exact.extents + 1}, {"colors": -exact.colors}):
        assert object_loss(DetectorMaps(**{**vars(exact), **change}), targets) > at_best + 0.01


@pytest.mark.parametrize("task", ("single_object", "two_object", "counting", "colors", "position", "color_attr"))
def test_every_object_of_a_prompt_is_found_among_its_words(task):
    world, rng, words = World(WorldConfig(paraphrase_rate=0.7)), np.random.default_rng(0), WordTargets(TOKENIZER)
    for _ in range(60):
        spec = world.sample_spec(rng, task)
        prompt = world.prompt(rng, spec)
        labels = words.label(prompt, spec)
        assert len(labels.classes) == int((encode_prompts(TOKENIZER, [prompt]) != PAD).sum())
        named = set(zip(labels.classes, labels.colors, labels.counts, strict=True)) - {(NO_OBJECT, ANY_COLOR, None)}
        wanted = {
            (
                CLASS_INDEX[entry["class"]],
                COLORS.index(entry["color"]) if "color" in entry else ANY_COLOR,
                entry["count"] if task == "counting" else None,
            )
            for entry in spec["include"]
        }
        assert named == wanted, prompt


def test_the_dog_of_a_hot_dog_is_no_dog():
    words = WordTargets(TOKENIZER)
    include = [{"class": "dog", "count": 1, "color": "red"}, {"class": "hot dog", "count": 1, "color": "blue"}]
    labels = words.label("a blue hot dog and a red dog", {"tag": "color_attr", "include": include})
    assert [labels.classes.index(CLASS_INDEX["hot dog"]), labels.classes.count(CLASS_INDEX["hot dog"])] == [3, 2]
    assert labels.colors[8] == COLORS.index("red") and labels.classes[8] == CLASS_INDEX["dog"]
    with pytest.raises(ValueError, match="does not name the spec's 'clock'"):
        words.label("a cat", {"tag": "single_object", "include": [{"class": "clock", "count": 1}]})


def handful() -> VerifierBatch:
    """Four pictures with two questions each, whose answers are arbitrary."""
    examples = []
    for index in range(4):
        objects = [seen("cat", LEFT if index % 2 else RIGHT, 1.0)]
        answers = [(1.0, float(question), float(index // 2)) for question in range(2)]
        examples.append(Example(objects, objects, [CAT, DOG], answers))
    return BatchMaker(TOKENIZER, TINY).batch(examples, random_images(4), NO_CODES)


def test_learns_a_handful_of_answers_and_what_they_rest_on(tmp_path):
    model, batch = make_verifier(), handful()
    _, first = verifier_loss(make_verifier().read(batch.images, batch.prompt_ids), batch, TASKS, SETTINGS)
    stage = VerifierStage(model, SETTINGS, TASKS, lambda rng, size: batch)
    TrainingLoop(stage, SETTINGS, Budget(steps=120), tmp_path, hardware=Hardware(torch.device("cpu")), seed=0).train()
    model.train()
    _, last = verifier_loss(model.read(batch.images, batch.prompt_ids), batch, TASKS, SETTINGS)
    assert last["potential"] == last["alignment"] == 1.0
    for part in ("answers", "now", "final", "words"):
        assert last[part] < 0.5 * first[part], part


def pair_of(good_answer: float, bad_answer: float, bad_prompt: dict = CAT) -> VerifierBatch:
    """Two pictures with one question each."""
    answers = [(1.0, good_answer, good_answer), (1.0, bad_answer, bad_answer)]
    examples = [Example([], [], [asked], [answer]) for asked, answer in zip((CAT, bad_prompt), answers, strict=True)]
    return BatchMaker(TOKENIZER, TINY).batch(examples, random_images(2), NO_CODES)


def test_words_can_be_taught_alone_and_perception_is_taken_from_another(tmp_path):
    seeing = drawn_verifier()
    save_weights(tmp_path / "seeing.pt", seeing)
    save_weights(tmp_path / "start.pt", make_verifier())
    batch = handful()
    model = make_verifier()
    stage = VerifierStage(model, SETTINGS, TASKS, lambda rng, size: batch, perception=tmp_path / "seeing.pt")
    stage.start_from(tmp_path / "start.pt")
    hardware = Hardware(torch.device("cpu"))
    TrainingLoop(stage, SETTINGS, Budget(steps=3), tmp_path / "run", hardware=hardware, seed=0).train()
    start, wanted = make_verifier().state_dict(), seeing.perception.state_dict()
    assert all(torch.allclose(value, wanted[name], atol=2e-3, rtol=2e-3) for name, value in model.perception.state_dict().items())
    assert not torch.allclose(model.head.weight, start["head.weight"], atol=1e-3)
    assert not torch.allclose(model.classes.weight, start["classes.weight"], atol=1e-3)


def test_of_two_pictures_of_a_prompt_the_better_one_is_to_score_higher():
    right_order, wrong_order = torch.tensor([[0, 2.0, 2.0], [0, -2, -2]]), torch.tensor([[0, -2.0, -2.0], [0, 2, 2]])
    batch = pair_of(1.0, 0.0)
    assert ranking_loss(right_order, batch, 1, TASKS) < 0.02 < 4 < ranking_loss(wrong_order, batch, 1, TASKS)
    assert torch.equal(ranking_loss(wrong_order, batch, 1, TASKS), ranking_loss(right_order, pair_of(0.0, 1.0), 1, TASKS))
    assert ranking_loss(wrong_order, pair_of(1.0, 1.0), 1, TASKS) == 0, "equals have no order"
    assert ranking_loss(wrong_order, pair_of(1.0, 0.0, DOG), 1, TASKS) == 0, "nor have pictures of two prompts"
    unclear = right_order.clone()
    unclear[:, 0] = torch.tensor([-9.0, 9.0])
    assert torch.equal(ranking_loss(unclear, batch, 1, TASKS), ranking_loss(right_order, batch, 1, TASKS))


def test_a_pictures_own_prompt_counts_most_and_other_prompts_say_little_of_its_future():
    model, batch = make_verifier(), handful()
    settings = replace(SETTINGS, own=3.0, other=0.0)
    logits = model.read(batch.images, batch.prompt_ids).logits
    loss = F.binary_cross_entropy_with_logits(logits, batch.answers, reduction="none")
    weights = torch.tensor([[3.0, 3, 3], [0, 0, 1]]).repeat(4, 1)  # own and other prompt of each of four pictures
    _, parts = verifier_loss(model.read(batch.images, batch.prompt_ids), batch, TASKS, settings)
    assert parts["answers"].item() == pytest.approx((loss * weights).sum().item() / weights.sum().item(), rel=1e-4)


def test_codes_are_decoded_behind_the_images():
    torch.manual_seed(0)
    quantizer = tiny_quantizer()
    maker, examples = BatchMaker(TOKENIZER, TINY), [Example([], [], [CAT], [(1.0, 0.0, 0.0)])]
    codes = torch.arange(TINY_QUANTIZER.grid**2)[None]
    size = TINY_QUANTIZER.image_size
    images = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    mixed = join(maker.batch(examples, images, NO_CODES), maker.batch(examples, images[:0], codes))
    ready = VerifierStage(make_verifier(), SETTINGS, TASKS, lambda rng, count: mixed, quantizer.decode).prepared(mixed)
    assert len(ready.images) == 2 and not len(ready.codes) and ready.images[0].max() == 0
    assert torch.equal(ready.images[1], quantizer.decode(codes)[0])


def test_questions_that_a_kind_is_not_taught_do_not_move_it():
    model, batch = make_verifier(), handful()
    loss, parts = verifier_loss(model.read(batch.images, batch.prompt_ids), batch, KINDS["orm"].tasks, SETTINGS)
    loss.backward()
    assert "potential" not in parts and "alignment" in parts
    taught = model.head.weight.grad.abs().sum(1) > 0
    assert taught.tolist() == [task == "alignment" for task in TASKS]


def test_joining_batches_pads_the_shorter_prompts():
    maker = BatchMaker(TOKENIZER, TINY)

    example = [(1.0, 0.0, 1.0)]
    short = maker.batch([Example([seen()], [], [{**CAT, "prompt": "cat"}], example)], random_images(1), NO_CODES)
    long = maker.batch([Example([seen()], [], [CAT], example)], random_images(1)[:0], torch.zeros(1, 64, dtype=torch.int64))
    joined = join(short, long)
    assert len(joined.images) == len(joined.codes) == 1
    assert joined.prompt_ids.shape == joined.classes.shape == (2, 7)
    assert joined.prompt_ids[0, 3:].tolist() == [PAD] * 4
    assert joined.classes[0, 3:].tolist() == joined.numbers[0, 3:].tolist() == [-1] * 4
    assert joined.now.heat.shape[0] == joined.final.heat.shape[0] == 2 and joined.final.heat.max() == 0
    model = drawn_verifier()
    alone = model.logits(joined.images, encode_short(TOKENIZER, ["cat"]))
    assert torch.allclose(model.logits(joined.images, joined.prompt_ids[:1]), alone, atol=1e-5)


@pytest.mark.parametrize("name", RELEASED)
def test_the_exported_graph_answers_as_the_model_and_rows_do_not_meet(name, monkeypatch):
    tasks = RELEASED[name].tasks
    # Integer storage is the export's own matter: here the two must be the same function.
    monkeypatch.setattr(verifier_graph, "int8_stored", half_stored)
    model = drawn_verifier()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half().float())
    session = GraphSession(verifier_graph.build_verifier_graph(model, tasks), 1)
    prompts = ["a photo of a cat", "two red dogs", "a cup above a book", "a photo of three clocks", "a blue hot dog"]
    prompt_ids, images = encode_prompts(TOKENIZER, prompts), random_images(5)
    yes = session.run({"image": images.numpy(), "prompt_ids": prompt_ids})["yes"]
    with torch.inference_mode():
        expected = model(images, torch.from_numpy(prompt_ids)).numpy()
    for index, task in enumerate(TASKS):
        if task in tasks:
            assert np.abs(yes[:, index] - expected[:, index]).max() < 2e-3
            assert yes[:, index].std() > 1e-3
        else:
            assert (yes[:, index] == 1).all()
    alone = session.run({"image": images[3:4].numpy(), "prompt_ids": prompt_ids[3:4]})["yes"]
    assert np.array_equal(alone, yes[3:4])


def test_a_verifier_of_other_maps_is_refused():
    with pytest.raises(ValueError, match="width 32 is not a multiple of 3 heads"):
        Verifier(VerifierConfig(10, width=32, heads=3))


def test_merged_verifiers_see_as_one_and_mean_what_the_others_mean_on_average():
    def varied(seed: int) -> Verifier:
        model = make_verifier()
        torch.manual_seed(seed)
        with torch.no_grad():
            for value in (*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())):
                value.add_(torch.rand_like(value))
        return model

    seeing, other, first, second = map(varied, (1, 4, 2, 3))
    merged = merge([seeing, other], [first, first, second])
    for name, value in merged.perception.state_dict().items():
        if value.is_floating_point():
            parts = [verifier.perception.state_dict()[name] for verifier in (seeing, other)]
            assert torch.allclose(value, sum(parts) / 2)
    assert torch.allclose(merged.head.weight, (2 * first.head.weight + second.head.weight) / 3)
    assert torch.allclose(merged.evidence.slope, (2 * first.evidence.slope + second.evidence.slope) / 3)
    alone = merge([seeing], [first])
    assert all(torch.equal(value, seeing.perception.state_dict()[name]) for name, value in alone.perception.state_dict().items())
    with pytest.raises(ValueError, match="different sizes"):
        merge([seeing], [Verifier(replace(TINY, layers=2))])
    with pytest.raises(ValueError, match="words is empty"):
        merge([seeing], [])
    with pytest.raises(ValueError, match="seeing is empty"):
        merge([], [first])


@pytest.mark.parametrize("kind", ["orm", "prm"])
def test_an_orm_or_prm_answers_for_potential_and_alignment_alike(kind):
    model = make_verifier()
    images, prompt_ids = random_images(2), torch.from_numpy(encode_prompts(TOKENIZER, ["a photo of a cat"] * 2))
    [task] = KINDS[kind].tasks
    own = model.logits(images, prompt_ids)[:, TASKS.index(task)]
    answers = answering_all(model, kind).logits(images, prompt_ids)
    for same in ("potential", "alignment"):
        assert torch.allclose(answers[:, TASKS.index(same)], own)
    assert torch.equal(answers[:, 0], model.logits(images, prompt_ids)[:, 0])


def test_words_that_came_after_a_verifiers_training_mean_nothing_to_it(tmp_path):
    old = Verifier(replace(TINY, vocabulary_size=TINY.vocabulary_size - 6))
    save_weights(tmp_path / "verifier.pt", old)
    weights = with_vocabulary(read_start(tmp_path / "verifier.pt", TINY, ignored=("vocabulary_size",)), TINY.vocabulary_size)
    model = Verifier(TINY)
    model.load_state_dict(weights)
    table = model.word_table.weight
    assert (table[-6:] == 0).all()
    torch.testing.assert_close(table[:-6], old.word_table.weight, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=f"knows {TINY.vocabulary_size} words, the tokenizer only 5"):
        with_vocabulary(model.state_dict(), 5)
