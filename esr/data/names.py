"""Names of image files: marks of LR, HR and of other methods' results, and the names under which a pair meets."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from esr.config.schema import SCALE

_KINDS = "bicubic|bic|bi|bd|dn|unknown|mild|wild|difficult|blur_?down|blur|down|real"
_APART = r"(?:[_\-. ]|(?<=\d))"
_LR_MARKS = (
    rf"{_APART}(?:lr|lq)(?:[_-]?(?:{_KINDS}))?(?:[_-]?x?(?P<scale>\d))?",  # baby_LR, Canon_001_LR4, baby_LRBI_x4, 001LR
    r"[_\-. ]?x(?P<scale>\d)(?:[bdmuw]\d?)?",  # 0801x4, img_x4m: DIV2K's mild, wild, difficult and unknown
    r"[_\-. ](?P<scale>\d)x",
)
_LR_ENDS = tuple(re.compile(f"{mark}$", re.IGNORECASE) for mark in _LR_MARKS)
_LR_START = re.compile(r"^(?:lr|lq)(?:x?(?P<scale>\d))?[_\-. ]", re.IGNORECASE)
_HR_END = re.compile(rf"{_APART}(?:hr|gt|hq)(?:[_-]?x?\d)?$", re.IGNORECASE)
_HR_START = re.compile(r"^(?:hr|gt|hq)[_\-. ]", re.IGNORECASE)
_RESULT = re.compile(
    r"[_\-. ](?:(?:sr|out|outputs?|results?|pred|rec|restored|upscaled)(?:[_-]?x?\d)?|bicubic|bic|nearest|lanczos)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Split:
    """The files of one folder, by their names' marks."""

    hr: list[Path]
    lr: list[Path]
    skipped: list[Path]
    """Other scales, and results of other methods."""


def folded(name: str) -> str:
    """A name for comparison: without case, and composed, since some systems take letters and accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def hr_name(stem: str) -> str:
    """The image's name in the name of its HR file.

    >>> hr_name("img_001_SRF_4_HR"), hr_name("baby_HR_x4"), hr_name("GT_7"), hr_name("matrix4")
    ('img_001_SRF_4', 'baby', '7', 'matrix4')
    """
    return _HR_START.sub("", _HR_END.sub("", stem))


def lr_name(stem: str) -> str:
    """The image's name in the name of its LR file, without one mark."""
    names = lr_names(stem)
    return names[1] if names[1:] else stem


def lr_names(stem: str) -> list[str]:
    """Names under which an LR file's image may be known: the file's, then with one mark after the other taken off.

    >>> lr_names("img_x4_LR"), lr_names("0801x4m")
    (['img_x4_LR', 'img_x4', 'img'], ['0801x4m', '0801'])
    """
    names = [stem]
    while shorter := _without_lr_mark(names[-1]):
        names.append(shorter[0])
    return names


def lr_scale(stem: str) -> int | None:
    """The scale in an LR file's name, 4 where the mark has none; `None` without a mark.

    >>> lr_scale("Canon_001_LR4"), lr_scale("baby_LR"), lr_scale("0801x2"), lr_scale("baby")
    (4, 4, 2, None)
    """
    marked = _without_lr_mark(stem)
    if marked is None:
        return None
    inner = _without_lr_mark(marked[0])  # of img_x2_LR
    return marked[1] or (inner[1] if inner else None) or SCALE


def is_hr(stem: str) -> bool:
    """True for a name with a mark of HR."""
    return bool(_HR_END.search(stem) or _HR_START.search(stem))


def _without_lr_mark(stem: str) -> tuple[str, int | None] | None:
    found = next((match for mark in _LR_ENDS if (match := mark.search(stem)) and match.start()), None)
    if found is None and (found := _LR_START.search(stem)) is None:
        return None
    rest = stem[: found.start()] + stem[found.end() :]
    return (rest, int(found["scale"]) if found["scale"] else None) if rest else None


