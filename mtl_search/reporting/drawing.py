"""The picture of an architecture, where the command line looks for it."""

from mtl_search.reporting.drawing_svg import svg_drawing as svg_drawing
from mtl_search.reporting.drawing_text import text_drawing as text_drawing
from mtl_search.reporting.layer_table import layer_table as layer_table
