import functools
import gzip
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, dataset_source, load_dataset
from mtl_search.datasets import _idx as idx
from mtl_search.datasets._pairs import SIDE, Labelled, disjoint
from mtl_search.datasets.multi_mnist import DIGITS, mnist_digits
from mtl_search.errors import DatasetError, UnknownNameError, UserError

SIZES = {"train": 300, "val": 80, "test": 120}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
FILES = tuple(idx.SHA256)


def small(**options: int) -> Dataset:
    return load_dataset("multi_mnist", **{**SIZES, **options})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small()


@functools.cache
def digits() -> Labelled:
    return mnist_digits()


def assert_same_data(one: Dataset, other: Dataset) -> None:
    for name, split in one.splits.items():
        assert (split.inputs == other.splits[name].inputs).all()
        for task, targets in split.targets.items():
            assert (targets == other.splits[name].targets[task]).all()


def pictures_of(labelled: Labelled) -> set[bytes]:
    return {picture.tobytes() for picture in labelled[0]}


def assert_composed_of(canvas: NDArray[np.uint8], left: Labelled, right: Labelled, classes: tuple[int, int]) -> None:
    """Some picture of ``left`` and one of ``right``, of these classes, make the canvas: the pixelwise maximum."""
    corner, far = canvas[0, :28, :28], canvas[0, -28:, -28:]
    ours = left[0][left[1] == classes[0]]
    theirs = right[0][right[1] == classes[1]]
    # Where the other picture cannot reach, a picture stands alone.
    ours = ours[(ours[:, :8, :] == corner[:8, :]).all(axis=(1, 2)) & (ours[:, :, :8] == corner[:, :8]).all(axis=(1, 2))]
    theirs = theirs[(theirs[:, 20:, :] == far[20:, :]).all(axis=(1, 2))]
    theirs = theirs[(theirs[:, :, 20:] == far[:, 20:]).all(axis=(1, 2))]
    assert any((composed(one, other) == canvas[0]).all() for one in ours for other in theirs)


def composed(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """By definition: left picture in the upper left corner, right one in the lower right, the brighter pixel wins."""
    first, second = np.zeros((2, 36, 36), np.uint8)
    first[:28, :28], second[8:, 8:] = left, right
    return np.maximum(first, second)


def test_shapes_and_types(dataset: Dataset) -> None:
    assert (dataset.name, dataset.input_shape) == ("multi_mnist", (1, SIDE, SIDE))
    assert [(task.name, task.outputs) for task in dataset.tasks] == [("left", 10), ("right", 10)]
    assert dataset.score_names == ["left/accuracy", "left/loss", "right/accuracy", "right/loss"]
    assert list(dataset.splits) == ["train", "val", "test"]
    for name, split in dataset.splits.items():
        assert (split.inputs.shape, split.inputs.dtype) == ((SIZES[name], 1, 36, 36), np.uint8)
        assert len(split) == SIZES[name]
        for task in ("left", "right"):
            assert (split.targets[task].shape, split.targets[task].dtype) == ((SIZES[name],), np.int64)
            assert set(split.targets[task]) == set(range(10))


def test_mean_and_deviation_are_of_the_training_split(dataset: Dataset) -> None:
    inputs = dataset.splits["train"].inputs.astype(np.float64)
    assert dataset.mean == pytest.approx(inputs.mean(axis=(0, 2, 3)))
    assert dataset.std == pytest.approx(inputs.std(axis=(0, 2, 3)))


def test_pictures_are_composed_of_their_own_splits_digits(dataset: Dataset) -> None:
    parts = disjoint(digits(), DIGITS, seed=0)
    for name, split in dataset.splits.items():
        for sample in range(25):
            classes = int(split.targets["left"][sample]), int(split.targets["right"][sample])
            assert_composed_of(split.inputs[sample], parts[name], parts[name], classes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_base_digits_of_the_splits_are_disjoint(seed: int) -> None:
    parts = disjoint(digits(), DIGITS, seed)
    assert {name: len(part[0]) for name, part in parts.items()} == DIGITS
    seen = [pictures_of(part) for part in parts.values()]
    assert len(set.union(*seen)) == sum(map(len, seen)) == len(pictures_of(digits()))


def test_disjoint_divides_indices_by_lot() -> None:
    indices = (np.arange(200, dtype=np.uint8)[:, None, None], np.arange(200))
    parts = disjoint(indices, {"a": 150, "b": 30}, seed=3)
    chosen = np.concatenate([parts["a"][1], parts["b"][1]])
    assert len(set(chosen)) == 180
    assert (parts["a"][0][:, 0, 0] == parts["a"][1]).all()
    assert (parts["a"][1] != np.arange(150)).any()
    assert (parts["a"][1] != disjoint(indices, {"a": 150}, seed=4)["a"][1]).any()
    with pytest.raises(DatasetError, match="the splits need 201 single pictures, but got 200"):
        disjoint(indices, {"a": 150, "b": 51}, seed=3)


def test_same_options_make_the_same_data(dataset: Dataset) -> None:
    assert_same_data(dataset, small())
    assert (small(seed=1).splits["train"].inputs != dataset.splits["train"].inputs).any()
    assert dict(small(seed=1).options) == {**SIZES, "seed": 1}


def test_merged_joins_training_and_validation(dataset: Dataset) -> None:
    merged = dataset.merged()
    assert {name: len(split) for name, split in merged.splits.items()} == {"train": 380, "test": 120}
    inputs = np.concatenate([dataset.splits["train"].inputs, dataset.splits["val"].inputs])
    assert (merged.splits["train"].inputs == inputs).all()
    for task, targets in merged.splits["train"].targets.items():
        parts = [dataset.splits[name].targets[task] for name in ("train", "val")]
        assert (targets == np.concatenate(parts)).all()
    assert merged.splits["test"] is dataset.splits["test"]
    assert list(dataset.splits) == ["train", "val", "test"]


def test_without_leaves_a_split_out(dataset: Dataset) -> None:
    assert list(dataset.without("test").splits) == ["train", "val"]
    assert list(dataset.splits) == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"trian": 5}, ["`dataset.trian` is no option of `multi_mnist`", "Did you mean `train`?"]),
        ({"train": 0}, ["`dataset.train`", "greater than or equal to 1", "but got 0"]),
        ({"train": "many"}, ["`dataset.train`", "integer", "but got 'many'"]),
        ({"seed": -1}, ["`dataset.seed`", "but got -1"]),
        ({"root": "/tmp"}, ["`dataset.root` is no option"]),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, object], fragments: list[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        dataset_source("multi_mnist", options)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_unknown_dataset_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no dataset `multi_mnst`\. Did you mean `multi_mnist`"):
        load_dataset("multi_mnst")


def test_path_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match=r"must be a class derived from DatasetSource, or a function marked with"):
        dataset_source("test_datasets:NO_DATASET", {})


