"""The report's charts as PDF or SVG for a paper, by the page's own specification; matplotlib is imported only here."""

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from esr.errors import ConfigError
from esr.ranking.structures import Ranking
from esr.report.fitting import NAME
from esr.report.html.chart import Axis, Chart, chart, front
from esr.text import printable, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plot: TypeAlias = Literal["runtime", "ranks"]
PLOTS: tuple[Plot, ...] = get_args(Plot)
"""`runtime`: quality against runtime; `ranks`: each network's rank by runtime with its range."""
Form: TypeAlias = Literal["pdf", "svg"]
WIDTH_IN = 6.9
"""Inches: a page's two columns."""
_COLOURS = {"ranked": "#0072b2", "unranked": "#8a939c", "baseline": "#c25400"}
_FRONT, _MUTED = "#008a63", "#5b6570"
_WORDS = {"ranked": "ranked", "unranked": "not ranked", "baseline": "baseline"}
_WIDE = 10
"""Largest over smallest runtime above which a decade has three ticks."""
_ROW_IN = 0.16
"""Inches per network in the chart of ranks."""


def render(ranking: Ranking, plot: Plot, form: Form) -> bytes:
    """One chart as a file; the same ranking gives the same bytes.

    Raises:
        ConfigError: matplotlib is not installed, or the ranking lacks the chart's figures.
    """
    shown = chart(ranking)
    axes = {axis.id: axis for axis in shown.x}
    wanted = axes.get("ratio", axes.get("runtime_ms")) if plot == "runtime" else axes.get("rank")
    if wanted is None or not shown.y:
        raise ConfigError(f"chart={plot}: no network here has the figures for it")
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"--format {form} needs matplotlib, which is not installed: pip install matplotlib"
        ) from error
    style = {"font.size": 8, "svg.hashsalt": "esr", "pdf.fonttype": 42, "text.parse_math": False}
    style |= {"axes.grid": True, "grid.color": "#dfe3e8", "grid.linewidth": 0.5, "axes.axisbelow": True}
    with rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        figure = Figure(layout="constrained")
        _quality(figure, shown, wanted, shown.y[0]) if plot == "runtime" else _ranks(figure, shown, wanted)
        out = io.BytesIO()
        metadata = {"CreationDate": None, "Producer": None} if form == "pdf" else {"Date": None}
        figure.savefig(out, format=form, metadata=metadata)
    return out.getvalue()


def _quality(figure: "Figure", shown: Chart, x: Axis, y: Axis) -> None:
    """Quality against runtime, with the Pareto front and the gate."""
    figure.set_size_inches(WIDTH_IN, 3.6)
    axes = figure.add_subplot()
    known = [i for i, (a, b) in enumerate(zip(x.values, y.values, strict=True)) if a is not None and b is not None]
    most = max((network.params or 0 for network in shown.networks), default=0) or 1
    for kind, colour in _COLOURS.items():
        for place in (i for i in known if shown.networks[i].kind == kind):
            network = shown.networks[place]
            _bars(axes, x, place, y.values[place], colour)
            size = 150 * (network.params or 0) / most
            face = "none" if network.flag else colour
            axes.scatter(x.values[place], y.values[place], max(size, 12), face, edgecolors=colour, alpha=0.8, zorder=3)
        if any(shown.networks[i].kind == kind for i in known):
            axes.scatter([], [], 30, colour, label=_WORDS[kind])
    best = front(shown, x, y)
    axes.plot([x.values[i] for i in best], [y.values[i] for i in best], color=_FRONT, lw=1, label="Pareto front")
    if y.gate is not None:
        axes.axhline(y.gate, color=_MUTED, lw=0.8, ls=":", label="PSNR gate")
    _frame(axes, shown, x, y, known)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    winner = [i for i, network in enumerate(shown.networks) if network.kind == "ranked"][:1]
    labelled = [place for place in dict.fromkeys([*winner, *best]) if place in known]
    _names(axes, [(shortened(printable(shown.networks[i].key), NAME), x.values[i], y.values[i]) for i in labelled])


def _names(axes: "Axes", labelled: Sequence[tuple[str, Any, Any]]) -> None:
    """Names above or below their bubbles, over none of them if possible; one without room is left out."""
    from matplotlib.transforms import Bbox  # noqa: PLC0415 - see `render`

    axes.figure.draw_without_rendering()  # places the axes
    taken: list[Any] = []
    bubbles: list[Any] = []
    for one in axes.collections:  # a bubble each, or a mark of the legend
        radius = one.get_sizes()[0] ** 0.5 * axes.figure.dpi / 144
        bubbles += [Bbox([spot - radius, spot + radius]) for spot in axes.transData.transform(one.get_offsets())]
    for name, across, up in labelled:
        text = axes.annotate(name, (across, up), (0, 0), textcoords="offset points", ha="center", fontsize=7)
        start = text.get_window_extent()
        boxes = {side: start.translated(0, side * axes.figure.dpi / 72) for side in (7, -14, 16, -23, 25)}
        every = [*taken, *bubbles]
        free = [at for near in (every, taken) for at, box in boxes.items() if not any(map(box.overlaps, near))]
        if free:
            text.set_position((0, free[0]))
            taken.append(boxes[free[0]])
        else:
            text.remove()


def _frame(axes: "Axes", shown: Chart, x: Axis, y: Axis, known: Sequence[int]) -> None:
    """Axes that frame ranked networks and baselines, as the page's do at first."""
    chief = [i for i in known if shown.networks[i].kind != "unranked"] or known
    across = [value for i in chief for value in (x.values[i], *_bounds(x, i)) if value is not None]
    if x.log:
        from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415 - see `render`

        axes.set_xscale("log")
        wide = max(across) > _WIDE * min(across)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    up = [value for value in (y.gate, *(y.values[i] for i in chief)) if value is not None]
    room = (max(up) - min(up) or 1) * 0.09
    axes.set_ylim(min(up) - room, max(up) + room)
    axes.set_xlim(min(across) / 1.1 if x.log else 0, max(across) * 1.1)
    axes.set_xlabel(printable(x.label))
    axes.set_ylabel(shortened(printable(y.label), 2 * NAME))


def _ranks(figure: "Figure", shown: Chart, x: Axis) -> None:
    """Each ranked network's rank by runtime, with the range that its measurements allow."""
    places = sorted((rank, i) for i, rank in enumerate(x.values) if rank is not None)
    figure.set_size_inches(WIDTH_IN / 2, 0.7 + _ROW_IN * len(places))
    axes = figure.add_subplot()
    for row, (rank, place) in enumerate(places):
        colour = _COLOURS[shown.networks[place].kind]
        _bars(axes, x, place, row, colour)
        axes.scatter(rank, row, 14, "white" if shown.networks[place].flag else colour, edgecolors=colour, zorder=3)
    names = [shortened(printable(shown.networks[place].key), NAME) for _, place in places]
    axes.set_yticks(range(len(places)), names, fontsize=7)
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(0, max((rank for rank, _ in places), default=1) + 1)
    axes.set_xlabel(x.label)


def _bars(axes: "Axes", x: Axis, place: int, at: Any, colour: str) -> None:
    """The interval of a network's runtime."""
    low, high = _bounds(x, place)
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, lw=0.9, solid_capstyle="butt")


def _bounds(x: Axis, place: int) -> tuple[float | None, float | None]:
    return (x.low[place], x.high[place]) if x.low and x.high else (None, None)
