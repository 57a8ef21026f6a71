"""Models: list them, show one, convert or fetch its weights, check or remove them."""

import importlib
import json
from pathlib import Path

from ..errors import BadRequest, ModelMissing
from ..models import licence, registry
from ..models.readiness import readiness
from .console import reporter_for

STAGES = (("download", 10.0), ("read", 3.0), ("write", 2.0))


def add_arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, (function, summary) in ACTIONS.items():
        sub = actions.add_parser(action, help=summary, description=summary)
        sub.add_argument("--json", action="store_true", help="JSON for programs")
        sub.set_defaults(act=function)
        if action not in ("list", "convert"):
            sub.add_argument("name", metavar="MODEL", help="name of a model, e.g. geo4d")
        if action == "download":
            sub.add_argument("sources", metavar="SOURCE", nargs="*", help="addresses or local paths of its files")
        if action == "convert":
            sub.add_argument("--model", default="geo4d", help="name of the model (default geo4d)")
            sub.add_argument("sources", metavar="FILE", nargs="+", type=Path, help="its files, in the order of info")
            sub.add_argument("-o", "--output", type=Path, help="where to write (default: the models folder)")
        if action in ("download", "convert"):
            sub.add_argument("--accept-licence", action="store_true", help="agree to the terms that info shows")
            sub.add_argument("--sizes", type=Path, metavar="JSON", help="sizes of a network other than the released")


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
        "consent_needed": licence.needs_consent(card),
        "accepted": licence.accepted(card),
        "runs_on": card.runs_on,
        "sources": [_source(source) for source in card.sources],
        "present": path.exists(),
        "path": str(path),
        "bytes": path.stat().st_size if path.exists() else card.bytes_about,
        "sha256": stored.get("sha256"),
        **readiness(card),
    }


def _source(source: registry.SourceFile) -> dict:
    hub = source.hub
    return {
        "file": source.name,
        "where": source.where,
        "bytes_about": source.bytes_about,
        "sha256": source.sha256,
        "by_hand": not source.fetchable,
        "gated": hub is not None and hub.gated,
    }


def _list(arguments) -> None:
    models = [describe(card) for card in registry.MODELS.values()]
    if arguments.json:
        print(json.dumps(models))
        return
    for model in models:
        state = "present" if model["present"] else "not here"
        print(f"{model['name']:18} {state:9} {model['bytes'] / 2**30:5.1f} GiB   {model['title']}")
        print(f"{'':18} licence: {model['licence'] or 'none stated'}; {_use(model)}")
        print(f"{'':18} " + ("ready, on " + model["device"] if model["ready"] else "; ".join(model["lacks"])))


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
    agreed = "" if not model["consent_needed"] else " (accepted)" if model["accepted"] else " (not accepted yet)"
    print(f"{'licence':10} {licence.terms(registry.card(arguments.name))}{agreed}")
    for source in model["sources"]:
        print(f"{'source':10} {source['file']}: {source['where']}, about {source['bytes_about'] / 1e9:.1f} GB")


def _verify(arguments) -> None:
    from ..models import weight_file

    path = registry.weights_path(registry.card(arguments.name).name)
    manifest = weight_file.verify(path)
    result = {"model": arguments.name, "path": str(path), "sha256": manifest["sha256"], "intact": True}
    print(json.dumps(result) if arguments.json else f"{path} is intact (sha256 {manifest['sha256']}).")


def _not_shipped(name: str) -> registry.ModelCard:
    """The card of a model whose weights the user brings and takes away. Raises BadRequest for the others."""
    card = registry.card(name)
    if card.shipped:
        raise BadRequest("model_shipped", f"The weights of {name} come with the program.", "There is nothing to do.")
    return card


def _remove(arguments) -> None:
    path = registry.weights_path(_not_shipped(arguments.name).name)
    if not path.exists():
        raise ModelMissing("weights_missing", f"There are no weights at {path}.", "There is nothing to remove.")
    path.unlink()
    Path(str(path) + ".json").unlink(missing_ok=True)
    print(json.dumps({"model": arguments.name, "removed": str(path)}) if arguments.json else f"Removed {path}.")


def _accept(arguments) -> None:
    card = registry.card(arguments.name)
    licence.accept(card)
    result = {"model": card.name, "licence": card.licence, "accepted": True}
    print(json.dumps(result) if arguments.json else f"Accepted for {card.name}: {licence.terms(card)}")