NO_DATASET = 3


# --- Fashion-MNIST's files ---------------------------------------------------------------------------------------


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


@functools.cache
def tiny_files() -> dict[str, bytes]:
    """The four files with 12 training and 5 test pictures."""
    rng = np.random.default_rng(0)
    files = {}
    for part, size in (("train", 12), ("t10k", 5)):
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(256, size=(size, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(rng.integers(10, size=size, dtype=np.uint8))
    return files


def write_files(folder: Path, packed: bool, changed: Mapping[str, bytes | None] | None = None) -> Path:
    """The four tiny files, some of them with other bytes, or left out."""
    folder.mkdir()
    for name, data in {**tiny_files(), **(changed or {})}.items():
        if data is not None:
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return folder


def assert_tiny_data(parts: tuple[Labelled, Labelled]) -> None:
    for (pictures, classes), part, size in zip(parts, ("train", "t10k"), (12, 5), strict=True):
        assert (pictures.shape, classes.shape, classes.dtype) == ((size, 28, 28), (size,), np.int64)
        assert idx_bytes(pictures) == tiny_files()[f"{part}-images-idx3-ubyte"]
        assert idx_bytes(classes.astype(np.uint8)) == tiny_files()[f"{part}-labels-idx1-ubyte"]


def assert_all_three_ways(message: str) -> None:
    for fragment in (*FILES, "`dataset.root`", "apt install dataset-fashion-mnist", "internet access", idx.SOURCE):
        assert fragment in message


@pytest.mark.parametrize("packed", [True, False])
def test_files_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    assert_tiny_data(idx.fashion_mnist(str(write_files(tmp_path / "files", packed))))


@pytest.mark.parametrize(
    ("changed", "fragments"),
    [
        ({IMAGES: b"\x00\x00\x09\x03" + bytes(12)}, [IMAGES, "is no IDX file of unsigned bytes with 3 dimensions"]),
        ({LABELS: b"\x00\x00\x08"}, [LABELS, "is no IDX file of unsigned bytes with 1 dimensions"]),
        ({LABELS: b""}, [LABELS, "is no IDX file"]),
        ({IMAGES: tiny_files()[LABELS]}, [IMAGES, "is no IDX file of unsigned bytes with 3 dimensions"]),
        ({IMAGES: tiny_files()[IMAGES][:-1]}, [IMAGES, "holds 9407 values, but its header says [12, 28, 28]"]),
        ({LABELS: tiny_files()["t10k-labels-idx1-ubyte"]}, ["train has 12 pictures, but 5 labels"]),
        ({IMAGES: idx_bytes(np.zeros((12, 20, 28), np.uint8))}, ["train must have pictures of 28x28", "(20, 28)"]),
        ({LABELS: None}, ["`dataset.root`", f"has no {LABELS}"]),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_broken_files_are_named(
    tmp_path: Path, packed: bool, changed: Mapping[str, bytes | None], fragments: list[str]
) -> None:
    folder = write_files(tmp_path / "files", packed, changed)
    with pytest.raises(DatasetError) as caught:
        idx.fashion_mnist(str(folder))
    for fragment in (str(folder), *fragments):
        assert fragment in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:12] + b"\xff" * 20 + data[32:]])
def test_damaged_gzip_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_files(tmp_path / "files", packed=True) / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"{IMAGES}\.gz: cannot be read"):
        idx.fashion_mnist(str(path.parent))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"`dataset\.root` must hold the four .* there is no folder .*nowhere"):
        idx.fashion_mnist(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["multi_fashion", "fashion_mnist"])
