from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import sha256_of, write_grey, write_levels
from viewcov.inspection.folder import Dataset, InspectionFolder, Split, write_dataset
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.camera import Camera
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.segmentation import training
from viewcov.segmentation.metrics import test_model as model_figures
from viewcov.segmentation.models import load_model
from viewcov.segmentation.options import TestOptions, TrainingOptions, learning_rate_at
from viewcov.segmentation.training import train_model

SHORT = TrainingOptions(
    name="tiny",
    seed=3,
    steps=12,
    batch=4,
    learning_rate=1e-2,
    validate_every=4,
    threads=1,  # Tiny networks gain nothing from a second one.
    crop_px=32,
    depth=2,
    decoder_channels=(16, 8),
    encoder_channels=(16, 16, 16, 16),
)


def changed(options: TrainingOptions = SHORT, **values: object) -> TrainingOptions:
    return TrainingOptions(**{**options.model_dump(), **values})


def write_discs(folder: InspectionFolder, num_views: int, rng: np.random.Generator, *, num_discs: int) -> None:
    """An inspection with bright discs, the defects, on a grainy grey ground; 64 x 64 pixels."""
    views = [Viewpoint.looking_at([0, 0, 100 + i], [0, 0, 0], id=f"v{i}") for i in range(num_views)]
    rig = load_rig("paper-quarter")
    assert isinstance(rig.camera, Camera)
    source = PartSource(path="builtin:clutch-half", sha256="0" * 64)
    plan = InspectionPlan(part=source, rig=rig, requirements=rig.requirements, viewpoints=tuple(views))
    write_plan(folder.plan_path, plan)
    rows, columns = np.mgrid[:64, :64]
    for view in views:
        image = 0.35 + 0.05 * rng.standard_normal((64, 64))
        labels = np.zeros((64, 64), dtype=np.uint16)
        for number in range(1, num_discs + 1):
            row, column = rng.integers(8, 56, size=2)
            labels[np.hypot(rows - row, columns - column) < rng.uniform(3, 7)] = number
        image[labels > 0] += 0.3
        write_grey(folder.image_path(view.id), image)
        write_levels(folder.mask_path(view.id), np.where(labels > 0, 255, 0).astype(np.uint8))
        write_levels(folder.label_path(view.id), labels)


def make_dataset(root: Path, *, num_views: int = 4, num_discs: int = 2) -> Dataset:
    splits: dict[str, Split] = {"a": "train", "b": "train", "c": "validation", "d": "test"}
    rng = np.random.default_rng(7)
    for name in splits:
        write_discs(InspectionFolder(root / name), num_views, rng, num_discs=num_discs)
    dataset = Dataset(root=root, splits=splits, made={"seed": 7})
    write_dataset(dataset)
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    train_model(dataset, out, SHORT)
    return out


def weights_of(folder: Path) -> str:
    return sha256_of((folder / "model.safetensors").read_bytes())


def test_bright_discs_are_learnt(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, num_views=8)
    options = changed(name="discs", exposures=(0, 1), seed=1, steps=120, batch=8, validate_every=40)
    model = train_model(dataset, tmp_path / "model", options)
    figures = model_figures(model, dataset)
    assert (figures.pixels.f1 or 0) > 0.8
    assert (figures.defects.recall or 0) > 0.8
    training_figures = model.card.figures
    assert training_figures is not None
    losses = [entry.loss for entry in training_figures.history]
    assert losses[-1] < losses[0] / 3
    assert 0 < model.threshold < 1
    assert not (tmp_path / "model" / "checkpoint").exists()
    # The threshold in the card is the one of the stored weights, so the figures can be found again.
    again = model_figures(model, dataset, TestOptions(split="validation"))
    assert again.pixels.f1 == pytest.approx(training_figures.validation_f1, abs=1e-12)
    assert again.pixels.f1_max_threshold == model.threshold


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    dataset: Dataset, undisturbed: Path, tmp_path: Path
) -> None:
    train_model(dataset, tmp_path / "same", SHORT)
    assert weights_of(tmp_path / "same") == weights_of(undisturbed)
    train_model(dataset, tmp_path / "other", changed(seed=4))
    assert weights_of(tmp_path / "other") != weights_of(undisturbed)


