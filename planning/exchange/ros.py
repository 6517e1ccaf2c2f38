"""ROS: one geometry_msgs/PoseArray as YAML, as `rostopic pub -f` and `ros2 topic pub --yaml-file` take it.

Poses are world_from_camera in metres with quaternion x, y, z, w; the camera's axes are those of REP 103's optical
frames (z forward, x right, y down), which are OpenCV's. A pose has no name there: order is all that is kept.
"""

from __future__ import annotations

from pathlib import Path

from viewcov.inspection.errors import InputError
from viewcov.inspection.files import write_text
from viewcov.inspection.plan import InspectionPlan
from viewcov.inspection.records import Foreign, checked
from viewcov.planning.exchange.views import AGAIN, ImportedViews, PoseFormat, imported, quaternion_pose, quaternion_wxyz

FRAME_ID = "part"
"""The part's CAD frame, for whoever looks the transform up."""

_HEAD = "# geometry_msgs/PoseArray: camera optical frames (REP 103) in the part's CAD frame, metres, in route order\n"
_MM_PER_M = 1000.0


class _Point(Foreign):
    x: float
    y: float
    z: float


class _Quaternion(_Point):
    w: float


class _Pose(Foreign):
    position: _Point
    orientation: _Quaternion


class _PoseArray(Foreign):
    poses: list[_Pose]


def write_ros(path: Path, plan: InspectionPlan) -> None:
    """Write the viewpoints as a PoseArray in frame ``part``; the header's stamp is left to ROS."""
    import yaml

    poses = []
    for view in plan.viewpoints:
        w, x, y, z = quaternion_wxyz(view.world_from_camera[:3, :3]).tolist()
        position = dict(zip("xyz", (view.center_mm / _MM_PER_M).tolist(), strict=True))
        poses.append({"position": position, "orientation": {"x": x, "y": y, "z": z, "w": w}})
    message = {"header": {"frame_id": FRAME_ID}, "poses": poses}
    write_text(path, _HEAD + yaml.safe_dump(message, sort_keys=False))


def read_ros(path: Path) -> ImportedViews:
    """The poses of a PoseArray, named pose-001, pose-002 and so on. Its frame is taken for the part's.

    Raises
    ------
    InputError
        If the file is not YAML, or not one PoseArray.
    """
    import yaml

    try:
        # `ros2 topic echo` ends each message with ---, which begins an empty document.
        found = [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document is not None]
    except Exception as error:  # PyYAML raises whatever malformed numbers and dates provoke.
        raise InputError(
            path, "cannot read it", expected="a YAML file", found=(str(error) or type(error).__name__)[:160],
            remedy=AGAIN,
        ) from None  # fmt: skip
    if len(found) != 1:
        raise InputError(path, "not one message", expected="one PoseArray", found=f"{len(found)}", remedy=AGAIN)
    message = checked(found[0], _PoseArray, where=path, remedy=AGAIN)
    names, poses = [], []
    for number, entry in enumerate(message.poses, start=1):
        q, at = entry.orientation, entry.position
        center_mm = [at.x * _MM_PER_M, at.y * _MM_PER_M, at.z * _MM_PER_M]
        names.append(f"pose-{number:03d}")
        poses.append(quaternion_pose((q.w, q.x, q.y, q.z), center_mm, where=f"{path} pose {number}"))
    return imported(path, names, poses)


FORMAT = PoseFormat(name="ros", read=read_ros, write=write_ros, suffixes=(".yaml", ".yml"))
