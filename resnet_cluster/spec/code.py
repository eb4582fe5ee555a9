"""The Python files behind a network of the user's: which they are, and their hash.

They are the entry's module, the packages that it lies in, and what these import from beside them,
found by reading the import statements: nothing is run. Of an installed package only its own files
count; what else it needs is as little in the hash as torch is.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_cluster.errors import UsageError

MAX_BYTES = 2 << 20
"""Of all files of an entry together: what is kept with each run."""

_OWN_PACKAGE = __name__.partition(".")[0]
"""Ours is no part of anybody's network: a run states its version."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """The files behind an entry."""

    root: Path
    """Folder that Python finds the entry in."""
    contents: Mapping[Path, bytes]
    """The files by their paths below it, as they were hashed: these are run, and kept."""
    sha256: str
    is_installed: bool
    """Whether the folder is one of installed packages."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths, in order."""
        return tuple(sorted(self.contents))

    @property
    def modules(self) -> Mapping[str, Path]:
        """The files by the names of their modules."""
        return {_module_name(path): path for path in self.files}


def find_code(entry: str, *, sha256: str | None = None) -> Code:
    """The files behind `package.module:factory`, from the first folder that has them.

    Args:
        entry: the entry.
        sha256: wanted hash; None takes any.

    Raises:
        UsageError: there is no such module, none with that hash, or it cannot be read.
    """
    module = entry.partition(":")[0]
    roots = [root for root in _roots() if _file_of(root, module)]
    if not roots:
        raise UsageError(
            f"there is no module {module!r} in the working directory or on Python's path",
            mend="run the command where `python -c 'import "
            f"{module}'` works, or install the package",
        )
    for root in roots:
        try:
            code = _code(root, module)
        except UsageError:
            if sha256 is None:
                raise
            continue  # whatever it is, it is not what is wanted
        if sha256 in (None, code.sha256):
            return code
    raise UsageError(
        f"the source of {module!r} is not the one that the run was planned with",
        mend="bring the files back to what they were, or submit the job anew",
    )


def _roots() -> Iterator[Path]:
    """Where Python would look, the working directory first."""
    with contextlib.suppress(FileNotFoundError):  # the working directory may be gone
        yield from dict.fromkeys(Path(entry or ".").resolve() for entry in [".", *sys.path])


def _code(root: Path, module: str) -> Code:
    is_installed = bool({"site-packages", "dist-packages"} & set(root.parts))
    top = module.partition(".")[0]
    found: dict[Path, bytes] = {}
    waiting = [module]
    while waiting:
        for path in _files_of(root, waiting.pop()):
            if path in found:
                continue
            found[path] = _read(root / path)
            if sum(map(len, found.values())) > MAX_BYTES:
                raise UsageError(
                    f"{root}: the files behind {module!r} have more than {MAX_BYTES >> 20} MiB",
                    mend="put the network in a module of its own",
                )
            imported = _imports(found[path], path, root)
            waiting += [name for name in imported if not is_installed or _is_in(name, top)]
    return Code(root=root, contents=found, sha256=_sha256(found), is_installed=is_installed)


def _is_in(name: str, package: str) -> bool:
    return name.partition(".")[0] == package


def _files_of(root: Path, module: str) -> Iterator[Path]:
    """The files that importing a module below `root` runs; none where it is not there."""
    parts = module.split(".")
    if parts[0] == _OWN_PACKAGE or (module_file := _file_of(root, module)) is None:
        return
    for length in range(1, len(parts)):
        package = Path(*parts[:length], "__init__.py")
        if (root / package).is_file():
            yield package
    yield module_file


def _file_of(root: Path, module: str) -> Path | None:
    path = Path(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if (root / candidate).is_file():
            return candidate
    return None


def _imports(source: bytes, path: Path, root: Path) -> Iterator[str]:
    """Names of the modules that a file may import."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{root / path}: is not Python: {error}", mend="mend the file") from error
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*around, *filter(None, [node.module])])
            if base:
                yield base
            for alias in node.names:
                if alias.name == "*":  # its package may name its modules in __all__
                    yield from _modules_in(root, base)
                else:
                    yield ".".join(filter(None, [base, alias.name]))


def _modules_in(root: Path, package: str) -> Iterator[str]:
    folder = root.joinpath(*package.split(".")) if package else root
    if (folder / "__init__.py").is_file():
        yield from (f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", mend="make it readable") from error


def _module_name(path: Path) -> str:
    parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
    return ".".join(parts)


def _sha256(files: dict[Path, bytes]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(files[path]).hexdigest()
        digest.update(f"{path.as_posix()}\n{content}\n".encode())
    return digest.hexdigest()
