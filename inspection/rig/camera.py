"""The camera: sensor, thin lens, distortion."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from viewcov.inspection.arrays import Bools, Floats
from viewcov.inspection.errors import InputError
from viewcov.inspection.records import CHECKED, Above0, Number, Whole, one_of
from viewcov.inspection.rig.lens import LENSES, LensModel

_Pixels = Annotated[Whole, Field(ge=8, le=65536)]


@dataclass(frozen=True, slots=True, kw_only=True, config=CHECKED)
class Camera:
    """A grey camera behind a thin lens. Camera frame is OpenCV's: +x right, +y down, +z forward."""

    width_px: _Pixels
    """Image width in pixels."""

    height_px: _Pixels
    """Image height in pixels."""

    focal_length_mm: Above0
    """Focal length of the lens; the image distance follows from it and the focus distance."""

    pixel_pitch_um: Above0
    """Edge length of one (square) pixel on the sensor."""

    f_number: Above0
    """Aperture: focal length divided by the diameter of the entrance pupil."""

    focus_distance_mm: Above0
    """Distance from the lens' principal plane to the plane in focus."""

    principal_x_px: Number | None = None
    """Column at which the optical axis meets the image; the image's middle if not given."""

    principal_y_px: Number | None = None
    """Row at which the optical axis meets the image; the image's middle if not given."""

    distortion: tuple[Number, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """The lens model's coefficients: OpenCV's k1, k2, p1, p2, k3 for ``brown-conrady``."""

    lens: Annotated[str, one_of(LENSES)] = "brown-conrady"
    """Lens model, one of ``lens.LENSES``."""

    wavelength_nm: Above0 = 550.0
    """Middle wavelength of the light, for diffraction."""

    def __post_init__(self) -> None:
        if self.focus_distance_mm <= self.focal_length_mm:
            raise ValueError(
                f"focus_distance_mm above focal_length_mm = {self.focal_length_mm}, not {self.focus_distance_mm}"
            )
        wanted = self.lens_model.num_coefficients
        if len(self.distortion) != wanted:
            raise ValueError(f"distortion of {wanted} numbers for the lens {self.lens!r}, not {len(self.distortion)}")

    @property
    def lens_model(self) -> LensModel:
        """The lens that is called ``lens``."""
        return LENSES[self.lens]

    @property
    def image_distance_mm(self) -> float:
        """Distance from the principal plane to the sensor when focused, f u / (u - f)."""
        f, u = self.focal_length_mm, self.focus_distance_mm
        return f * u / (u - f)

    @property
    def focal_px(self) -> float:
        """Pinhole focal length in pixels: image distance by pixel pitch."""
        return self.image_distance_mm * 1000.0 / self.pixel_pitch_um

    @property
    def center_px(self) -> tuple[float, float]:
        """Column and row of the principal point; pixel (0, 0) has its centre at (0.5, 0.5)."""
        x = self.width_px / 2 if self.principal_x_px is None else self.principal_x_px
        y = self.height_px / 2 if self.principal_y_px is None else self.principal_y_px
        return float(x), float(y)

    @property
    def K(self) -> Floats:  # noqa: N802
        """Intrinsic matrix, shape (3, 3), pixels, for pixel centres at half-integers."""
        (cx, cy), f = self.center_px, self.focal_px
        return np.array([[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]])

    @property
    def mm_per_px_at_focus(self) -> float:
        """Edge length of a pixel's footprint on a frontal plane in focus."""
        return self.focus_distance_mm / self.focal_px

    @property
    def has_distortion(self) -> bool:
        """Whether the lens moves anything."""
        return not self.lens_model.is_straight(self.distortion)

    def binned(self, factor: int) -> Camera:
        """The same camera with ``factor`` x ``factor`` pixels added up to one; a remainder is cut off."""
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        x, y = self.center_px
        # The middle stays the middle only where no pixel is left over.
        keep_x = self.principal_x_px is None and self.width_px % factor == 0
        keep_y = self.principal_y_px is None and self.height_px % factor == 0
        return replace(
            self,
            width_px=self.width_px // factor,
            height_px=self.height_px // factor,
            pixel_pitch_um=self.pixel_pitch_um * factor,
            principal_x_px=None if keep_x else x / factor,
            principal_y_px=None if keep_y else y / factor,
        )

    @property
    def brown_conrady(self) -> tuple[float, float, float, float, float]:
        """Coefficients k1, k2, p1, p2, k3, for files and code that know no other lens.

        Raises InputError if the lens is another one.
        """
        if self.lens != "brown-conrady":
            raise InputError(
                "camera.lens", "a lens model that is not known here", expected="brown-conrady", found=self.lens,
                remedy="use another format, or fit OpenCV's model to the lens",
            )  # fmt: skip
        k1, k2, p1, p2, k3 = self.distortion
        return k1, k2, p1, p2, k3

    def distort(self, normalized: Floats) -> Floats:
        """Distorted normalized image coordinates, shape (..., 2), of undistorted ones."""
        if not self.has_distortion:
            return normalized
        return np.stack(self.lens_model.distort(normalized[..., 0], normalized[..., 1], self.distortion), axis=-1)

    def project(self, points_camera_mm: Floats) -> Floats:
        """Pixel coordinates (column, row), shape (..., 2), of points in the camera frame, shape (..., 3).

        Points at or behind the principal plane (z <= 0) give NaN, and so do points so far off the axis that
        the radial distortion has turned back there and would fold them into the image.
        """
        z = points_camera_mm[..., 2]
        safe_z = np.where(z > 0, z, np.nan)
        normalized = points_camera_mm[..., :2] / safe_z[..., None]
        if self.has_distortion:
            beyond = np.linalg.norm(normalized, axis=-1) > self.turning_radius
            normalized = np.where(beyond[..., None], np.nan, normalized)
        return self.distort(normalized) * self.focal_px + np.array(self.center_px)

    @property
    def turning_radius(self) -> float:
        """Normalized radius up to which the distortion grows; infinite if it always does."""
        return self.lens_model.turning_radius(self.distortion)

    def rays(self, pixels: Floats) -> Floats:
        """Camera-frame ray directions (x, y, 1), shape (..., 3), through pixel coordinates (..., 2).

        NaN for pixels for which the distortion cannot be undone.
        """
        normalized = (pixels - np.array(self.center_px)) / self.focal_px
        if self.has_distortion:
            normalized = self.lens_model.undistort(normalized, self.distortion)
        return np.concatenate([normalized, np.ones_like(normalized[..., :1])], axis=-1)

    def in_frame(self, pixels: Floats, *, border_px: float = 0.0) -> Bools:
        """Whether pixel coordinates, shape (..., 2), lie in the image and off its border; NaN does not."""
        x, y = pixels[..., 0], pixels[..., 1]
        return (
            (x >= border_px) & (x <= self.width_px - border_px) & (y >= border_px) & (y <= self.height_px - border_px)
        )

    @property
    def airy_disc_px(self) -> float:
        """Diameter of the Airy disc in pixels, to its first dark ring: 2.44 lambda N (1 + m).

        m = f / (u - f) is the magnification in focus: the sensor lies f (1 + m) behind the lens. The same for
        every depth, as the sensor does not move.
        """
        magnification = self.focal_length_mm / (self.focus_distance_mm - self.focal_length_mm)
        return 2.44 * self.wavelength_nm / 1000.0 * self.f_number * (1.0 + magnification) / self.pixel_pitch_um

    def circle_of_confusion_px(self, depth_mm: Floats) -> Floats:
        """Diameter of the circle of confusion in pixels for points at axial depth ``depth_mm``: blur by geometry.

        Thin lens focused at u with focal length f and f-number N: c = f^2 |z - u| / (N z (u - f)).
        """
        f, u = self.focal_length_mm, self.focus_distance_mm
        z = np.asarray(depth_mm, dtype=np.float64)
        circle_mm = f * f * np.abs(z - u) / (self.f_number * z * (u - f))
        return circle_mm * 1000.0 / self.pixel_pitch_um

    def blur_px(self, depth_mm: Floats) -> Floats:
        """Diameter of the blur in pixels for points at axial depth ``depth_mm``, diffraction included.

        The root of the sum of the squares of circle of confusion and Airy disc.
        """
        return np.hypot(self.circle_of_confusion_px(depth_mm), self.airy_disc_px)

    def depth_of_field_mm(self, max_blur_px: float) -> tuple[float, float] | None:
        """Nearest and farthest axial depth whose blur is at most ``max_blur_px`` pixels.

        Diffraction leaves c = (max_blur^2 - airy^2)^(1/2) for the circle of confusion. With the hyperfocal
        term H = f^2 / (N c): near = u H / (H + (u - f)), far = u H / (H - (u - f)), infinite where the
        denominator is not positive. Both go to u as c goes to 0. None if diffraction alone exceeds the limit:
        then nothing is sharp enough anywhere.
        """
        if max_blur_px < self.airy_disc_px:
            return None
        f, u = self.focal_length_mm, self.focus_distance_mm
        # c^2 as a product: the difference of squares would lose all digits of a limit just above the disc.
        circle_px = np.sqrt((max_blur_px - self.airy_disc_px) * (max_blur_px + self.airy_disc_px))
        # (u - f) / H, which has no pole at c = 0.
        slope = float((u - f) * self.f_number * circle_px * self.pixel_pitch_um / 1000.0 / (f * f))
        return u / (1.0 + slope), u / (1.0 - slope) if slope < 1.0 else float("inf")
