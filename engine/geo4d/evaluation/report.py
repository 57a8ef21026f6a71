"""The result of an evaluation as text for a terminal."""


def format_report(report: dict) -> str:
    """Aligned lines from what :func:`~geo4d.evaluation.evaluate.evaluate_scene` returns."""
    poses = ", ".join(f"{count} {name}" for name, count in report["poses"].items())
    lines = [f"{report['frames']} frames ({poses}); camera {report['motion']}, in truth {report['true_motion']}"]
    camera = report["camera"]
    if camera["ate_m"] is not None:
        percent = f"{camera['ate_percent']:.2f} % of {camera['path_m']:.2f} m"
        step = f"{camera['rpe_translation_m']:.4f} m, {camera['rpe_rotation_deg']:.3f} deg"
        lines += [_line("path error (ATE)", f"{camera['ate_m']:.4f} m, {percent}"), _line("per frame (RPE)", step)]
    lines += [
        _line("rotation", f"{camera['rotation_rms_deg']:.3f} deg rms, {camera['rotation_max_deg']:.3f} deg at most"),
        _line(
            "focal length",
            f"{camera['focal_px']:.1f} px, in truth {camera['true_focal_px']:.1f} px: "
            f"{camera['focal_error_percent']:.2f} % off",
        ),
        _line("radial term k1", f"{camera['k1']:+.4f}, in truth {camera['true_k1']:+.4f}"),
    ]
    return "\n".join(lines + _depth_lines(report["depth"]) + _photometric_lines(report["photometric"]))


def _depth_lines(depth: dict | None) -> list[str]:
    if depth is None:
        return ["no depth to compare"]
    parts = [part for part in ("all", "static", "moving", "confident") if part in depth["scale"]]
    everything = depth["scale"]["all"]["pixels"]
    lines = [
        f"depth of {depth['frames']} frames, {100 * depth['coverage']:.1f} % of the true pixels covered",
        _line("AbsRel / delta<1.25", "".join(f"{part:>18}" for part in parts)),
    ]
    names = {"scale": "after scale", "scale_shift": "after scale and shift", "constant": "constant depth"}
    for fit, name in names.items():
        cells = [f"{depth[fit][p]['abs_rel']:.4f} / {depth[fit][p]['delta_1_25']:.3f}" for p in parts]
        lines.append(_line(name, "".join(f"{cell:>18}" for cell in cells)))
    shares = [f"{100 * depth['scale'][p]['pixels'] / everything:.1f} %" for p in parts]
    lines.append(_line("share of pixels", "".join(f"{share:>18}" for share in shares)))
    return lines


def _photometric_lines(agreement: dict | None) -> list[str]:
    if agreement is None:
        return []
    text = f"{agreement['warped']:.1f} of 255 by depth and cameras, {agreement['unwarped']:.1f} without"
    return [_line("5 frames later", f"static pixels differ by {text}")]


def _line(name: str, text: str) -> str:
    return f"{name:<22}{text}"
