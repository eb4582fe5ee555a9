"""Networks of the user's own code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
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


def _factory(entry: str, code: Code) -> Callable[..., Any]:
    module_name, _, name = entry.partition(":")
    if not code.is_installed:
        for loaded in code.modules:  # another run's, or from before an edit
            sys.modules.pop(loaded, None)
    importlib.invalidate_caches()
    sys.path.insert(0, str(code.root))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _failed(module_name, error) from error
    finally:
        sys.path.remove(str(code.root))
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
