"""TensorFlow and PyTorch in one process."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAM = "import torch; p = torch.nn.Parameter(torch.ones(1)); o = torch.optim.Adam([p]); p.sum().backward(); o.step()"


@pytest.mark.parametrize("after", [pytest.param("import torchvision", id="torchvision"), pytest.param(ADAM, id="adam")])
def test_what_pytorch_loads_after_tensorflow_does_not_end_the_process(after: str) -> None:
    """Each brings LLVM, and in the wrong order the process ends without a word."""
    code = f"from tasks.features.late_tensorflow import late_tensorflow; late_tensorflow(); {after}; print('alive')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stdout) == (0, "alive\n"), run.stderr
