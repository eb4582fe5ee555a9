"""Jobs for the tests of this room: a plain one as text, and any that the specs allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SHIPPED = Path(__file__).resolve().parents[2] / "jobs"

JOB = """\
# a job, with a comment and a blank line so that keys and lines differ

name: demo
seed: 3
model:
  family: cifar
  depth: 20
  shortcut: A
data:
  name: digits
  holdout: 0
  augment: {pad: 2, flip: false}
train:
  global_batch_size: 64
  bn_group: 32
  iterations: 6400
  lr: 1e-1
  schedule:
    kind: step
    milestones:
      - 3200
      - 4800
  precision: off
evaluate:
  select: final
resources:
  workers: 2
"""


def line_of(text: str, part: str) -> int:
    """The line, counted from 1, on which `part` begins."""
    return text[: text.index(part)].count("\n") + 1


def _number(low: float, high: float, **bounds: Any) -> st.SearchStrategy[float]:
    floats = st.floats(low, high, allow_nan=False, **bounds)
    return floats | st.integers(int(low) + 1, max(int(low) + 1, int(high) - 1))


RATE = _number(0, 1e6, exclude_min=True)
SHARE = st.floats(0, 1, exclude_max=True)
NAME = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
PATH = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], max_codepoint=0xFFFF),
    min_size=1,
    max_size=30,
)


def _schedules(length: float, holdout: int) -> st.SearchStrategy[dict[str, Any]]:
    within = st.floats(0, length, exclude_min=True, exclude_max=True)
    errors = ["train", "holdout"] if holdout else ["train"]
    falling = {"final_lr": st.floats(0, 1e6)}
    gamma = st.floats(0, 1, exclude_min=True, exclude_max=True)
    return st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.just("step"),
                "milestones": st.lists(within, max_size=4, unique=True).map(sorted),
            },
            optional={"gamma": gamma},
        ),
        st.fixed_dictionaries(
            {"kind": st.just("plateau"), "on": st.sampled_from(errors)},
            optional={
                "patience": st.integers(1, 10**9),
                "min_delta": st.floats(0, 100),
                "gamma": gamma,
            },
        ),
        st.fixed_dictionaries({"kind": st.just("cosine")}, optional=falling),
        st.fixed_dictionaries({"kind": st.just("linear")}, optional=falling),
        st.just({"kind": "constant"}),
    )


def _warmups(length: float) -> st.SearchStrategy[dict[str, Any] | None]:
    return st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {
                "kind": st.just("linear"),
                "length": st.floats(0, length, exclude_min=True),
            },
            optional={"start_lr": st.floats(0, 1e6)},
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("until_train_error"),
                "lr": RATE,
                "below": st.floats(0, 100, exclude_min=True),
            },
            optional={"window": st.integers(1, 100_000)},
        ),
    )


SIDE = st.integers(8, 4096)


@st.composite
def _crops(draw: st.DrawFn, length: float) -> dict[str, Any] | None:
    kind = draw(st.sampled_from([None, "random_resized", "shorter_side_jitter"]))
    if kind is None:
        return None
    sides = sorted([draw(SIDE), draw(SIDE), draw(SIDE)])
    if kind == "shorter_side_jitter":
        return {"kind": kind, "size": sides[0], "shorter_side": sides[1:]}
    crop: dict[str, Any] = {"kind": kind, "size": sides[1]}
    if draw(st.booleans()):
        share = st.floats(0, 1, exclude_min=True)
        crop["scale"] = sorted([draw(share), draw(share)])
    if sides[0] < sides[1] and draw(st.booleans()):
        place = st.floats(0, length)
        begin, end = sorted([draw(place), draw(place)])
        crop["grow"] = {"from_size": sides[0], "begin": begin, "end": end}
    return crop


MODELS = st.one_of(
    st.fixed_dictionaries(
        {
            "family": st.sampled_from(["cifar", "imagenet"]),
            "depth": st.integers(1, 10_000),
            "shortcut": st.sampled_from(["none", "A", "B", "C"]),
            "variant": st.sampled_from(["v1", "v1.5"]),
            "blur_pool": st.booleans(),
        }
    ),
    st.fixed_dictionaries({"family": st.just("torchvision"), "arch": st.just("vgg16")}),
    st.fixed_dictionaries(
        {"family": st.just("custom"), "entry": st.just("job_values:build")},
        optional={
            "options": st.dictionaries(
                st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(
                    lambda name: name != "num_classes"
                ),
                st.booleans()
                | st.integers(-(2**63) + 1, 2**63 - 1)
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.from_regex(r"[A-Za-z0-9_.+-]{0,64}", fullmatch=True),
                max_size=4,
            )
        },
    ),
)


@st.composite
def job_values(draw: st.DrawFn) -> dict[str, Any]:
    """What a job file that is right may hold, as plain values."""
    holdout = draw(st.integers(0, 10**9))
    unit = draw(st.sampled_from(["epochs", "iterations"]))
    lengths = st.integers(1, 10**9) if unit == "iterations" else st.floats(1e-6, 1e9)
    length = draw(lengths)
    group = draw(st.integers(2, 1000))
    train = {
        "global_batch_size": group * draw(st.integers(1, 1000)),
        "bn_group": group,
        unit: length,
        "lr": draw(RATE),
        "schedule": draw(_schedules(length, holdout)),
        "precision": draw(st.sampled_from(["off", "bf16", "fp16"])),
    }
    optional = st.fixed_dictionaries(
        {},
        optional={
            "warmup": _warmups(length),
            "momentum": st.floats(1e-9, 1, exclude_max=True),
            "nesterov": st.booleans(),
            "weight_decay": st.floats(0, 1),
            "decay_bn_and_bias": st.booleans(),
            "label_smoothing": SHARE,
            "ema": st.none() | st.fixed_dictionaries({"decay": SHARE}),
            "channels_last": st.booleans(),
            "compile": st.booleans(),
        },
    )
    more = draw(optional)
    crop, view = draw(_crops(length)), sorted([draw(SIDE), draw(SIDE)])
    return {
        "name": draw(NAME),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "model": draw(MODELS),
        "data": {
            "name": draw(PATH),
            "holdout": holdout,
            "crop": crop,
            "shuffle_pages": draw(st.sampled_from([0, 1, 10**9])),
            "normalize": draw(
                st.sampled_from(["pixel_mean", "channel_mean", "channel_mean_std", "torchvision"])
            ),
            "view": draw(st.sampled_from([None, {"size": view[0], "resize": view[1]}])),
            "augment": {
                "pad": 0 if crop else draw(st.integers(0, 32)),
                "flip": draw(st.booleans()),
                "color": draw(st.sampled_from(["none", "pca"])),
            },
        },
        "train": train | more,
        "evaluate": {
            "protocols": draw(
                st.lists(
                    st.sampled_from(["single", "flip", "centre", "ten-crop", "multi-scale"]),
                    min_size=1,
                    unique=True,
                )
            ),
            "centre": {"size": view[0], "resize": view[1]},
            "scales": draw(st.lists(SIDE, min_size=1, max_size=8, unique=True).map(sorted)),
            "average": draw(st.sampled_from(["softmax", "logits"])),
            "select": draw(st.sampled_from(["final", "best_holdout"] if holdout else ["final"])),
            "norms_every": 0 if more.get("compile") else draw(st.integers(0, 10**9)),
            "predictions_gb": draw(st.floats(0, 1e6)),
            "observe_every": draw(st.integers(0, 10**9)),
        },
        "resources": {
            "workers": draw(st.integers(1, 4096)),
            "gpu": draw(st.sampled_from(["auto", "yes", "no"])),
        },
    }
