"""curves.png: the curves of a training as a picture, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
import io
import logging
from typing import Any

from model.files import write_whole
from tools.results.curves import Points, points, smooth_series
from tools.results.metric_names import spoken
from tools.results.outcome import Outcome
from tools.results.run_folder import PICTURE_FILE
from tools.results.scales import thinned

logger = logging.getLogger(__name__)

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # As in tools.results.style.
_COLUMNS = 500


def write_picture(outcome: Outcome) -> None:
    """Write curves.png into the folder of a run that trained; a log line says what it lacks.

    Raises:
        DiskError: the disk is full.
    """
    if not outcome.folder.of("step"):
        return
    if importlib.util.find_spec("matplotlib") is None:
        logger.info(
            "%s is left out, which needs matplotlib: python -m pip install -r requirements-optional.txt",
            PICTURE_FILE,
        )
        return
    # It has much to tell of fonts, the first time that it is used.
    library = logging.getLogger("matplotlib")
    level = library.level
    library.setLevel(logging.ERROR)
    try:
        picture = _drawn(outcome)
    finally:
        library.setLevel(level)
    write_whole(outcome.folder.path / PICTURE_FILE, picture)


def _drawn(outcome: Outcome) -> bytes:
    # Without pyplot there is no state between two calls, and nothing that looks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(10, 6.4), dpi=110))
    loss, metric, rate, norm = canvas.figure.subplots(2, 2).flat
    # A layout that measures its texts would take longer than all the rest.
    canvas.figure.subplots_adjust(0.06, 0.06, 0.98, 0.9, wspace=0.14, hspace=0.28)
    steps = outcome.folder.of("step")
    _draw_noisy(loss, "loss", points(steps, "loss"), 0)
    _draw(loss, "dev", points(outcome.evaluations, "loss"), 1, marker="o")
    if outcome.metric:
        name = spoken(outcome.metric)
        _draw(metric, name, points(outcome.evaluations, outcome.metric), 2, marker="o")
        metric.set_title(f"dev {name}", fontsize=10)
    _draw(rate, "learning rate", points(steps, "learning_rate"), 0)
    _draw_noisy(norm, "gradient norm", points(steps, "grad_norm"), 3)
    for axis, title in ((loss, "loss"), (rate, "learning rate"), (norm, "gradient norm")):
        axis.set_title(title, fontsize=10)
    for axis in (loss, metric, rate, norm):
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if not axis.lines:
            axis.set_visible(False)
    if len(loss.lines) > 2:
        loss.legend(fontsize=8, frameon=False)
    canvas.figure.suptitle(outcome.name, fontsize=11)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue()


def _draw(axis: Any, name: str, found: Points, colour: int, **how: Any) -> None:
    if len(found[0]):
        axis.plot(*found, color=_COLOURS[colour], label=name, linewidth=1.5, **how)


def _draw_noisy(axis: Any, name: str, found: Points, colour: int) -> None:
    if len(found[0]):
        raw, smooth = smooth_series(name, found, colour)
        x, y = thinned(raw.x, raw.y, _COLUMNS)
        axis.plot(x, y, color=_COLOURS[colour], alpha=0.25, linewidth=0.8)
        axis.plot(smooth.x, smooth.y, color=_COLOURS[colour], label="training", linewidth=1.5)
