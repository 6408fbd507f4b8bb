"""Draws the front of an example for the README, with the library's own figure: docs/front.svg.

python docs/tools/front.py    # takes Chromium, which the figure is drawn in
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

from mtl_search import load_run
from mtl_search.reporting.figures import figure_html, pareto_data, pareto_figure

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "results" / "examples" / "multi_fashion"
PICTURE = ROOT / "docs" / "front.svg"
WIDTH, HEIGHT = 760, 420
"""Pixels: as wide as a page of text."""
INK = "#4a5058"
"""Of text: dark, for the picture has white behind it wherever it is shown."""
SCRIPT = """<script>
Plotly.toImage("front", {format: "svg", width: %d, height: %d}).then(address => {
  document.body.innerHTML = "<pre id=drawn></pre>";
  document.getElementById("drawn").textContent = address;
});
</script>"""


def page() -> str:
    """A page that draws the figure and then holds nothing but its picture, as an address."""
    figure = pareto_figure(pareto_data(load_run(EXAMPLE)))
    figure.update_layout(paper_bgcolor="white", font_color=INK, width=WIDTH, height=HEIGHT)
    return figure_html(figure, "front") + SCRIPT % (WIDTH, HEIGHT)


def drawn(browser: str = "chromium") -> str:
    """The picture as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "page.html"
        place.write_text(page(), encoding="utf-8")
        options = ["--headless=new", "--no-sandbox", "--virtual-time-budget=20000", "--dump-dom"]
        command = [browser, *options, place.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"data:image/svg\+xml,([^<]+)", done.stdout)
    assert found is not None, "the browser drew nothing"
    return unquote(found[1])


if __name__ == "__main__":
    PICTURE.write_text(drawn(*sys.argv[1:]) + "\n", encoding="utf-8")