@pytest.mark.parametrize("after", ["tensors", "state"])
@pytest.mark.parametrize("num_checkpoints", [1, 2])
def test_a_run_broken_off_at_a_checkpoint_ends_with_the_same_weights(
    dataset: Dataset,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    num_checkpoints: int,
) -> None:
    from viewcov.segmentation import checkpoints

    name = "write_record" if after == "tensors" else "write_checkpoint"
    owner = checkpoints if after == "tensors" else training
    real, calls = getattr(owner, name), []

    def broken(*args: object) -> None:
        calls.append(name)
        if after == "state":
            real(*args)
        if len(calls) == num_checkpoints:
            raise KeyboardInterrupt
        if after == "tensors":
            real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        with pytest.raises(KeyboardInterrupt):
            train_model(dataset, tmp_path, SHORT)
    assert not (tmp_path / "model.json").exists()
    train_model(dataset, tmp_path, SHORT)
    assert weights_of(tmp_path) == weights_of(undisturbed)
    ours, theirs = (load_model(folder).card.figures for folder in (tmp_path, undisturbed))
    assert ours is not None
    assert theirs is not None
    assert ours.history == theirs.history


def test_a_killed_process_is_taken_up_with_the_same_weights(
    dataset: Dataset, undisturbed: Path, tmp_path: Path
) -> None:
    code = f"""
import os, signal, runpy
space = runpy.run_path({str(Path(__file__))!r})
training = space["training"]
real = training.probability_map
def killed(*args, **kwargs):
    # In the midst of the second validation: steps 5 to 8 are lost.
    if os.path.exists({str(tmp_path / "checkpoint" / "state.json")!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
training.probability_map = killed
root = space["Path"]({str(dataset.root)!r})
dataset = space["Dataset"](root=root, splits={dataset.splits!r}, made={dataset.made!r})
training.train_model(dataset, {str(tmp_path)!r}, space["SHORT"])
"""
    run = subprocess.run([sys.executable, "-P", "-c", code], check=False, capture_output=True)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert json.loads((tmp_path / "checkpoint" / "state.json").read_text())["progress"]["step"] == 4
    train_model(dataset, tmp_path, SHORT)
    assert weights_of(tmp_path) == weights_of(undisturbed)


