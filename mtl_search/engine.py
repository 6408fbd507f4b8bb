"""How many processors a search takes: :mod:`mtl_search.internal.processors` under the name that scripts know."""

from mtl_search.internal.processors import processors as processors
