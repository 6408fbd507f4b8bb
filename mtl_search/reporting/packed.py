"""Texts of a page that are read rarely, packed: the drawings of the trials that are not on the front."""

import base64
import gzip
import json
from collections.abc import Mapping


def packed(texts: Mapping[str, str]) -> str:
    """Texts by their names as base64 of gzip of JSON, which browsers unpack; the same texts give the same."""
    text = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