def _download(arguments) -> None:
    from ..models.download import fetch
    from ..models.hub import fetch_from_hub

    card = _not_shipped(arguments.name)
    given = arguments.sources or [source.url or "" for source in card.sources]
    if not arguments.sources and not all(source.fetchable for source in card.sources):
        wanted = "; ".join(f"{source.name} = {source.where}" for source in card.sources)
        raise ModelMissing(
            "download_by_hand",
            f"The files of {card.name} must be fetched with a browser: {wanted}.",
            f"Then run: geo4d models download {card.name} {' '.join(source.name for source in card.sources)}",
        )
    if len(given) != len(card.sources):
        names = ", ".join(source.name for source in card.sources)
        raise BadRequest(
            "bad_arguments",
            f"{card.name} has {len(card.sources)} files, {len(given)} were given.",
            f"Give them in this order: {names}.",
        )
    _agree(card, arguments.accept_licence)
    reporter = reporter_for(arguments.json, STAGES)
    _check_room(card, [s for s, g in zip(card.sources, given, strict=True) if not g or "://" in g])
    folder = registry.models_folder() / "fetched" / card.name
    paths, fetched = [], []
    for source, address in zip(card.sources, given, strict=True):
        if not address:
            fetched.append(fetch_from_hub(source, folder, reporter))
            paths.append(fetched[-1])
        elif "://" in address:
            fetched.append(fetch(address, folder / source.name, source.sha256, progress=reporter))
            paths.append(fetched[-1])
        else:
            paths.append(Path(address))
    _convert_files(card, paths, None, arguments.sizes, reporter)
    for path in fetched:  # the converted file has all that is needed of them
        path.unlink(missing_ok=True)


def _convert(arguments) -> None:
    card = _not_shipped(arguments.model)
    if arguments.accept_licence:
        licence.accept(card)
    if len(arguments.sources) != len(card.sources):
        names = " ".join(source.name for source in card.sources)
        raise BadRequest(
            "bad_arguments",
            f"{card.name} is made of {len(card.sources)} files, {len(arguments.sources)} were given.",
            f"Give them in this order: {names}",
        )
    reporter = reporter_for(arguments.json, STAGES[1:])
    _convert_files(card, arguments.sources, arguments.output, arguments.sizes, reporter)


def _agree(card: registry.ModelCard, accept: bool) -> None:
    if accept:
        licence.accept(card)
    licence.require(card)


def _check_room(card: registry.ModelCard, to_fetch: list[registry.SourceFile]) -> None:
    """Raise OutputError where what is fetched and what is made of it would not both fit."""
    from ..models.weight_file import check_room

    folder = registry.models_folder()
    there = sum(path.stat().st_size for path in (folder / "fetched" / card.name).rglob("*") if path.is_file())
    wanted = sum(source.bytes_exact or source.bytes_about for source in to_fetch)
    check_room(folder, max(0, wanted - there) + card.bytes_about)


def _convert_files(card, paths: list[Path], output: Path | None, sizes: Path | None, reporter) -> None:
    options = {}
    if sizes is not None:
        try:
            options["sizes"] = sizes.read_text()
        except OSError as error:
            raise BadRequest("bad_arguments", f"{sizes} cannot be read ({error.strerror}).") from error
    try:
        convert = importlib.import_module(f"..models.{card.folder}.convert", __package__).convert
    except ImportError as error:
        raise ModelMissing(
            "package_missing", f"The package {error.name} is not installed.", 'Run: pip install "geo4d[gpu]"'
        ) from error
    output = output or registry.weights_path(card.name)
    manifest = convert(*paths, output=output, progress=reporter, **options)
    reporter.result({"weights": str(output), "bytes": manifest["bytes"], "sha256": manifest["sha256"]})
    if licence.needs_consent(card):
        hint = "" if licence.accepted(card) else f"Before it runs: geo4d models accept {card.name}"
        reporter.warn("licence", f"Licence of {card.name}: {licence.terms(card)}", hint)


ACTIONS = {
    "list": (_list, "all models and which are here"),
    "info": (_info, "where a model comes from, its licence, size and hash"),
    "accept": (_accept, "agree to a model's licence, before it is fetched or run"),
    "verify": (_verify, "compare the weights with their hash"),
    "download": (_download, "fetch or take a model's files and convert them"),
    "convert": (_convert, "convert official checkpoints to one safetensors file"),
    "remove": (_remove, "delete a model's weights"),
}
