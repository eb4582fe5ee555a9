"""Networks of the user's own code."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from resnet_cluster.errors import UsageError
from resnet_cluster.spec.code import Code, find_code
from resnet_cluster.spec.model import CustomNetSpec


def build_custom(model: CustomNetSpec, num_classes: int) -> nn.Module:
    """What the entry's factory builds; its code must be that which the job was planned with.

    Raises:
        UsageError: the code is not there or another one, or it fails.
    """
    code = find_code(model.entry, sha256=model.source_sha256 or None)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the command's
        factory = _factory(model.entry, code)
        try:
            net = factory(num_classes=num_classes, **dict(model.options))
        except (Exception, SystemExit) as error:
            raise _failed(model.entry, error) from error
    if not isinstance(net, nn.Module):
        raise UsageError(
            f"{model.entry} returned {type(net).__name__}, and not a torch.nn.Module",
            mend="let it return the network",
        )
    return net


def offer_code(folder: Path) -> None:
    """Let `build_custom` find code there too, after all other places."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))


class _Finder(MetaPathFinder, Loader):
    """Imports the modules of one code from the very bytes that were hashed.

    Python's own finder would take compiled files of another time, and other folders' modules of the
    same names. It stays in place, so that what a network imports later is found as well.
    """

    def __init__(self) -> None:
        self._code: Code | None = None

    def serve(self, code: Code) -> None:
        """Serve this code, and forget the modules of the one before."""
        for name in [*self._names(), *_names_of(code)]:
            sys.modules.pop(name, None)
        self._code = code
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's, if it is of the code."""
        if self._code is None or fullname not in self._names():
            return None
        file = self._code.modules.get(fullname)
        is_package = file is None or file.name == "__init__.py"
        origin = str(self._code.root / file) if file else None
        spec = spec_from_loader(fullname, self, origin=origin, is_package=is_package)
        if spec is not None and file is not None:
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run its file; a package without one is empty."""
        assert self._code is not None
        file = self._code.modules.get(module.__name__)
        if file is not None:
            source = compile(self._code.contents[file], str(self._code.root / file), "exec")
            exec(source, module.__dict__)

    def _names(self) -> set[str]:
        return _names_of(self._code) if self._code else set()


_FINDER = _Finder()


def _names_of(code: Code) -> set[str]:
    """Its modules, and the packages that they lie in."""
    parts = [name.split(".") for name in code.modules]
    return {".".join(each[:length]) for each in parts for length in range(1, len(each) + 1)}


def _factory(entry: str, code: Code) -> Callable[..., Any]:
    module_name, _, name = entry.partition(":")
    if not code.is_installed:
        _FINDER.serve(code)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _failed(module_name, error) from error
    factory: Any = getattr(module, name, None)
    if not callable(factory):
        raise UsageError(
            f"{module_name} has no function {name!r}", mend="name one as package.module:factory"
        )
    return factory  # type: ignore[no-any-return]  # it is callable


def _failed(what: str, error: BaseException) -> UsageError:
    first = next(iter(str(error).splitlines()), "")
    return UsageError(
        f"{what} failed: {type(error).__name__}: {first}",
        mend="call it in Python as the tool does: factory(num_classes=..., **options)",
    )
