from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from viewcov.inspection.errors import InputError, MissingExtraError
from viewcov.inspection.records import write_record
from viewcov.segmentation import models
from viewcov.segmentation.cards import CARD_NAME, Architecture, Encoder, ModelCard, Weights
from viewcov.segmentation.models import (
    SegmentationModel,
    build_network,
    half_precision,
    list_shipped,
    load_model,
    require_torch,
    write_weights,
)
from viewcov.segmentation.prediction import predict_image

TINY = Architecture(depth=2, decoder_channels=(16, 8), encoder_channels=(8, 16, 16, 16))


def make_model(*, exposures: tuple[float, ...] = (0,), seed: int = 0) -> SegmentationModel:
    card = ModelCard(
        name="tiny",
        exposures=exposures,
        threshold=0.375,
        architecture=TINY,
        weights=Weights(sha256="0" * 64),
        request={"note": [1, 2.5, None, "x"]},
    )
    return SegmentationModel(card=card, network=build_network(TINY, len(exposures), seed=seed).eval())


def save_model(folder: Path, model: SegmentationModel) -> None:
    weights = write_weights(folder, model.network)
    write_record(folder / CARD_NAME, model.card.model_copy(update={"weights": weights}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, make_model(exposures=(0, 1, 2)))
    return folder


def copy_of(saved: Path, folder: Path) -> Path:
    for name in ("model.json", "model.safetensors"):
        (folder / name).write_bytes((saved / name).read_bytes())
    return folder


def test_a_loaded_model_is_the_saved_one(saved: Path) -> None:
    model = load_model(saved)
    assert (model.name, model.exposures, model.threshold) == ("tiny", (0, 1, 2), 0.375)
    assert model.card.architecture == TINY
    assert model.card.request == {"note": [1, 2.5, None, "x"]}
    assert model.folder == saved
    assert not model.network.training
    image = np.random.default_rng(0).random((40, 50))
    rounded = make_model(exposures=(0, 1, 2))
    rounded.network.load_state_dict(half_precision(rounded.network))
    np.testing.assert_array_equal(predict_image(model, image), predict_image(rounded, image))


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_model(tmp_path, load_model(saved))
    assert (tmp_path / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    assert (tmp_path / "model.json").read_bytes() == (saved / "model.json").read_bytes()


def test_weights_depend_on_the_seed_alone() -> None:
    import torch

    before = torch.random.get_rng_state()
    one, same, other = (build_network(TINY, 1, seed=seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_default_model_is_small_and_looks_at_full_resolution(tmp_path: Path) -> None:
    import torch

    network = build_network(Architecture(), 3, seed=0).eval()
    write_weights(tmp_path, network)
    assert (tmp_path / "model.safetensors").stat().st_size <= 5e6
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


def test_only_networks_without_grouped_convolutions_are_channels_last() -> None:
    import torch

    grouped = Architecture(encoder="tu-lcnet_050", depth=2, decoder_channels=(8, 8))
    for architecture, expected in ((TINY, True), (grouped, False)):
        kernel = build_network(architecture, 1, seed=0).decoder.blocks[0].conv1[0].weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) == expected


@pytest.mark.parametrize("encoder", get_args(Encoder))
def test_every_encoder_can_be_built_and_trained(encoder: Encoder) -> None:
    import torch

    architecture = Architecture(arch="unetplusplus", encoder=encoder, depth=3, decoder_channels=(8, 8, 8))
    network = build_network(architecture, 2, seed=0)
    network(torch.rand(2, 2, 64, 64)).sum().backward()
    assert next(network.parameters()).grad is not None


def test_a_new_network_finds_nothing() -> None:
    # The start is near the share of defective pixels, not at one half.
    image = np.random.default_rng(0).random((64, 64))
    assert np.median(predict_image(make_model(), image)) < 0.2


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such model: expected a folder with model\.json"):
        load_model(tmp_path / "none")
    with pytest.raises(InputError, match="found a folder without"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": "other/1"}, "expected schema_version 'viewcov-model/2'"),
        ({"threshold": 1.5}, "threshold"),
        ({"exposures": [0, 0]}, "finite and distinct"),
        ({"normalisation": {"0": 0.0, "1": 1.0}}, "normalisation"),
        ({"name": "../up"}, "name"),
        ({"weights": {"file": "../model.safetensors", "sha256": "0" * 64}}, r"weights\.file"),
        (
            {"weights": {"file": "model.safetensors", "sha256": "0" * 64}},
            "not the weights that the card names",
        ),
        ({"schema_version": "viewcov-model/1"}, "found 'viewcov-model/1'; restore it or train again"),
        ({"exposures": [0]}, "does not fit the card's architecture"),
        ({"architecture": {"encoder": "tu-hf-hub:a/b"}}, r"field 'architecture\.encoder' is not valid"),
        ({"architecture": {"encoder": "resnet18"}}, r"field 'architecture\.encoder' is not valid"),
        ({"architecture": {"decoder_channels": [16]}}, "as many decoder_channels as depth, 4"),
        ({"architecture": {"decoder_channels": [16, 16, 16, 10**9]}}, r"architecture\.decoder_channels\.3"),
        ({"architecture": {"encoder_channels": [8, 8, 8, 8], "encoder": "tu-resnet18"}}, "encoder_channels for"),
        # Arguments of this name made an old timm open a pickle.
        ({"architecture": {"encoder_options": {"checkpoint_path": "x"}}}, r"architecture\.encoder_options' is not"),
        ({"architecture": {"checkpoint_path": "x"}}, r"architecture\.checkpoint_path"),
    ],
)
def test_a_broken_card_is_one_clear_line(saved: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = copy_of(saved, tmp_path)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | change))
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_flipped_bits_in_the_weights_are_noticed(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="not the weights that the card names"):
        load_model(folder)


def test_shipped_models_are_found_by_name(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    copy_of(saved, tmp_path / "plain")
    (tmp_path / "not-a-model").mkdir()
    monkeypatch.setattr(models, "shipped_models", lambda: tmp_path)
    assert list_shipped() == ["plain"]
    assert load_model("plain").name == "tiny"
    with pytest.raises(InputError, match=r"or one of plain"):
        load_model("stack")


def test_every_shipped_model_loads() -> None:
    for name in list_shipped():
        assert load_model(name).name == name


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"torch, which is not installed; .*viewcov\[train\]"):
        require_torch()


def test_importing_the_room_imports_no_torch() -> None:
    rooms = (
        "cards", "checkpoints", "crops", "datasets", "exposure", "images", "metrics", "models", "options", "prediction",
        "training",
    )  # fmt: skip
    code = ";".join(f"import viewcov.segmentation.{room}" for room in rooms)
    code += ";import sys; sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'scipy', 'PIL')))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_a_render_after_require_torch_does_not_crash(tmp_path: Path) -> None:
    # torchvision imported after an off-screen render is a segmentation fault, the other order is fine.
    code = """
import sys
from viewcov.segmentation.cards import CARD_NAME, Architecture
from viewcov.segmentation.models import build_network, require_torch
require_torch()
try:
    import pyvista as pv
    plotter = pv.Plotter(off_screen=True, window_size=(64, 64))
    plotter.add_mesh(pv.Sphere())
    shown = plotter.screenshot(return_img=True).std() > 0
    plotter.close()
except Exception as error:
    sys.exit(f"cannot render: {error}")
import torch
network = build_network(Architecture(depth=2, decoder_channels=(8, 8)), 1, seed=0).eval()
assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 1, 32, 32)
sys.exit(0 if shown else "cannot render: the picture is empty")
"""
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False, cwd=tmp_path)
    errors = run.stderr.decode()
    if run.returncode == 1 and "cannot render" in errors:
        pytest.skip(errors.strip().splitlines()[-1])
    assert run.returncode == 0, errors[-2000:]
