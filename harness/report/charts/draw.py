"""Drawing of any picture as SVG. This module and what it calls know no outcome: they draw the values of a picture."""

from __future__ import annotations

from harness.report.charts import bars, forest, scatter
from harness.report.charts.canvas import Put, drawn
from harness.report.charts.values import Bars, Chart, Forest, Scatter


def draw(chart: Chart, style: str = "", name: str = "") -> str:
    """Return a picture as SVG text; with `style` (a style sheet) as a file that stands alone.

    `name` sets its ids apart where several pictures of one name may stand in a page.
    """
    put = Put(name or chart.name, style)
    if isinstance(chart, Forest):
        return drawn(chart, lambda figure: forest.paint(figure, chart), scatter.SIZE, put)
    if isinstance(chart, Scatter):
        return drawn(chart, lambda figure: scatter.paint(figure, chart), scatter.SIZE, put)
    if isinstance(chart, Bars):
        return drawn(chart, lambda figure: bars.paint_bars(figure, chart), (bars.WIDTH, bars.height(chart)), put)
    return drawn(chart, lambda figure: bars.paint_line(figure, chart), (bars.WIDTH, bars.LINE_HEIGHT), put)
