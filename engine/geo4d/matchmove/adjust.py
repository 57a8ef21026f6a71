"""Bundle adjustment: all poses, points, one shared focal length and one radial term under a Cauchy loss."""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.camera import Intrinsics, invert_pose
from ..progress import Progress
from .colmap import pycolmap
from .database import new_camera
from .mapping import THREADS
from .triangulation import reprojection_errors


@dataclass
class Problem:
    """A reconstruction to adjust: ``c2w`` (F, 4, 4) with NaN for unposed frames, ``points`` (N, 3), observations."""

    c2w: np.ndarray
    points: np.ndarray
    track: np.ndarray
    frame: np.ndarray
    xy: np.ndarray
    lens: Intrinsics


def adjust(
    problem: Problem,
    progress: Progress,
    refine_focal: bool,
    refine_k1: bool,
    loss_px: float,
    iterations: int = 50,
) -> float:
    """Adjust in place; returns the mean Cauchy cost per observation, ``log(1 + (error / loss_px)^2)``.

    Observations of unposed frames, and of points without position or with one observation, take no part. A camera
    whose focal length and radial term are both held stays exactly as it is. Where the solver ends in numbers that are
    none, the problem stays as it was and the cost is infinite.
    """
    usable = replace(problem)
    usable.track, usable.frame, usable.xy = (
        part[_usable(problem)] for part in (problem.track, problem.frame, problem.xy)
    )
    if not len(usable.track):
        return np.inf
    model = to_reconstruction(usable)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = refine_focal
    options.refine_extra_params = refine_k1
    options.refine_principal_point = False
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_px
    options.ceres.use_gpu = False
    s = options.ceres.solver_options
    s.num_threads = THREADS
    s.function_tolerance = 1e-5
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    # The solver keeps Python's lock while it runs, so it runs a second or so at a time: a cancel gets through.
    at_once = int(np.clip(300_000 / max(1, len(problem.track)), 2, 12))
    done = 0
    while done < iterations:
        progress.advance("adjust", done, iterations)
        options.ceres.solver_options.max_num_iterations = min(at_once, iterations - done)
        summary = pycolmap.create_default_ceres_bundle_adjuster(options, config, model).solve()
        done += at_once
        if summary.termination_type == pycolmap.BundleAdjustmentTerminationType.CONVERGENCE:
            break
    usable.c2w, usable.points = problem.c2w.copy(), problem.points.copy()
    from_reconstruction(model, usable)
    error = reprojection_errors(usable.points, usable.track, usable.frame, usable.xy, usable.c2w, usable.lens)
    posed, known = np.unique(usable.frame), np.unique(usable.track)
    if not (np.isfinite(usable.c2w[posed]).all() and np.isfinite(usable.points[known]).all() and usable.lens.fx > 0):
        progress.log("adjustment: the solver ended in numbers that are none, left as it was")
        return np.inf
    problem.c2w, problem.points, problem.lens = usable.c2w, usable.points, usable.lens
    return float(np.mean(np.log1p(np.minimum(error / loss_px, 1e3) ** 2)))


def _usable(problem: Problem) -> np.ndarray:
    """Observations (M,) bool between a pose, a point and a place that are numbers; their points are seen twice."""
    rows = np.isfinite(problem.c2w[problem.frame]).all((1, 2)) & np.isfinite(problem.points[problem.track]).all(1)
    rows &= np.isfinite(problem.xy).all(1)
    return rows & (np.bincount(problem.track[rows], minlength=len(problem.points))[problem.track] >= 2)


def to_reconstruction(problem: Problem) -> pycolmap.Reconstruction:
    """The problem as a COLMAP model: image id = frame + 1, point ids in the order of the used tracks."""
    lens = problem.lens
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(new_camera(lens.width, lens.height, lens.fx, False, lens.k1))
    order = np.lexsort((problem.track, problem.frame))
    frame, xy = problem.frame[order], problem.xy[order].astype(np.float64)
    posed = np.flatnonzero(np.isfinite(problem.c2w[:, 0, 0]))
    w2c = invert_pose(problem.c2w)
    bounds = np.searchsorted(frame, np.arange(len(problem.c2w) + 1))
    for f in posed.tolist():
        image = pycolmap.Image(name=f"{f:06d}", keypoints=xy[bounds[f] : bounds[f + 1]], camera_id=1, image_id=f + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(w2c[f, :3]))
    # Observations are added point by point, so go through them sorted by track.
    index = np.empty(len(order), dtype=np.int64)
    index[order] = np.arange(len(order)) - bounds[frame]
    starts = np.flatnonzero(np.concatenate([[True], problem.track[1:] != problem.track[:-1]]))
    ends = np.append(starts[1:], len(problem.track)).tolist()
    image_ids, slots = (problem.frame + 1).tolist(), index.tolist()
    Element = pycolmap.TrackElement
    for a, b in zip(starts.tolist(), ends, strict=True):
        elements = [Element(image_ids[i], slots[i]) for i in range(a, b)]
        t = int(problem.track[a])
        model.add_point3D_with_id(t + 1, pycolmap.Point3D(xyz=problem.points[t], track=pycolmap.Track(elements)))
    return model


def from_reconstruction(model: pycolmap.Reconstruction, problem: Problem) -> None:
    camera = model.camera(1)
    f, cx, cy, k1 = (float(v) for v in camera.params)
    lens = problem.lens
    problem.lens = Intrinsics(lens.width, lens.height, f, f, cx, cy, k1)
    for image_id in model.reg_image_ids():
        problem.c2w[image_id - 1, :3] = model.image(image_id).cam_from_world().inverse().matrix()
    for point_id, point in model.points3D.items():
        problem.points[point_id - 1] = point.xyz
