"""Submissions before a measurement: their structure is checked without running them, then each upscales one image.

A submission is a folder with a YAML, a folder with one `.py` and one weight file, or a challenge's repository.
"""

import ast
import io
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from esr.config.cards import Published, card_of_model
from esr.config.participant import read_network
from esr.config.repository import FUNCTION, POINTER, SCRIPT, parsed, read_layout
from esr.config.repository_sources import examine
from esr.config.repository_words import complete
from esr.config.schema import CheckpointConf, ModelConf, RepositoryConf, network_name, typed
from esr.errors import ConfigError, EsrError, NetworkError
from esr.evaluation import question
from esr.evaluation.worker import messages as to
from esr.evaluation.worker.envelope import Pixels
from esr.evaluation.worker.parent import WorkerFailure
from esr.records.network import Complexity
from esr.system.files import expanded
from esr.text import listed, one_line, shown_path
from esr.zoo import weights as zoo

WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".pkl")
LICENCES = ("license", "licence", "copying")
"""Beginnings of file names, in any case."""
PACKED = (".zip", ".tar", ".gz", ".tgz", ".xz", ".7z", ".rar")
MOST_BYTES = 2 << 30
"""Of a submission."""
_MOST_TEXT = 1 << 20
"""Bytes of a source in which a word is looked for."""
SIDE = 64
"""Pixels of the image in the dry run."""


@dataclass
class HandedIn:
    """A network that was handed in."""

    path: Path
    name: str
    model: ModelConf | None = None
    problems: list[str] = field(default_factory=list)
    """What its team must fix; none: it can be measured."""
    notes: list[str] = field(default_factory=list)
    """What does not stop a measurement."""
    complexity: Complexity | None = None
    is_baseline: bool = False
    """The baseline of a repository with other networks, which every fork has."""

    @property
    def ready(self) -> bool:
        """True if it can be measured."""
        return not self.problems

    @property
    def claims(self) -> Published | None:
        """Figures that its YAML states."""
        return card_of_model(self.model).claims if self.model else None


def submissions(paths: Sequence[Path]) -> list[HandedIn]:
    """Every network under these folders, with what is wrong in their files; nothing of them is run."""
    found = [one for path in paths for one in _in_folder(expanded(path))]
    own = [one for one in found if not one.is_baseline]
    for one in own:
        others = [str(two.path) for two in own if two is not one and two.name.casefold() == one.name.casefold()]
        if others:
            one.problems.append(f"its name {one.name} is also that of {listed(others)}: set another `name`")
    return found


def dry_run(one: HandedIn) -> None:
    """Upscales one image of 64×64 in a worker on the CPU and counts; adds what fails."""
    if one.model is None or not one.ready:
        return
    try:
        weights = zoo.resolve(one.model, "auto")
        with question.opened(one.model, weights) as (worker, request):
            loading = worker.ask(request).loading
            try:
                worker.ask(to.PassRequest(_image(), 0))
                worker.ask(to.QualityRequest((SIDE, SIDE)))
                counted = worker.ask(to.ComplexityRequest(256, 256))
            except WorkerFailure as error:
                failure = error.failure
                raise NetworkError(f"fails on an image during '{failure.stage}': {failure.message}") from error
    except EsrError as error:
        one.problems.append(one_line(str(error)))
        return
    one.complexity = counted.complexity
    if loading.passes:
        one.notes.append(f"{loading.passes} passes while loading")
    if counted.uncounted:
        one.notes.append(f"not counted: {counted.uncounted}")


