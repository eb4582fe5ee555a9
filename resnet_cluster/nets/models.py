"""Any network that a job may name: built, counted, and tried out where it is not the paper's."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from resnet_cluster.errors import UsageError
from resnet_cluster.nets.batchnorm import batchnorm_layers
from resnet_cluster.nets.counts import NetFacts, count_flops, num_parameters
from resnet_cluster.nets.custom import build_custom
from resnet_cluster.nets.resnet import build_net
from resnet_cluster.spec.model import CustomNetSpec, ModelSpec, PaperNetSpec, TorchvisionNetSpec

WITHOUT_AUXILIARIES = ("googlenet", "inception_v3")
_TRIED_IMAGES = 2


def build_model(model: ModelSpec, num_classes: int) -> nn.Module:
    """A new network with the weights that torch's global generator gives.

    Raises:
        UsageError: there is no such network, or the user's code fails.
    """
    match model:
        case PaperNetSpec():
            return build_net(
                family=model.family,
                depth=model.depth,
                shortcut=model.shortcut,
                variant=model.variant,
                blur_pool=model.blur_pool,
                num_classes=num_classes,
            )
        case TorchvisionNetSpec():
            return _build_torchvision(model.arch, num_classes)
        case CustomNetSpec():
            return build_custom(model, num_classes)


def describe_model(
    model: ModelSpec,
    *,
    num_classes: int,
    sizes: Sequence[int],
    measured_sizes: Sequence[int] = (),
    watched: bool = False,
) -> NetFacts:
    """Parameters and FLOPs of a network; one that is not the paper's is tried out as well.

    Args:
        model: the network.
        num_classes: of its classifier.
        sizes: heights and widths of the images; the FLOPs are those of the first.
        measured_sizes: more sizes that it is measured at, without being trained at them.
        watched: whether its 3x3 layers are watched, so that it must have some.

    Raises:
        UsageError: there is no such network, or it cannot be trained (see `try_out`).
    """
    if isinstance(model, PaperNetSpec):
        with torch.device("meta"):
            net = build_model(model, num_classes)
        return NetFacts(num_parameters=num_parameters(net), flops=count_flops(net, sizes[0]))
    net = try_out(lambda: build_model(model, num_classes), num_classes, min(sizes)).eval()
    for size in {*sizes, *measured_sizes}:
        _check_logits(_called(net, size), num_classes, size)
    if watched and not (batchnorm_layers(net) and any(map(_is_3x3, net.modules()))):
        raise UsageError(
            "the network has no 3x3 convolution that batch normalisation follows",
            mend="set evaluate.norms_every to 0",
        )
    try:
        flops = count_flops(net, sizes[0], device="cpu")
    except Exception as error:
        raise UsageError(
            f"the network fails on a single image: {type(error).__name__}: {_first_line(error)}",
            mend=f"try it in Python on torch.zeros(1, 3, {sizes[0]}, {sizes[0]})",
        ) from error
    return NetFacts(num_parameters=num_parameters(net), flops=flops)


def try_out(build: Callable[[], nn.Module], num_classes: int, image_size: int) -> nn.Module:
    """Build a network, and let it pass two images forward and backward.

    Args:
        build: builds it, with weights from torch's global generator.
        num_classes: wanted of its output.
        image_size: height and width of the images.

    Raises:
        UsageError: its output is no logits, it draws its weights from elsewhere, has parameters
            that are frozen or get no gradient, changes buffers that are not batch normalisation's,
            or has layers that cannot be trained on any number of workers.
    """
    state = torch.get_rng_state()
    net = _built_from(build, seed=1)
    _check_same(net, _built_from(build, seed=1))
    _check_layers(net)
    _check_training(net, num_classes, image_size)
    torch.set_rng_state(state)
    return net


def _build_torchvision(arch: str, num_classes: int) -> nn.Module:
    from torchvision import models  # a second: for its networks only

    known = models.list_models(module=models)
    if arch not in known:
        near = difflib.get_close_matches(arch, known, n=3)
        mend = f"did you mean {' or '.join(near)}?" if near else "vgg16, vgg19, googlenet, ..."
        raise UsageError(f"torchvision has no classification network {arch!r}", mend=mend)
    more = {"aux_logits": False, "init_weights": True} if arch in WITHOUT_AUXILIARIES else {}
    net: nn.Module = models.get_model(arch, weights=None, num_classes=num_classes, **more)
    return net


def _built_from(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build()


def _check_same(net: nn.Module, again: nn.Module) -> None:
    first, second = net.state_dict(), again.state_dict()
    try:
        is_same = first.keys() == second.keys() and all(
            torch.equal(first[name].nan_to_num(), second[name].nan_to_num()) for name in first
        )
    except Exception as error:
        raise UsageError(
            f"the network's state is not of plain tensors: {_first_line(error)}",
            mend="let it hold dense tensors on the CPU, none of them lazy",
        ) from error
    if not is_same:
        raise UsageError(
            "two networks built from one seed have different weights",
            mend="draw them from torch's generator alone: every worker builds its own network",
        )


def _check_layers(net: nn.Module) -> None:
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    if frozen or not any(True for _ in net.parameters()):
        what = f"frozen parameters: {_few(frozen)}" if frozen else "no parameters"
        raise UsageError(f"the network has {what}", mend="let all of its parameters be trained")
    layers = batchnorm_layers(net)
    momenta = {layer.momentum for layer in layers}
    if (
        len(momenta) > 1
        or None in momenta
        or any(not layer.track_running_stats for layer in layers)
    ):
        raise UsageError(
            "its batch normalisations differ in their momentum, or keep no running statistics",
            mend="give all of them one momentum, and let them track their statistics",
        )
    if any(isinstance(module, nn.SyncBatchNorm) for module in net.modules()):
        raise UsageError(
            "SyncBatchNorm normalises over a number of images that depends on the workers",
            mend="take BatchNorm2d: train.bn_group says over how many images it normalises",
        )


def _check_training(net: nn.Module, num_classes: int, size: int) -> None:
    net = _copied(net).train()
    own = {id(buffer) for layer in batchnorm_layers(net) for buffer in layer.buffers()}
    before = {n: b.clone() for n, b in net.named_buffers() if id(b) not in own}
    logits = _called(net, size)
    _check_logits(logits, num_classes, size)
    changed = [
        name
        for name, buffer in net.named_buffers()
        if name in before and not torch.equal(buffer, before[name])
    ]
    if changed:
        raise UsageError(
            f"training changes buffers that are not batch normalisation's: {_few(changed)}",
            mend="make them parameters, or constants: workers could not agree on them",
        )
    _backward(logits)
    without = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    if without:
        raise UsageError(
            f"parameters get no gradient: {_few(without)}",
            mend="remove what the output does not use",
        )


def _copied(net: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(net)
    except Exception as error:
        raise UsageError(
            f"the network cannot be copied: {type(error).__name__}: {_first_line(error)}",
            mend="see that copy.deepcopy(net) works: a copy is measured while the net trains",
        ) from error


def _backward(logits: Tensor) -> None:
    try:
        F.cross_entropy(logits, torch.zeros(_TRIED_IMAGES, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise UsageError(
            f"the network has no backward pass: {type(error).__name__}: {_first_line(error)}",
            mend="let its output be floating-point, and depend on its parameters",
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _called(net: nn.Module, size: int) -> Tensor:
    """The output for images of a size, whatever it is."""
    images = torch.zeros(_TRIED_IMAGES, 3, size, size)
    images[1] = 1
    try:
        with torch.set_grad_enabled(net.training):
            output: Tensor = net(images)
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {_first_line(error)}"
        raise UsageError(
            f"the network fails on images of {size}x{size}: {what}",
            mend=f"try it in Python on torch.zeros(2, 3, {size}, {size})",
        ) from error
    return output


def _check_logits(logits: object, num_classes: int, size: int) -> None:
    wanted = (_TRIED_IMAGES, num_classes)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != wanted:
        raise UsageError(
            f"for images of {size}x{size} the network gives {shape}, and not logits of {wanted}",
            mend="let it return (N, num_classes), in training too",
        )
    assert isinstance(logits, Tensor)
    if logits.is_floating_point() and not logits.isfinite().all():
        raise UsageError(
            f"for images of zeros and ones, {size}x{size}, the network gives logits that are not "
            "finite",
            mend="see to its initial weights, and to what it divides by",
        )


def _is_3x3(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
