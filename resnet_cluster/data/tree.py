"""Which images a list of file names holds, of which class and split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resnet_cluster.errors import IntegrityError, UsageError

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp"]
)
TEST_FOLDERS = ("test", "val", "valid")


@dataclass(frozen=True)
class Tree:
    """Images of a tree, `<split>/<class>/<image>` or `<class>/<image>`.

    Attributes:
        classes: by name.
        train: (file name, class) of each image, by class and then by name.
        test: the same; None where the tree has no splits.
        num_ignored: other files, and hidden ones.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...] | None
    num_ignored: int


def arrange(names: Iterable[str], where: str) -> Tree:
    """Find classes and splits in the relative, slash-separated file names of a folder or tar.

    Folders above the splits or classes, such as an archive's own root, are left out.

    Raises:
        UsageError: the names are no such tree; the message says what was found.
        IntegrityError: a name is absolute or climbs out of the tree.
    """
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    num_ignored = 0
    for name in names:
        parts = _parts(name, where)
        if len(parts) < 2 or not _is_image(parts):
            num_ignored += 1
        else:
            groups.setdefault(parts[:-2], []).append((parts[-2], name))
    train, test = _splits(groups, where)
    classes = _classes(train, test, where)
    return Tree(
        classes=classes,
        train=_labelled(train, classes),
        test=None if test is None else _labelled(test, classes),
        num_ignored=num_ignored,
    )


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image that is not hidden."""
    return _is_image(tuple(name.split("/")))


def printable(name: str) -> str:
    """A file's name for a message: control characters cannot act on the terminal."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def _parts(name: str, where: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts:
        raise IntegrityError(
            f"{where}: holds {printable(name)!r}, a name that leads out of it",
            mend="make the archive from inside the folder, with relative names",
        )
    return parts


def _is_image(parts: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in parts)
    _, dot, suffix = parts[-1].rpartition(".")
    return not hidden and dot + suffix.lower() in IMAGE_SUFFIXES


_Group = list[tuple[str, str]]


def _splits(groups: dict[tuple[str, ...], _Group], where: str) -> tuple[_Group, _Group | None]:
    if not groups:
        raise UsageError(
            f"{where}: holds no images in class folders",
            mend="lay it out as <class>/<image> or train/<class>/<image> and test/<class>/<image>; "
            "`resnet-cluster data prepare --help` names what else is known",
        )
    if len(groups) == 1:
        return next(iter(groups.values())), None
    roots = {group[:-1] for group in groups}
    by_name = {group[-1]: images for group, images in groups.items() if group}
    tests = [name for name in TEST_FOLDERS if name in by_name]
    if len(roots) != 1 or len(by_name) != 2 or "train" not in by_name or len(tests) != 1:
        found = ", ".join(sorted(printable("/".join(group)) or "." for group in groups)[:8])
        raise UsageError(
            f"{where}: cannot tell its splits: class folders lie in {found}",
            mend="keep two splits, train and one of test, val or valid, or class folders alone",
        )
    return by_name["train"], by_name[tests[0]]


def _classes(train: _Group, test: _Group | None, where: str) -> tuple[str, ...]:
    classes = sorted({label for label, _ in train})
    if unknown := {label for label, _ in test or ()} - set(classes):
        raise UsageError(
            f"{where}: class {printable(min(unknown))!r} has test images and no training images",
            mend="add training images of that class, or remove its folder",
        )
    if len(classes) < 2:
        raise UsageError(
            f"{where}: holds one class only, {printable(classes[0])!r}",
            mend="point at the folder that holds the class folders",
        )
    for name in classes:
        if not name.isprintable():
            raise UsageError(
                f"{where}: the class name {name!r} has characters that cannot be printed",
                mend="rename that folder",
            )
    return tuple(classes)


def _labelled(group: _Group, classes: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    labels = {name: label for label, name in enumerate(classes)}
    return tuple((name, labels[label]) for label, name in sorted(group))
