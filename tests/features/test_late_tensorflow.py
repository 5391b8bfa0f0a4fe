"""TensorFlow and PyTorch in one process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """if True:
    import os
    from tasks.features.picture_network import _without_greetings, late_tensorflow
    with _without_greetings():
        os.write(2, b"I0000 00:00:17.1 1 port.cc:153] oneDNN custom operations are on.\\nan alarm\\n")
    tf = late_tensorflow()
    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="one")
    print(tf.compat.v1.Session(graph=graph).run("one:0"), late_tensorflow() is tf, flush=True)

    import torch, torchvision
    parameter = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    print("alive")
"""


def test_pytorch_lives_with_a_tensorflow_that_greets_nobody_and_swallows_nothing() -> None:
    """Each brings LLVM, and in the wrong order the process ends without a word (one process: both take seconds)."""
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (run.returncode, run.stdout) == (0, "1.0 True\nalive\n"), run.stderr
    assert run.stderr.startswith("an alarm\n")  # PyTorch may go on about the GPU that it does not find
    assert not any(greeting in run.stderr for greeting in ("absl", "port.cc", "oneDNN"))
