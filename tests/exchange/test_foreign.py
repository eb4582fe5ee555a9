"""Files of weights that others have written: what is understood, and what is refused."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weight_files import as_safetensors, as_torch, by_hand, make_weights

from resnet_cluster.errors import IntegrityError, UsageError
from resnet_cluster.exchange import ForeignWeights, read_foreign
from resnet_cluster.exchange.foreign import MAX_BYTES, MAX_HEADER_BYTES

WEIGHTS = make_weights()
TORCH = as_torch(WEIGHTS)
OLD_TORCH = as_torch(WEIGHTS, _use_new_zipfile_serialization=False)
SAFETENSORS = as_safetensors(WEIGHTS, {"made": "here"})
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(tmp_path: Path, content: bytes) -> ForeignWeights:
    path = tmp_path / "weights"
    path.write_bytes(content)
    return read_foreign(path)


def assert_are_the_weights(found: ForeignWeights) -> None:
    assert set(found.tensors) == set(WEIGHTS)
    assert all(torch.equal(found.tensors[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    ("content", "format"), [(TORCH, "torch"), (OLD_TORCH, "torch"), (SAFETENSORS, "safetensors")]
)
def test_the_kinds_of_files(tmp_path: Path, content: bytes, format: str) -> None:
    found = read(tmp_path, content)
    assert_are_the_weights(found)
    assert found.format == format
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.metadata == ({"made": "here"} if format == "safetensors" else {})


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes(tmp_path: Path, wrapper: str, prefix: str) -> None:
    inside = {f"{prefix}{name}": tensor for name, tensor in WEIGHTS.items()}
    found = read(tmp_path, as_torch({wrapper: inside, "epoch": 90, "optimizer": {}}))
    assert_are_the_weights(found)
    assert found.taken_from == wrapper


def test_a_prefix_of_some_names_stays(tmp_path: Path) -> None:
    inside = {f"module.{name}": tensor for name, tensor in WEIGHTS.items()} | {"x": torch.ones(1)}
    assert set(read(tmp_path, as_torch(inside)).tensors) == set(inside)


def test_nothing_else_is_guessed(tmp_path: Path) -> None:
    assert set(read(tmp_path, as_torch({"net": WEIGHTS})).tensors) == {"net"}
    deeper = as_torch({"model": {"state_dict": WEIGHTS}})
    assert set(read(tmp_path, deeper).tensors) == {"state_dict"}
    two = as_torch({"model": WEIGHTS, "state_dict": WEIGHTS})
    with pytest.raises(IntegrityError, match="under state_dict and model"):
        read(tmp_path, two)


class Intruder:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_code_is_named_and_not_run(tmp_path: Path, options: dict[str, Any]) -> None:
    content = as_torch(WEIGHTS | {"x": Intruder(tmp_path / "made")}, **options)
    with pytest.raises(IntegrityError, match=r"posix\.mkdir.*run code") as refused:
        read(tmp_path, content)
    assert "state dict alone" in refused.value.mend
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model": WEIGHTS, "args": argparse.Namespace(lr=0.1)}, r"argparse\.Namespace"),
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a Tensor"),
    ],
)
def test_other_content(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(IntegrityError, match=says):
        read(tmp_path, as_torch(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        *(pickle.dumps({"x": [1.0]}, protocol=protocol) for protocol in range(6)),
        pickle.dumps(WEIGHTS),
        TORCH[: len(TORCH) // 2],
        OLD_TORCH[: len(OLD_TORCH) // 2],
    ],
)
def test_other_files_are_not_read_with_their_code(tmp_path: Path, content: bytes) -> None:
    """Torch's own message advises to do so."""
    with pytest.raises(IntegrityError) as refused:
        read(tmp_path, content)
    assert "weights_only" not in refused.value.message
    assert len(refused.value.message) < 200 + len(str(tmp_path))


def test_an_archive_that_swells(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(TORCH)) as whole,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for record in whole.infolist():
            packed.writestr(record.filename, whole.read(record))
    with pytest.raises(IntegrityError, match="compressed archive"):
        read(tmp_path, buffer.getvalue())


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "is a folder"),
        (_pipe, "not a plain file"),
    ],
)
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "weights")
    with pytest.raises(UsageError, match=says):
        read_foreign(tmp_path / "weights")
    with pytest.raises(UsageError, match="cannot be a path"):
        read_foreign(Path("a\0b"))


def test_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with path.open("wb") as file:  # sparse: no room is taken
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(IntegrityError, match="more than the weights of any network"):
        read_foreign(path)
    header = (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(IntegrityError, match="header has"):
        read_foreign(path)


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        {"x": TENSOR | {"dtype": "F99"}},
        {"x": TENSOR | {"shape": [3]}},
        {"x": TENSOR | {"shape": [-2]}},
        {"x": TENSOR | {"shape": [2**40, 2**40]}},
        {"x": TENSOR | {"data_offsets": [0, 4]}},
        {"x": TENSOR | {"data_offsets": [8, 0]}},
        {"x": TENSOR, "y": TENSOR},
        {"x": {}},
        {"x": None},
        {"__metadata__": {"a": 1}, "x": TENSOR},
        {"__metadata__": [], "x": TENSOR},
        b"{" * 2000,
        b'{"x": \xff}',
        b"{}",
    ],
)
def test_headers_that_do_not_describe_the_file(tmp_path: Path, header: object) -> None:
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        read(tmp_path, by_hand(header, b"\0" * 8))


def assert_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        read(tmp_path, content)
    except IntegrityError as error:
        refused = error
    else:
        return
    assert refused.message.isprintable()
    assert refused.mend


@MANY
@given(content=st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    assert_read_or_refused(tmp_path, content)


@MANY
@given(
    content=st.sampled_from([TORCH, OLD_TORCH, SAFETENSORS]), share=st.floats(0, 1), data=st.data()
)
def test_damaged_files(tmp_path: Path, content: bytes, share: float, data: st.DataObject) -> None:
    end = int(share * len(content))
    place = data.draw(st.integers(0, min(len(content), 9000) - 1))
    damaged = bytearray(content)
    damaged[place] ^= data.draw(st.integers(1, 255))
    assert_read_or_refused(tmp_path, bytes(damaged))
    assert_read_or_refused(tmp_path, content[:end])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@MANY
@given(
    header=st.dictionaries(st.sampled_from(["x", "y", "__metadata__"]), JSON),
    data=st.binary(max_size=32),
)
def test_any_header(tmp_path: Path, header: dict[str, Any], data: bytes) -> None:
    assert_read_or_refused(tmp_path, by_hand(header, data))
