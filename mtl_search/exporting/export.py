"""Exports a trained network of a run as a model file that needs nothing of this package, with a card beside it.

The file holds the plain graph of :mod:`mtl_search.networks.deployment`, behind the normalisation of its inputs. Before
it stands in its place its outputs are compared with those of the trained network.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from torch import nn

from mtl_search.datasets import Dataset
from mtl_search.errors import FieldError, MTLSearchError, StorageError, UserError
from mtl_search.exporting.formats import (
    TOLERANCE,
    Format,
    check_packages,
    input_type,
    largest_difference,
    quiet_exporter,
    write_onnx,
    write_program,
)
from mtl_search.exporting.model_card import card_page, model_card, other_files
from mtl_search.exporting.trained import Trained, load_trained
from mtl_search.internal.files import alone_in, write_bytes, write_json, write_text
from mtl_search.internal.layout import CARD, CARD_PAGE, EXPORT, EXPORTS, MODELS
from mtl_search.networks.deployment import FromRawInputs, InUnits, deployed
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.records import MOST_SEED
from mtl_search.runs.writer import remove_half_written
from mtl_search.searching.preparation import prepare


def export(
    run: Run | str | Path,
    which: str | int | None = None,
    *,
    format: Format = "onnx",
    seed: int | None = None,
    probabilities: bool = False,
    out: str | Path | None = None,
    dataset: Dataset | None = None,
) -> Path:
    """Write a trained network as a model file, ``model_card.json`` and ``MODEL_CARD.md``.

    Its input is named ``image``: float32 ``[batch, channels, height, width]`` in the units of the data (0 to 255 where
    those are bytes); of a table ``features``: ``[batch, features]``. It is float64 where float32 would make one of
    several values of the data. Its outputs are in the units of the targets, named as the tasks; in an ONNX file as
    :func:`~mtl_search.exporting.formats.output_names` says, and the card. The batch may have any size.

    :param run: A run, or its folder.
    :param which: ``knee``, ``best``, ``smallest`` or the number of a trial on the front, as everywhere
        (:func:`~mtl_search.runs.picks.pick`), or an entrant of the run's comparison (``hard_sharing``, ``trial-24``);
        the knee if left out, or the best where the front has none.
    :param format: ``onnx``, or ``torch``: a program for ``torch.export.load``.
    :param seed: Which training of an entrant; the first one if left out. A trial of the search has one alone.
    :param probabilities: Whether outputs are the probability of each class or label instead of its logit.
    :param out: Folder to write into; ``RUN/exports/<which>`` if left out.
    :param dataset: Used instead of loading the one that the run names, as in :func:`~mtl_search.search`.
    :returns: The model file.
    :raises UserError: If there is no such network, its weights were not kept, or a package is missing.
    :raises MTLSearchError: If the outputs of the file are not those of the network; it is not kept then.
    """
    if format not in get_args(Format):
        raise FieldError("format", "must be `onnx` or `torch`", format)
    if seed is not None and not 0 <= seed < MOST_SEED:
        raise FieldError("seed", f"must be from 0 to {MOST_SEED - 1:,}", seed)
    check_packages(format)
    loaded = run if isinstance(run, Run) else load_run(run)
    data = prepare(loaded.experiment, dataset)
    trained = load_trained(loaded, which, data, seed)
    raw = FromRawInputs(trained.network, data.mean, data.std, data.input_shape, data.centre)
    whole = InUnits(raw, data.tasks, probabilities).eval()
    folder = Path(out) if out is not None else loaded.path / EXPORTS / trained.name
    made_from = {"run": loaded.path.resolve().name, "name": trained.name, **trained.about}
    made_from |= {"probabilities": True} if probabilities else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{folder}: is a file; `--out` must be a folder.") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}.") from error
    with alone_in(folder, EXPORT):
        try:
            return _written(loaded, trained, data, whole, made_from, folder, format)
        except OSError as error:
            raise StorageError(folder, error, None) from error


def _written(
    run: Run,
    trained: Trained,
    data: Dataset,
    whole: nn.Module,
    made_from: Mapping[str, Any],
    folder: Path,
    format: Format,
) -> Path:
    """Write the model file and its card into a folder that this process is alone in."""
    others = other_files(folder, made_from, MODELS[format])
    remove_half_written(folder, EXPORT)
    path = folder / MODELS[format]
    writing = folder / f".writing-{MODELS[format]}"
    writing.unlink(missing_ok=True)
    card = model_card(run, trained, data, made_from)
    try:
        with quiet_exporter():
            graph = deployed(whole, data.input_shape, input_type(data))
            compute = (write_onnx if format == "onnx" else write_program)(graph, data, writing, json.dumps(card))
        difference = largest_difference(compute, whole, data)
        if not difference <= TOLERANCE:
            raise MTLSearchError(
                f"{path}: not written, for its outputs differ from those of the trained network by {difference:.1e}, "
                f"which must be at most {TOLERANCE:.0e}."
            )
        write_bytes(path, writing.read_bytes())
    finally:
        writing.unlink(missing_ok=True)
    card["files"] = {**others, path.name: difference}
    write_json(folder / CARD, card)
    write_text(folder / CARD_PAGE, card_page(card))
    return path
