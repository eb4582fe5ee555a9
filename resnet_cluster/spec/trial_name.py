"""Names of trials: what varies, in letters that a run's name may have."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from resnet_cluster.spec.source import Value

MAX_LENGTH = 63
_DIGEST_LENGTH = 8
_SHORT = {"model.depth": "d", "model.shortcut": "", "model.arch": ""}
"""What stands for a key; another key's own last word does."""
_OTHER = re.compile(r"[^a-z0-9]+")
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_]*|[A-Z]")
_SHORT_DIGEST = 4


def trial_name(ablation: str, said: Mapping[str, Value], seed: int | None) -> str:
    """`cifar_depth-d20-none-s1`: the ablation's name, the values that vary, the seed.

    A name that would be too long ends in a digest of all of it instead.

    Args:
        ablation: its name.
        said: values by dotted key.
        seed: counted from 0; None where there is but one.
    """
    words = [*_words(said), *([] if seed is None else [f"s{seed}"])]
    name = "-".join([ablation, *words])
    if len(name) <= MAX_LENGTH:
        return name
    content = json.dumps([ablation, said, seed], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: MAX_LENGTH - _DIGEST_LENGTH - 1].rstrip('-_')}-{digest}"


def _words(said: Mapping[str, Value]) -> Iterator[str]:
    for key, value in said.items():
        if value is not None:  # none of a section says nothing but that the others have one
            short = _SHORT.get(key, key.rpartition(".")[2])
            yield _OTHER.sub("_", short.lower()) + _text(value)


def _text(value: Value) -> str:
    """Other text for another value of the same key."""
    if isinstance(value, bool | int | float):
        return _OTHER.sub("_", repr(value).lower()).strip("_")
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value.lower()
    content = json.dumps(value, sort_keys=True).encode()
    return f"_{hashlib.sha256(content).hexdigest()[:_SHORT_DIGEST]}"
