"""Which networks there are: the tables of the paper, without torch.

| family   | depth         | block      | blocks in each stage            | widths         |
|----------|---------------|------------|---------------------------------|----------------|
| imagenet | 18, 34        | basic      | 2 2 2 2 / 3 4 6 3               | 64 128 256 512 |
| imagenet | 50, 101, 152  | bottleneck | 3 4 6 3 / 3 4 23 3 / 3 8 36 3   | 64 128 256 512 |
| cifar    | 6n+2, 8..1202 | basic      | n n n                           | 16 32 64       |

Sources: Table 1 (ImageNet) and section 4.2 (CIFAR-10). The paper's CIFAR nets have n = 3, 5, 7, 9,
18 and 200; here n is any number from 1 to 200.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from resnet_cluster.errors import UsageError
from resnet_cluster.spec.model import Family, Shortcut, Variant

BlockKind = Literal["basic", "bottleneck"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the family and the depth decide about a net; shortcuts and strides are apart from it."""

    family: Family
    """`imagenet`: 7x7 stem with stride 2 and a max pool. `cifar`: 3x3 stem, no pool."""
    block: BlockKind
    """`basic`: two 3x3 convolutions. `bottleneck`: 1x1, 3x3, 1x1, the last four times as wide."""
    num_blocks: tuple[int, ...]
    """Blocks in each stage."""
    widths: tuple[int, ...]
    """Channels of the 3x3 convolutions of each stage."""


def _imagenet(block: BlockKind, *num_blocks: int) -> Architecture:
    widths = (64, 128, 256, 512)
    return Architecture(family="imagenet", block=block, num_blocks=num_blocks, widths=widths)


IMAGENET: Final[dict[int, Architecture]] = {
    18: _imagenet("basic", 2, 2, 2, 2),
    34: _imagenet("basic", 3, 4, 6, 3),
    50: _imagenet("bottleneck", 3, 4, 6, 3),
    101: _imagenet("bottleneck", 3, 4, 23, 3),
    152: _imagenet("bottleneck", 3, 8, 36, 3),
}

CIFAR_DEPTHS: Final = range(8, 1202 + 1, 6)


def _cifar(depth: int) -> Architecture:
    n = (depth - 2) // 6
    return Architecture(family="cifar", block="basic", num_blocks=(n, n, n), widths=(16, 32, 64))


def find_architecture(family: Family, depth: int) -> Architecture:
    """The table's row of a net.

    Raises:
        UsageError: there is no net of that family and depth; the mend names the nearest depths.
    """
    _check_word("family", family, get_args(Family))
    if family == "imagenet":
        if depth not in IMAGENET:
            raise _no_such_depth("ImageNet", depth, mend=_one_of(tuple(IMAGENET)))
        return IMAGENET[depth]
    if depth not in CIFAR_DEPTHS:
        mend = f"6n+2: {' or '.join(map(str, _nearest_cifar_depths(depth)))}"
        raise _no_such_depth("CIFAR", depth, mend=mend)
    return _cifar(depth)


def check_architecture(
    family: Family, depth: int, shortcut: Shortcut, variant: Variant = "v1"
) -> None:
    """Refuse a net that the paper does not describe.

    `v1.5` is refused on basic blocks, which have no 1x1 for the stride to move from: it would be a
    second name of the `v1` net, and the same training would be run and listed twice.

    Raises:
        UsageError: unknown word, impossible depth, or `v1.5` on basic blocks.
    """
    _check_word("shortcut", shortcut, get_args(Shortcut))
    _check_word("variant", variant, get_args(Variant))
    architecture = find_architecture(family, depth)
    if variant == "v1.5" and architecture.block == "basic":
        raise UsageError(
            f"variant v1.5 moves the stride of bottlenecks, and {family} {depth} has basic blocks",
            mend="variant v1, or imagenet with depth 50, 101 or 152",
        )


def _check_word(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise UsageError(f"there is no {what} {word!r}", mend=_one_of(known))


def _no_such_depth(family: str, depth: int, *, mend: str) -> UsageError:
    return UsageError(f"there is no {family} net of depth {depth}", mend=mend)


def _one_of(words: tuple[object, ...]) -> str:
    *head, last = map(str, words)
    return f"{', '.join(head)} or {last}"


def _nearest_cifar_depths(depth: int) -> list[int]:
    below = (depth - 2) // 6 * 6 + 2
    smallest, largest = CIFAR_DEPTHS[0], CIFAR_DEPTHS[-1]
    return sorted({min(max(near, smallest), largest) for near in (below, below + 6)})
