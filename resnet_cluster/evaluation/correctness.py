"""Which test images a run gets wrong, from what was kept of it: no scores are read, nor torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.evaluation.contents import damaged, open_records, read_contents, record_type


def wrong_images(folder: Path) -> NDArray[np.bool_]:
    """Whether the class with the best averaged score is not the image's own.

    It is as the run itself judged: the scores beside it are rounded.

    Args:
        folder: of the kept predictions.

    Returns:
        bool [images], in the order of their numbers.

    Raises:
        IntegrityError: they are not whole, or not what was written.
    """
    contents = read_contents(folder)
    if contents is None:
        raise damaged(folder, "it has no contents that can be read")
    kind = record_type(contents.num_views, contents.num_classes)
    wrong = np.zeros(contents.num_images, np.bool_)
    times_seen = np.zeros(contents.num_images, np.int64)
    for file in contents.files:
        records = open_records(folder, file, kind)
        ids = np.ascontiguousarray(records["sample_id"])
        if ids.size and (ids.min() < 0 or ids.max() >= contents.num_images):
            raise damaged(folder, f"{file.name} holds other images than the contents say")
        wrong[ids] = ~records["hits"][:, 0]
        times_seen += np.bincount(ids, minlength=contents.num_images)
    if not (times_seen == 1).all():
        raise damaged(folder, f"its files do not hold {contents.num_images} images once each")
    return wrong
