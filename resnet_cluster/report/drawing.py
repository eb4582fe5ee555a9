"""Figures drawn with matplotlib, which nothing else imports."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from resnet_cluster.errors import UsageError
from resnet_cluster.report.escaping import plain
from resnet_cluster.report.figures import Curve, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = ("svg", "png", "pdf")
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00")
"""Okabe and Ito's, which the colour-blind tell apart."""
_PANEL_SIZE = (4.0, 3.4)
_DPI = 160


def draw(figure: Figure, suffix: str) -> bytes:
    """A figure as an image.

    Equal figures give equal bytes.

    Args:
        figure: the figure.
        suffix: kind of the image: one of `SUFFIXES`.

    Raises:
        UsageError: images of that kind are not made.
    """
    if suffix not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise UsageError(f"no image is a {suffix or 'file without an ending'}", mend=kinds)
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "resnet-cluster", "font.size": 9}
    with mpl.rc_context(settings):
        width, height = _PANEL_SIZE
        canvas = Canvas(figsize=(width * len(figure.panels), height + 0.6), layout="constrained")
        axes: Any = canvas.subplots(1, len(figure.panels), squeeze=False, sharey=True)[0]
        colors = _colors(figure)
        for place, curves in enumerate(figure.panels):
            _draw_panel(axes[place], curves, colors)
            axes[place].set_xlabel(figure.x_labels[place])
            axes[place].set_ylabel(figure.y_labels[place])
        axes[0].set_ylim(0, _top(figure))
        canvas.suptitle(figure.title, fontsize=11)
        note = textwrap.fill(plain(figure.note), width=70 * len(figure.panels))
        canvas.supxlabel(note, fontsize=8, color="#555555", parse_math=False)
        return _saved(canvas, suffix)


def _colors(figure: Figure) -> dict[str, str]:
    """Of each network: those of one depth, plain and residual, have the same."""
    names = dict.fromkeys(curve.net for panel in figure.panels for curve in panel)
    depths = list(dict.fromkeys(map(_depth, names)))
    return {name: _COLORS[depths.index(_depth(name))] for name in names}


def _depth(name: str) -> str:
    """`20` of `plain-20` and of `ResNet-20 A`."""
    return name.partition("-")[2].partition(" ")[0]


def _draw_panel(panel: Axes, curves: tuple[Curve, ...], colors: dict[str, str]) -> None:
    has_both = len({curve.split for curve in curves}) > 1
    # Training dashed, as in the paper; where there is one kind of error, plain nets.
    dashed = {"train"} if has_both else _plain_nets(curves)
    for curve in curves:
        is_bold = has_both and curve.split == "test"
        panel.plot(
            curve.x,
            curve.y,
            color=colors[curve.net],
            linestyle="--" if {curve.split, curve.net} & dashed else "-",
            linewidth=1.8 if is_bold else 1.2,
            label=curve.net if is_bold or not has_both else "_",
        )
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlim(left=0)
    if curves:
        panel.legend(frameon=False)
    else:
        panel.set_xticks([])
        panel.text(0.5, 0.5, "no runs yet", ha="center", transform=panel.transAxes, color="#555555")


def _plain_nets(curves: tuple[Curve, ...]) -> set[str]:
    """Those that a panel shows beside residual ones."""
    names = {curve.net for curve in curves}
    plain_nets = {name for name in names if name.startswith("plain")}
    return plain_nets if plain_nets != names else set()


def _top(figure: Figure) -> float:
    """Of the axis: where curves that may be cut end is shown at large."""
    drawn = [curve.y for panel in figure.panels for curve in panel if curve.y]
    most = 1.05 * max((max(values) for values in drawn), default=100.0)
    if not figure.is_cut:
        return most
    return min(max(20.0, 2.5 * max((values[-1] for values in drawn), default=0.0)), most)


def svg_element(image: bytes) -> str:
    """The element of an SVG image, to stand in a page: without the prologue of a file."""
    text = image.decode()
    return text[text.index("<svg") :]


def _saved(canvas: Any, suffix: str) -> bytes:
    image = io.BytesIO()
    # The date would make equal figures differ.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    canvas.savefig(image, format=suffix, dpi=_DPI, metadata=metadata)
    return image.getvalue()
