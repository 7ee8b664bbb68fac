"""What the trainer adds to ESPnet's."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest
import torch

from espnet2_birq.train.trainer import BiRQTrainer


def options(cpu_dtype: str) -> SimpleNamespace:
    return SimpleNamespace(ngpu=0, cpu_dtype=cpu_dtype)


@pytest.mark.parametrize(("cpu_dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_cpu_dtype_decides_what_matrix_products_run_in(cpu_dtype: str, expected: torch.dtype) -> None:
    linear = torch.nn.Linear(4, 4)
    with BiRQTrainer._cpu_autocast(options(cpu_dtype)):
        assert linear(torch.ones(1, 4)).dtype == expected


def test_under_bfloat16_every_step_sees_the_weights_of_the_step_before() -> None:
    linear = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(linear.parameters(), lr=1.0)
    outputs = []
    with BiRQTrainer._cpu_autocast(options("bfloat16")):
        for _ in range(2):
            output = linear(torch.ones(1, 4))
            outputs.append(output.detach().clone())
            output.float().sum().backward()
            optimizer.step()
    assert not torch.equal(outputs[0], outputs[1])


def test_an_unknown_cpu_dtype_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"cpu_dtype must be one of .*float32.*bfloat16.*'float16'"):
        BiRQTrainer.build_options(argparse.Namespace(cpu_dtype="float16"))