def split(files: Sequence[Path], elsewhere: Sequence[Path] = ()) -> Split:
    """Tells HR, LR and everything else in one folder apart.

    Where some names say that they are HR, a name without a mark is none: it is LR if every HR image has such a
    partner and nothing else is LR, and otherwise a result of another method.

    Args:
        files: Of one folder.
        elsewhere: LR files of another one.
    """
    results = _marked_results(files)
    marked = [file for file in files if is_hr(file.stem)]
    scales = {file: lr_scale(file.stem) for file in files if file not in marked and file not in results}
    lr = [file for file, scale in scales.items() if scale == SCALE]
    plain = [file for file, scale in scales.items() if scale is None]
    others = [file for file, scale in scales.items() if scale not in (None, SCALE)]
    if marked:
        bases = {folded(hr_name(file.stem)) for file in marked}
        partners = [file for file in plain if folded(file.stem) in bases]
        if not lr and len(partners) == len(bases):
            lr, plain = partners, [file for file in plain if file not in partners]
        return Split(marked, lr, [*plain, *others, *results])
    known = {folded(file.stem) for file in plain} | {folded(name) for file in lr for name in lr_names(file.stem)[1:]}
    other_scales = [file for file in others if known & {folded(name) for name in lr_names(file.stem)[1:]}]
    hr = plain + [file for file in others if file not in other_scales]  # names that only look like a scale
    results += results_among(hr, [*lr, *elsewhere])
    return Split([file for file in hr if file not in results], lr, [*results, *other_scales])


def _marked_results(files: Sequence[Path]) -> list[Path]:
    stems = {folded(file.stem) for file in files}
    return [file for file in files if folded(_RESULT.sub("", file.stem)) in stems - {folded(file.stem)}]


def results_among(files: Sequence[Path], lr: Iterable[Path] = ()) -> list[Path]:
    """Results of other methods among HR images: `a_SR.png` beside `a.png`, or one ending beside every image.

    Beside a single image, any ending that has its size; no image with an LR of its own is a result.
    """
    stems = {folded(file.stem): file for file in files}
    results = _marked_results(files)
    tails: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for stem, file in stems.items():
        for cut in (match.start() for match in re.finditer(r"[_\-. ]", stem)):
            if stem[:cut] in stems and not (stem[cut + 1 :].isdigit() or is_hr(stem)):
                tails[stem[cut:]].append((stem[:cut], file))
    partners = {folded(name) for file in lr for name in lr_names(file.stem)}
    owned = {file for found in tails.values() for _, file in found}
    bases = [stem for stem, file in stems.items() if file not in owned]
    for found in tails.values():
        if {base for base, _ in found} == set(bases) and (len(bases) > 1 or _of_one_size(stems[bases[0]], found[0][1])):
            results += [file for _, file in found if file not in results and folded(file.stem) not in partners]
    return results


def _of_one_size(one: Path, other: Path) -> bool:
    from esr.images.files import size_of  # noqa: PLC0415 - names alone do without OpenCV

    return size_of(one) == size_of(other) is not None


def pair_names(lr: Iterable[Path], hr: Iterable[Path]) -> tuple[list[tuple[Path, Path]], list[Path], list[Path]]:
    """LR files with the HR files that they belong to, and both kinds of files that are left over."""
    by_name: dict[str, Path] = {}
    files = list(hr)
    for names_of in (lambda stem: stem, hr_name, lambda stem: lr_name(hr_name(stem))):
        for file in files:
            by_name.setdefault(folded(names_of(file.stem)), file)
    pairs, lonely = [], []
    for file in lr:
        names = [*lr_names(file.stem), hr_name(file.stem)]
        partner = next((by_name[folded(name)] for name in names if folded(name) in by_name), None)
        if partner is None:
            lonely.append(file)
        else:
            pairs.append((file, partner))
    taken = {partner for _, partner in pairs}
    return pairs, lonely, [file for file in files if file not in taken]
