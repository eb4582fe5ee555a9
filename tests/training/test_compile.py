"""`train.compile` changes how a net is computed, not what."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch._inductor.config as inductor_config
from tiny_jobs import final_weights, make_tiny_job, train

from resnet_cluster.training import pulse


@pytest.mark.slow
@pytest.mark.timeout(400)  # g++ compiles for a minute, on a machine with nothing else to do
def test_compiled_net_trains_alike(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses of two steps and the weights after them, to the rounding of fused operations."""
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    # In this process: workers of the compiler would outlive the test.
    monkeypatch.setattr(inductor_config, "compile_threads", 1)
    changes = {"train.iterations": 2, "train.ema": {"decay": 0.5}, "train.lr": 0.01}
    eager, compiled = (
        make_tiny_job(changes | {"train.compile": is_compiled}) for is_compiled in (False, True)
    )
    _, expected = train(eager, few_digits, tmp_path / "eager")
    _, journal = train(compiled, few_digits, tmp_path / "compiled")
    losses = [report.loss for report in journal.progress]
    assert losses == pytest.approx([report.loss for report in expected.progress], rel=1e-5)
    reference = final_weights(tmp_path / "eager")
    for name, tensor in final_weights(tmp_path / "compiled").items():
        scale = max(1.0, float(reference[name].abs().max()))
        assert float((tensor - reference[name]).abs().max()) <= 1e-4 * scale, name
    assert (tmp_path / "inductor").exists(), "nothing was compiled"