def test_a_finished_model_is_not_trained_again(
    dataset: Dataset, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_Run", None)  # Would raise.
    model = train_model(dataset, undisturbed, SHORT)
    assert model.weights_sha256 == weights_of(undisturbed)


def test_other_options_or_data_do_not_touch_a_finished_model(
    dataset: Dataset, undisturbed: Path, tmp_path: Path
) -> None:
    before = weights_of(undisturbed)
    with pytest.raises(InputError, match="of another seed: expected 5, found 3; choose another folder"):
        train_model(dataset, undisturbed, changed(seed=5))
    with pytest.raises(InputError, match="of another batch: expected 6, found 4"):
        train_model(dataset, undisturbed, changed(batch=6))
    with pytest.raises(InputError, match="of another exposures"):
        train_model(dataset, undisturbed, changed(exposures=(0, 1)))
    with pytest.raises(InputError, match="of another training data"):
        train_model(make_dataset(tmp_path, num_discs=1), undisturbed, SHORT)
    assert weights_of(undisturbed) == before


def test_a_broken_checkpoint_is_named(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "finish", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_model(dataset, tmp_path, SHORT)
    (tensors,) = (tmp_path / "checkpoint").glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(InputError, match="not the tensors of this checkpoint"):
        train_model(dataset, tmp_path, SHORT)


def test_a_loss_that_is_not_finite_names_the_images(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not finite: expected a number, found .* crops of .*[ab]/v\d"):
        train_model(dataset, tmp_path, changed(learning_rate=1e30))
    assert not (tmp_path / "model.json").exists()


def test_a_model_that_finds_nothing_gets_no_threshold(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "probability_map", lambda network, image, *_: np.zeros_like(image))
    with pytest.raises(InputError, match="found no defect in the validation split"):
        train_model(dataset, tmp_path, SHORT)
    assert not (tmp_path / "model.json").exists()


def test_the_time_limit_ends_at_a_validation(dataset: Dataset, tmp_path: Path) -> None:
    model = train_model(dataset, tmp_path, changed(max_minutes=1e-6))
    assert model.card.figures is not None
    assert model.card.figures.steps == 4


def test_without_defects_there_is_no_threshold(dataset: Dataset, tmp_path: Path) -> None:
    good = make_dataset(tmp_path, num_views=1, num_discs=0)
    with pytest.raises(InputError, match="split 'train' has no defective pixel"):
        train_model(good, tmp_path / "model", SHORT)
    swapped = dataclasses.replace(dataset, splits={"a": "train"})
    with pytest.raises(InputError, match="split 'validation' has no images"):
        train_model(swapped, tmp_path / "model", SHORT)


def test_unusable_images_are_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, num_views=1)
    with pytest.raises(InputError, match=r"smaller than a training crop: .* train with a smaller --crop-px"):
        train_model(dataset, tmp_path / "model", changed(crop_px=96))
    mask = InspectionFolder(tmp_path / "a").mask_path("v0")
    write_levels(mask, np.zeros((64, 60), dtype=np.uint8))
    with pytest.raises(InputError, match=r"masks/v0\.png: not the size of its image: expected 64 x 64"):
        train_model(dataset, tmp_path / "model", SHORT)
    mask.unlink()
    with pytest.raises(InputError, match=r"masks/v0\.png: no such image"):
        train_model(dataset, tmp_path / "model", SHORT)


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    options = changed(steps=1000, learning_rate=0.01)
    rates = np.array([learning_rate_at(step, options) for step in range(1000)])
    assert rates.argmax() == 200
    assert rates.max() == pytest.approx(0.01)
    assert (np.diff(rates[:201]) > 0).all()
    assert (np.diff(rates[200:]) < 0).all()
    assert 0 < rates[-1] < 1e-6


def test_losses_are_the_definitions() -> None:
    import torch

    logits = torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    p, y = 1 / (1 + np.exp(-logits.numpy())), mask.numpy()
    options = changed(positive_weight=3.0, dice_weight=0.5)
    entropy = -(3.0 * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    assert float(training._loss(logits, mask, options)) == pytest.approx(entropy + 0.5 * dice, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "a/b"),
        ("exposures", ()),
        ("exposures", (0, 0)),
        ("steps", 0),
        ("batch", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("crop_px", 50),
        ("positive_share", 1.5),
        ("exposure_jitter", (1.0, 0.0)),
        ("max_draws", 0),
        ("seed", -1),
        ("encoder", "tu-hf-hub:a/b"),
        ("decoder_channels", (16, 9999)),
        ("colour", 1),
    ],
)
def test_senseless_options_are_one_line_that_names_them(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"TrainingOptions: option '{name}") as caught:
        changed(**{name: value})
    assert "\n" not in str(caught.value)


def test_a_model_is_named_after_its_folder_if_that_can_be_a_name(dataset: Dataset, tmp_path: Path) -> None:
    nameless = changed(name=None, steps=4)
    with pytest.raises(InputError, match=r"cannot name a model: expected letters.*'my model'; .*--name"):
        train_model(dataset, tmp_path / "my model", nameless)
    assert not (tmp_path / "my model").exists()
    assert train_model(dataset, tmp_path / "mine", nameless).name == "mine"
    assert train_model(dataset, tmp_path / "my model", changed(name="ours", steps=4)).name == "ours"


@pytest.mark.parametrize(
    "network",
    [
        {},
        # Has layers that no gradient reaches, so the optimiser knows nothing of them.
        {"encoder": "tu-lcnet_050", "encoder_channels": None},
    ],
)
def test_checkpoints_between_validations_lose_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: dict[str, object]
) -> None:
    real = training._Run._take_step

    def broken(run: training._Run, step: int) -> float:
        if step == 7:
            raise KeyboardInterrupt
        return real(run, step)

    once, often = changed(**network), changed(**network, checkpoint_every=3)
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_take_step", broken)
        with pytest.raises(KeyboardInterrupt):
            train_model(dataset, tmp_path / "broken", often)
    assert json.loads((tmp_path / "broken" / "checkpoint" / "state.json").read_text())["progress"]["step"] == 6
    ours = train_model(dataset, tmp_path / "broken", once).card.figures  # How often it is saved may change.
    theirs = train_model(dataset, tmp_path / "whole", once).card.figures
    assert weights_of(tmp_path / "broken") == weights_of(tmp_path / "whole")
    assert ours is not None
    assert theirs is not None
    assert ours.history == theirs.history


def test_validations_may_look_at_a_share_of_the_images(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = training._Run._best_threshold

    def counted(run: training._Run, images: list[object]) -> object:
        seen.append(len(images))
        return real(run, images)  # type: ignore[arg-type]

    monkeypatch.setattr(training._Run, "_best_threshold", counted)
    train_model(dataset, tmp_path, changed(validation_share=0.5, steps=8))
    assert seen == [2, 2, 4]
