from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import read_levels, write_grey
from viewcov.inspection.folder import InspectionFolder
from viewcov.inspection.mesh.part import PartSource
from viewcov.inspection.plan import InspectionPlan, write_plan
from viewcov.inspection.rig.rig import load_rig
from viewcov.inspection.viewpoint import Viewpoint
from viewcov.segmentation.cards import Architecture, ModelCard, Weights
from viewcov.segmentation.models import SegmentationModel, build_network
from viewcov.segmentation.options import PredictionOptions
from viewcov.segmentation.prediction import predict_image, predict_inspection

TINY = Architecture(depth=2, decoder_channels=(16, 8), encoder_channels=(8, 16, 16, 16))


def make_model(*, exposures: tuple[float, ...] = (0,), seed: int = 0, sha256: str = "1" * 64) -> SegmentationModel:
    import torch

    network = build_network(TINY, len(exposures), seed=seed).eval()
    with torch.no_grad():
        # A new network gives nearly the same probability everywhere: spread it.
        network.segmentation_head[0].bias.zero_()
        network.segmentation_head[0].weight.mul_(20.0)
    card = ModelCard(name="tiny", exposures=exposures, threshold=0.5, architecture=TINY, weights=Weights(sha256=sha256))
    return SegmentationModel(card=card, network=network)


def make_inspection(root: Path, num_views: int = 3) -> InspectionFolder:
    folder = InspectionFolder(root)
    rig = load_rig("paper-quarter")
    rig = dataclasses.replace(rig, camera=dataclasses.replace(rig.camera, width_px=70, height_px=50))
    views = tuple(Viewpoint.looking_at([0, 0, 100 + i], [0, 0, 0], id=f"v{i}") for i in range(num_views))
    source = PartSource(path="builtin:clutch-half", sha256="0" * 64)
    plan = InspectionPlan(part=source, rig=rig, requirements=rig.requirements, viewpoints=views)
    write_plan(folder.plan_path, plan)
    rng = np.random.default_rng(0)
    for view in views:
        write_grey(folder.image_path(view.id), rng.random((50, 70)))
    return folder


def test_an_image_that_needs_no_padding_is_the_bare_network() -> None:
    import torch

    model = make_model(exposures=(0, 1))
    image = np.random.default_rng(0).random((32, 64))
    stack = np.stack([image, np.minimum(2 * image, 1)]).astype(np.float32) * 2 - 1
    with torch.inference_mode():
        expected = torch.sigmoid(model.network(torch.from_numpy(stack)[None]))[0, 0].numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(predict_image(model, image), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(50, 70), (64, 64), (33, 5), (1, 1), (3, 200)])
def test_every_size_is_predicted(shape: tuple[int, int]) -> None:
    probability = predict_image(make_model(), np.random.default_rng(0).random(shape))
    assert probability.shape == shape
    assert probability.dtype == np.float32
    assert ((probability >= 0) & (probability <= 1)).all()


def test_padding_changes_nothing_far_from_the_padded_side() -> None:
    model = make_model()
    image = np.random.default_rng(0).random((64, 161))
    whole, cut = predict_image(model, image), predict_image(model, image[:, :160])
    np.testing.assert_allclose(whole[:, :80], cut[:, :80], atol=1e-5)


def test_tiles_agree_with_the_whole_image() -> None:
    model = make_model()
    image = np.random.default_rng(0).random((150, 203))
    whole = predict_image(model, image)
    tiled = predict_image(model, image, PredictionOptions(tile_px=64, margin_px=64))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    # Without surroundings the seams show: the margin is what makes them agree.
    bare = predict_image(model, image, PredictionOptions(tile_px=64, margin_px=0))
    assert np.abs(bare - whole).max() > 1e-3


