"""From a PyTorch module to OpenVINO IR files, with named inputs and outputs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import openvino as ov

from laikaroto.errors import ModelError, write_failure


def write_ir(module: Any, example: Any, path: Path, *, outputs: tuple[str, ...]) -> None:
    """Convert a module and write ``path`` (.xml) and its .bin, weights in float32.

    Args:
        module: a torch module in evaluation mode, one image batch in, a tuple out.
        example: an input of the right shape; the batch size stays free.
        path: ends with ``.xml``.
        outputs: a name for each output.

    Raises:
        ModelError: the module gives another number of outputs.
        TryAgainError: the files cannot be written.
    """
    shape = [-1, *example.shape[1:]]
    with warnings.catch_warnings():
        # OpenVINO's own converter still calls torch.jit.trace; what a trace itself warns of
        # (values that would silently become constants) must be seen
        warnings.filterwarnings("ignore", "`torch.jit.trace", DeprecationWarning)
        model = ov.convert_model(module, example_input=example, input=[("image", shape)])
    if len(model.outputs) != len(outputs):
        raise ModelError(f"{path.name}: wanted outputs {outputs}, got {len(model.outputs)}")
    for output, name in zip(model.outputs, outputs, strict=True):
        output.get_tensor().set_names({name})
    # float16 weights would move points by up to a tenth of a pixel
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO does not tell what the system refused
        raise write_failure(path, OSError(str(error).splitlines()[-1])) from error