def _image() -> Pixels:
    """A smooth image with an edge, like a photograph and unlike noise."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    planes = [rows, columns, (rows + columns > 1) * 0.6 + 0.2]
    return np.asarray(np.stack(planes, axis=2) * 255, dtype=np.uint8)


def _in_folder(folder: Path) -> Iterator[HandedIn]:
    if os.path.lexists(folder) and not folder.is_dir():
        other = HandedIn(folder, folder.name, problems=["no folder: hand in a folder, unpacked"])
        yield _of_yaml(folder) if folder.suffix in (".yaml", ".yml") else other
        return
    if not folder.is_dir():
        raise ConfigError(f"{shown_path(folder)}: no such folder; give folders with one submission each")
    inside = [one for one in folder.glob("*") if not one.name.startswith((".", "__"))]
    if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink():  # as archives are often unpacked
        yield from _in_folder(inside[0])
        return
    yamls = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    networks = [file for file in yamls if "_target_" in _text(file)]
    scripts = [file for file in folder.glob("*.py") if f"def {FUNCTION}(" in _text(file)]
    found = [_of_yaml(file) for file in networks]
    if not found and (scripts or any(folder.glob(SCRIPT)) or any(folder.glob(f"*/{SCRIPT}"))):
        found = list(_of_repository(folder))
    for one in found or [_bare(folder)]:
        yield _with_common_checks(one, folder)


def _text(file: Path) -> str:
    """The beginning of a regular file as text, as far as it can be read."""
    try:
        with file.open("rb") if file.is_file() else io.BytesIO() as opened:
            return opened.read(_MOST_TEXT).decode(errors="replace")
    except OSError:
        return ""


def _with_common_checks(one: HandedIn, folder: Path) -> HandedIn:
    """Licence and size, which concern every kind of submission."""
    licensed = any(path.name.lower().startswith(LICENCES) and path.is_file() for path in folder.glob("*"))
    if not licensed and not (one.model and one.model.checkpoint.licence):
        one.problems.append("no licence: add a LICENSE file, or checkpoint.licence to the YAML")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if size > MOST_BYTES:
        one.problems.append(f"{size / 2**30:.1f} GiB of files: hand in the network and its weights alone")
    return one


def _of_yaml(file: Path) -> HandedIn:
    name = file.parent.name if file.stem in ("model", "network", "submission") else file.stem
    one = HandedIn(file, name)
    try:
        model = typed(ModelConf, OmegaConf.to_container(read_network(file), resolve=True))
    except (EsrError, OSError) as error:
        one.problems.append(one_line(str(error)))
        return one
    one.model = model if model.name != file.stem else replace(model, name=name)
    one.name = network_name(one.model)
    one.problems += _class_problems(model._target_, file.parent)
    named = model.checkpoint.file
    one.problems += _weight_problems(file.parent / named) if named else ["checkpoint.file names no weights"]
    return one


def _class_problems(target: str, folder: Path) -> list[str]:
    module, _, name = target.rpartition(".")
    stem = folder.joinpath(*module.split("."))
    source = next((one for one in (Path(f"{stem}.py"), stem / "__init__.py") if os.path.isfile(one)), None)
    if source is None:
        absent = f"_target_={target}: no {module.replace('.', '/')}.py beside the YAML"
        return [] if module.startswith("esr.") else [absent]
    try:
        names = {node.name for node in ast.walk(parsed(source)) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    except ConfigError as error:
        return [str(error)]
    return [] if name in names else [f"_target_={target}: {source.name} defines no {name}"]


def _weight_problems(path: Path) -> list[str]:
    """Faults of a weight file that show without opening it as one."""
    if not os.path.isfile(path):
        return [f"{path.name} is not there"]
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        return [f"{path.name} cannot be read ({error.strerror})"]
    if not head:
        return [f"{path.name} is empty"]
    if head.startswith(POINTER):
        return [f"{path.name} is a Git LFS pointer: run git lfs pull and hand in the file itself"]
    if head.startswith(b"PK"):
        return [f"{path.name} is damaged"] if _is_damaged(path) else []
    return [] if head[:1] == b"\x80" or head[8:9] == b"{" else [f"{path.name} is no weight file"]


def _is_damaged(path: Path) -> bool:
    """True for an archive that cannot be read to its end, or is larger than any when it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
            return unpacked > MOST_BYTES or archive.testzip() is not None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError):  # RuntimeError: encrypted
        return True


def _of_repository(folder: Path) -> Iterator[HandedIn]:
    try:
        layout = read_layout(folder)
    except ConfigError as error:
        yield HandedIn(folder, folder.name, problems=[str(error)])
        return
    for entry in layout.entries:
        conf = ModelConf(f"test_demo.{FUNCTION}", repository=RepositoryConf(str(layout.root), entry.id))
        is_baseline = entry == layout.baseline and len(layout.entries) > 1
        one = HandedIn(folder, entry.name, complete(conf), is_baseline=is_baseline)
        missing = [name for name in entry.weights if not os.path.isfile(layout.root / name)]
        one.problems += [f"{listed(missing)} is not there"] if missing and len(missing) == len(entry.weights) else []
        there = [layout.root / name for name in entry.weights if name not in missing]
        one.problems += [problem for path in there for problem in _weight_problems(path)]
        sources = examine(layout, entry)
        one.problems += [f"needs packages: {' '.join(sources.packages)}"] if sources.packages else []
        one.notes += dict.fromkeys(reason.partition(" (")[0] for reason in sources.suspicious)
        yield one


def _bare(folder: Path) -> HandedIn:
    """A folder with one Python file and one weight file: the class is the one that no other builds."""
    one = HandedIn(folder, folder.name)
    sources = sorted(folder.glob("*.py"))
    weights = sorted(path for path in folder.rglob("*") if path.suffix in WEIGHTS and path.is_file())
    if len(sources) != 1 or len(weights) != 1:
        found = f"{len(sources)} Python files and {len(weights)} weight files"
        packed = listed(path.name for path in folder.glob("*") if path.suffix.lower() in PACKED)
        remedy = f"unpack {packed}" if packed else "add one, see docs/own-network.md"
        one.problems.append(f"{found} and no YAML with _target_: {remedy}")
        return one
    one.problems += _weight_problems(weights[0])
    try:
        classes = list(_outermost(parsed(sources[0])))
    except ConfigError as error:
        one.problems.append(str(error))
        return one
    if len(classes) != 1:
        names = listed(node.name for node in classes) or "none"
        one.problems.append(f"{sources[0].name}: which class is the network ({names})? Add a YAML with _target_")
        return one
    if asked := _required(classes[0]):
        one.problems.append(f"{classes[0].name} asks for {', '.join(asked)}: add a YAML with args")
    checkpoint = CheckpointConf(file=os.path.relpath(weights[0], folder))
    target = f"{sources[0].stem}.{classes[0].name}"
    one.model = ModelConf(
        target, name=folder.name, checkpoint=checkpoint, source=str((folder / "model.yaml").absolute())
    )
    return one


def _outermost(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Classes with a `forward` that no other class of the file mentions."""
    users = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    mentioned = {it.id for node in users for it in ast.walk(node) if isinstance(it, ast.Name) and it.id != node.name}
    for node in users:
        methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef) and "forward" in methods and node.name not in mentioned:
            yield node


def _required(node: ast.ClassDef) -> list[str]:
    """Arguments of the constructor that have no default."""
    made = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if made is None:
        return []
    positional = [*made.args.posonlyargs, *made.args.args][1:]
    return [one.arg for one in positional[: len(positional) - len(made.args.defaults)]]
