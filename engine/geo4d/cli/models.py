"""Models: list them, show one, convert or fetch its weights, check or remove them."""

import json
from pathlib import Path

from ..errors import BadRequest, ModelMissing
from ..models import registry
from .console import reporter_for

STAGES = (("download", 10.0), ("read", 3.0), ("write", 2.0))


def add_arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, (function, summary) in ACTIONS.items():
        sub = actions.add_parser(action, help=summary, description=summary)
        sub.add_argument("--json", action="store_true", help="JSON for programs")
        sub.set_defaults(act=function)
        if action in ("info", "verify", "remove", "download"):
            sub.add_argument("name", metavar="MODEL", help="name of a model, e.g. geo4d")
        if action == "download":
            sub.add_argument("sources", metavar="SOURCE", nargs="*", help="addresses or local paths of its files")
        if action == "convert":
            sub.add_argument("--model", default="geo4d", help="name of the model (default geo4d)")
            sub.add_argument("checkpoint", metavar="MODEL.ckpt", type=Path)
            sub.add_argument("vae", metavar="VAE.ckpt", type=Path)
            sub.add_argument("-o", "--output", type=Path, help="where to write (default: the models folder)")


def run(arguments) -> None:
    arguments.act(arguments)


def describe(card: registry.ModelCard) -> dict:
    """Everything about a model as plain values."""
    path = registry.weights_path(card.name)
    manifest = Path(str(path) + ".json")
    stored = json.loads(manifest.read_text()) if manifest.exists() else {}
    return {
        "name": card.name,
        "title": card.title,
        "paper": card.paper,
        "licence": card.licence,
        "licence_note": card.licence_note,
        "commercial_use": card.commercial_use,
        "runs_on": card.runs_on,
        "sources": [{"file": s.name, "where": s.where, "bytes_about": s.bytes_about} for s in card.sources],
        "present": path.exists(),
        "path": str(path),
        "bytes": path.stat().st_size if path.exists() else card.bytes_about,
        "sha256": stored.get("sha256"),
    }


def _list(arguments) -> None:
    models = [describe(card) for card in registry.MODELS.values()]
    if arguments.json:
        print(json.dumps(models))
        return
    for model in models:
        state = "present" if model["present"] else "not here"
        print(f"{model['name']:10} {state:9} {model['bytes'] / 2**30:5.1f} GiB   {model['title']}")
        print(f"{'':10} licence: {model['licence'] or 'none stated'}; {_use(model)}")


def _use(model: dict) -> str:
    return "commercial use allowed" if model["commercial_use"] else "no commercial use"


def _info(arguments) -> None:
    model = describe(registry.card(arguments.name))
    if arguments.json:
        print(json.dumps(model))
        return
    for key in ("title", "paper", "runs_on", "path", "sha256"):
        print(f"{key:10} {model[key] or '-'}")
    print(f"{'size':10} {model['bytes'] / 2**30:.2f} GiB, {'present' if model['present'] else 'not here'}")
    print(f"{'licence':10} {model['licence'] or 'none stated'}: {model['licence_note']}")
    for source in model["sources"]:
        print(f"{'source':10} {source['file']}: {source['where']}, about {source['bytes_about'] / 1e9:.1f} GB")


def _verify(arguments) -> None:
    from ..models import weight_file

    path = registry.weights_path(registry.card(arguments.name).name)
    manifest = weight_file.verify(path)
    result = {"model": arguments.name, "path": str(path), "sha256": manifest["sha256"], "intact": True}
    print(json.dumps(result) if arguments.json else f"{path} is intact (sha256 {manifest['sha256']}).")


def _remove(arguments) -> None:
    path = registry.weights_path(registry.card(arguments.name).name)
    if not path.exists():
        raise ModelMissing("weights_missing", f"There are no weights at {path}.", "There is nothing to remove.")
    path.unlink()
    Path(str(path) + ".json").unlink(missing_ok=True)
    print(json.dumps({"model": arguments.name, "removed": str(path)}) if arguments.json else f"Removed {path}.")


def _download(arguments) -> None:
    from ..models.download import fetch

    card = registry.card(arguments.name)
    if not arguments.sources:
        wanted = "; ".join(f"{source.name} = {source.where}" for source in card.sources)
        raise ModelMissing(
            "download_by_hand",
            f"The files of {card.name} must be fetched with a browser: {wanted}.",
            f"Then run: geo4d models download {card.name} {' '.join(source.name for source in card.sources)}",
        )
    if len(arguments.sources) != len(card.sources):
        names = ", ".join(source.name for source in card.sources)
        raise BadRequest(
            "bad_arguments",
            f"{card.name} has {len(card.sources)} files, {len(arguments.sources)} were given.",
            f"Give them in this order: {names}.",
        )
    reporter = reporter_for(arguments.json, STAGES)
    paths, fetched = [], []
    for source, given in zip(card.sources, arguments.sources, strict=True):
        if "://" in given:
            fetched.append(fetch(given, registry.models_folder() / "fetched" / source.name, progress=reporter))
            paths.append(fetched[-1])
        else:
            paths.append(Path(given))
    _convert_files(card, paths, None, reporter)
    for path in fetched:  # the converted file has all that is needed of them
        path.unlink()


def _convert(arguments) -> None:
    card = registry.card(arguments.model)
    reporter = reporter_for(arguments.json, STAGES[1:])
    _convert_files(card, [arguments.checkpoint, arguments.vae], arguments.output, reporter)


def _convert_files(card: registry.ModelCard, paths: list[Path], output: Path | None, reporter) -> None:
    try:
        from ..models.geo4d.convert import convert
    except ImportError as error:
        raise ModelMissing(
            "package_missing", f"The package {error.name} is not installed.", 'Run: pip install "geo4d[gpu]"'
        ) from error
    output = output or registry.weights_path(card.name)
    manifest = convert(*paths, output, progress=reporter)
    reporter.result({"weights": str(output), "bytes": manifest["bytes"], "sha256": manifest["sha256"]})
    if not card.commercial_use:
        reporter.warn("licence", f"{card.title}: {card.licence_note}")


ACTIONS = {
    "list": (_list, "all models and which are here"),
    "info": (_info, "where a model comes from, its licence, size and hash"),
    "verify": (_verify, "compare the weights with their hash"),
    "download": (_download, "fetch or take a model's files and convert them"),
    "convert": (_convert, "convert official checkpoints to one safetensors file"),
    "remove": (_remove, "delete a model's weights"),
}
