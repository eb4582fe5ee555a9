"""Records of what is measured of trained networks beside their errors, and of several together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from resnet_cluster.results.base import Count, Errors, Record


class EnsembleRecord(Record):
    """A figure: the errors of several runs' averaged scores on a split under a protocol.

    The first of its members, in the order of their ids, has the event.
    """

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...]
    """Ids of the runs, in order."""
    protocol: str
    average: str
    """What is averaged over views and runs: `softmax` or `logits`."""
    split: str
    select: str
    """The rule that chose the runs' weights; `mixed` where they differ."""
    num_moved: Count
    """Images on which a run's kept scores, rounded, judge otherwise than the run did."""
    errors: Errors

    @property
    def event_name(self) -> str:
        return self.name_of(self.members, self.protocol, self.average, self.split)

    @staticmethod
    def name_of(members: Sequence[str], protocol: str, average: str, split: str) -> str:
        """The event of a figure: the same runs have one of each."""
        digest = hashlib.sha256("\n".join(members).encode()).hexdigest()[:12]
        return f"ensemble-{digest}-{protocol}-{average}-{split}"


class SearchRecord(Record):
    """A search for the best ensemble among runs: a use of their test images.

    The first of the candidates, in the order of their ids, has the event.
    """

    kind: Literal["search"] = "search"
    candidates: tuple[str, ...]
    """Ids of the runs, in order."""
    chosen: tuple[str, ...]
    """Ids of those that joined, the best alone first."""
    protocol: str
    average: str
    num_images: Count
    """Images that judged; the others selected."""
    top1_err: float
    """Percent of them that the chosen ones have wrong together."""

    @property
    def event_name(self) -> str:
        digest = hashlib.sha256("\n".join(self.candidates).encode()).hexdigest()[:12]
        return f"search-{digest}-{self.protocol}-{self.average}-{len(self.chosen)}"


class ParityRecord(Record):
    """The run's network on a test split, through our path and through PIL and torchvision's."""

    kind: Literal["parity"] = "parity"
    dataset_name: str
    dataset_sha256: str
    pixels: str
    """Version of our path's crops, and what cut them: `v1, c` or `v1, pil`."""
    num_images: Count
    pixel_difference: float
    """Mean over all pixels, in grey levels of 255."""
    logit_difference: float
    """Mean over all images and classes."""
    max_logit_difference: float
    agreement: float
    """Percent of the images whose most likely class is the same."""
    top1_err: float
    """Percent wrong on our path."""
    reference_top1_err: float
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def event_name(self) -> str:
        return self.name_of(self.dataset_sha256, self.num_images)

    @staticmethod
    def name_of(dataset_sha256: str, num_images: int) -> str:
        """The event of a comparison: a run has one for so many images of a data set."""
        return f"parity-{dataset_sha256[:12]}-{num_images}"


class LayerStd(BaseModel):
    """A 3x3 layer, by the name of its convolution, and the deviation of its responses."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    name: str
    std: float


class ResponsesRecord(Record):
    """How strongly each 3x3 layer of the run's network responds to the images of a split."""

    kind: Literal["responses"] = "responses"
    split: str
    num_images: Count
    layers: tuple[LayerStd, ...]
    """In the order in which an image passes them."""

    @property
    def event_name(self) -> str:
        return self.name_of(self.split, self.num_images)

    @staticmethod
    def name_of(split: str, num_images: int) -> str:
        """The event of an analysis: a run has one for so many images."""
        return f"responses-{split}-{num_images}"


class LayerNorms(BaseModel):
    """Root mean squares of a 3x3 layer's signals after its normalisation, and of their gradients.

    The gradients are those of the mean loss of the micro-batch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    name: str
    forward: float
    gradient: float


class NormsRecord(Record):
    """What the layers of the run's network were like in the first micro-batch of an epoch."""

    kind: Literal["norms"] = "norms"
    epoch: Count
    """The epoch, counted from 1."""
    step: Count
    """Optimiser steps done before."""
    layers: tuple[LayerNorms, ...]

    @property
    def event_name(self) -> str:
        return f"norms-{self.epoch:05d}"