def test_the_same_image_gives_the_same_bytes() -> None:
    image = np.random.default_rng(0).random((50, 70))
    assert predict_image(make_model(), image).tobytes() == predict_image(make_model(), image).tobytes()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), "must have shape"),
        (np.zeros((0, 4)), "must have shape"),
        (np.full((4, 4), 200.0), r"values in \[0, 1\]"),
        (np.full((4, 4), np.nan), r"values in \[0, 1\]"),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_image(make_model(), image)


def test_an_inspection_is_predicted_to_sixteen_bits(tmp_path: Path) -> None:
    folder, model = make_inspection(tmp_path), make_model()
    assert predict_inspection(model, folder) == 3
    assert folder.models() == ["tiny"]
    for view_id in ("v0", "v1", "v2"):
        levels = read_levels(folder.prediction_path("tiny", view_id))
        image = read_levels(folder.image_path(view_id)) / 255.0
        assert levels.dtype == np.uint16
        expected = predict_image(model, image.astype(np.float32)).astype(np.float64)
        np.testing.assert_allclose(levels / 65535.0, expected, atol=0.51 / 65535)
    card = json.loads((tmp_path / "predictions" / "tiny" / "model.json").read_text())
    assert card["weights_sha256"] == model.weights_sha256
    assert card["threshold"] == 0.5


def test_only_missing_views_are_predicted_again(tmp_path: Path) -> None:
    folder, model = make_inspection(tmp_path), make_model()
    predict_inspection(model, folder)
    kept = folder.prediction_path("tiny", "v0")
    kept.write_bytes(b"kept")
    folder.prediction_path("tiny", "v1").unlink()
    assert predict_inspection(model, folder) == 1
    assert kept.read_bytes() == b"kept"
    assert predict_inspection(model, folder) == 0


def test_predictions_by_other_weights_are_replaced(tmp_path: Path) -> None:
    folder = make_inspection(tmp_path)
    predict_inspection(make_model(), folder)
    before = folder.prediction_path("tiny", "v0").read_bytes()
    other = make_model(seed=1, sha256="2" * 64)
    assert predict_inspection(other, folder) == 3
    assert folder.prediction_path("tiny", "v0").read_bytes() != before
    # A new threshold needs no new predictions, and a card that cannot be read vouches for none.
    changed = dataclasses.replace(other, card=other.card.model_copy(update={"threshold": 0.25}))
    assert predict_inspection(changed, folder) == 0
    card = tmp_path / "predictions" / "tiny" / "model.json"
    assert json.loads(card.read_text())["threshold"] == 0.25
    card.write_text("{")
    assert predict_inspection(other, folder) == 3


def test_a_run_broken_off_between_weights_leaves_no_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from viewcov.segmentation import prediction

    folder = make_inspection(tmp_path)
    predict_inspection(make_model(), folder)
    monkeypatch.setattr(prediction, "write_bytes", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict_inspection(make_model(seed=1, sha256="2" * 64), folder)
    assert not list((tmp_path / "predictions" / "tiny").glob("*.png"))


def test_a_missing_or_misfit_image_is_named_before_anything_is_touched(tmp_path: Path) -> None:
    folder = make_inspection(tmp_path)
    predict_inspection(make_model(), folder)
    before = {path: path.read_bytes() for path in (tmp_path / "predictions").rglob("*.*")}
    other = make_model(seed=1, sha256="2" * 64)
    write_grey(folder.image_path("v2"), np.zeros((50, 71)))
    with pytest.raises(InputError, match=r"images/v2\.png: not the size of its plan's camera: expected 70 x 50"):
        predict_inspection(other, folder)
    folder.image_path("v1").write_text("no image")
    with pytest.raises(InputError, match=r"images/v1\.png: cannot read the image"):
        predict_inspection(other, folder)
    folder.image_path("v1").unlink()
    with pytest.raises(InputError, match=r"images/v1\.png: no such image"):
        predict_inspection(other, folder)
    assert {path: path.read_bytes() for path in (tmp_path / "predictions").rglob("*.*")} == before