def test_too_few_garments_for_the_splits_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="the splits need 60,000 single pictures, but got 12"):
        load_dataset(name, root=str(write_files(tmp_path / "files", packed=True)))


Serve = Callable[[Mapping[str, bytes]], list[str]]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Debian package, an empty cache; the folder of the cache."""
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "no-debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "mtl_search" / "fashion-mnist"


@pytest.fixture
def serve(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve files on a port of this machine, in place of the real address; returns the paths asked for."""
    servers = []

    def start(files: Mapping[str, bytes]) -> list[str]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                data = files.get(self.path.lstrip("/"))
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        monkeypatch.setattr(idx, "SOURCE", f"http://127.0.0.1:{server.server_port}")
        return asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("data", [b"wrong", gzip.compress(b"wrong", mtime=0), b"\x1f\x8bno gzip", b""])
def test_download_of_wrong_bytes_is_refused(nowhere: Path, serve: Serve, data: bytes) -> None:
    serve({f"{name}.gz": data for name in FILES})
    with pytest.raises(DatasetError, match="does not have the expected SHA-256") as caught:
        idx.fashion_mnist(None)
    assert_all_three_ways(str(caught.value))
    assert not nowhere.exists()


def test_address_without_the_files_is_refused(nowhere: Path, serve: Serve) -> None:
    serve({})
    with pytest.raises(DatasetError, match=r"the download failed \(Not Found\)") as caught:
        idx.fashion_mnist(None)
    assert_all_three_ways(str(caught.value))
    assert not nowhere.exists()


def test_closed_port_is_refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(idx, "SOURCE", f"http://127.0.0.1:{port}")
    with pytest.raises(DatasetError, match="the download failed") as caught:
        load_dataset("multi_fashion")
    assert_all_three_ways(str(caught.value))
    assert not nowhere.exists()


@pytest.fixture
def tiny_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {name: hashlib.sha256(tiny_files()[name]).hexdigest() for name in FILES}
    monkeypatch.setattr(idx, "SHA256", sums)


@pytest.mark.usefixtures("tiny_checksums")
def test_download_is_checked_and_cached(nowhere: Path, serve: Serve) -> None:
    asked = serve({f"{name}.gz": gzip.compress(data) for name, data in tiny_files().items()})
    for _ in range(2):
        assert_tiny_data(idx.fashion_mnist(None))
    assert asked == [f"/{name}.gz" for name in FILES]
    assert sorted(path.name for path in nowhere.iterdir()) == sorted(f"{name}.gz" for name in FILES)


@pytest.mark.usefixtures("tiny_checksums")
def test_cache_that_cannot_be_written_is_refused(nowhere: Path, serve: Serve) -> None:
    nowhere.parent.parent.write_text("a file where the cache should be", encoding="utf-8")
    serve({f"{name}.gz": gzip.compress(data) for name, data in tiny_files().items()})
    with pytest.raises(DatasetError, match="cannot be written") as caught:
        idx.fashion_mnist(None)
    assert_all_three_ways(str(caught.value))


@pytest.mark.usefixtures("nowhere")
def test_debians_folder_comes_before_a_download(tmp_path: Path, serve: Serve) -> None:
    asked = serve({})
    write_files(tmp_path / "no-debian", packed=True)
    assert_tiny_data(idx.fashion_mnist(None))
    assert asked == []
