"""Time windows of 80 x 160 x 160 through a network of nnU-Net's published KiTS19 3D shape, in PyTorch; prints JSON.

Run it as a script in another environment, with PyTorch and, for --openvino, OpenVINO. The network has six stages of
32 to 320 features, instance norm, leaky ReLU and random weights, since the shape alone determines the time.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import nn

FEATURES = (32, 64, 128, 256, 320, 320)
KERNELS = ((1, 3, 3), *[(3, 3, 3)] * 5)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
WINDOW = (80, 160, 160)
CLASSES = 3


def stage(channels: int, features: int, kernel: tuple, stride: tuple | int = 1) -> nn.Module:
    """Return two convolutions with instance norm and leaky ReLU, the first with a stride."""
    padding = [size // 2 for size in kernel]
    layers: list[nn.Module] = []
    for inputs, step in ((channels, stride), (features, 1)):
        layers += [
            nn.Conv3d(inputs, features, kernel, step, padding),
            nn.InstanceNorm3d(features, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)


class Peer(nn.Module):
    """The U-Net: strided convolutions down, transposed ones up."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((1, *FEATURES[:-1]), FEATURES, KERNELS, STRIDES, strict=True)
        self.down = nn.ModuleList([stage(*one) for one in sizes])
        levels = list(zip(FEATURES[1:], FEATURES[:-1], KERNELS[:-1], STRIDES[1:], strict=True))[::-1]
        self.up = nn.ModuleList([nn.ConvTranspose3d(a, b, s, s, bias=False) for a, b, _, s in levels])
        self.joined = nn.ModuleList([stage(2 * b, b, kernel) for _, b, kernel, _ in levels])
        self.head = nn.Conv3d(FEATURES[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for up, block, skip in zip(self.up, self.joined, skips[-2::-1], strict=True):
            x = block(torch.cat([up(x), skip], 1))
        return self.head(x)


def timed(run: Callable[[], object], count: int) -> list[float]:
    """Return the seconds of `count` calls, after one to warm up."""
    seconds = []
    for _ in range(count + 1):
        start = time.perf_counter()
        run()
        seconds.append(round(time.perf_counter() - start, 3))
    return seconds[1:]


def in_openvino(model: nn.Module, window: torch.Tensor, count: int) -> list[float]:
    """Return the seconds of windows in OpenVINO bfloat16."""
    import openvino

    converted = openvino.convert_model(model, example_input=window)
    converted.reshape([1, 1, *WINDOW])
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    request = compiled.create_infer_request()
    return timed(lambda: request.infer([window.numpy()]), count)


def main() -> None:
    """Time windows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--openvino", action="store_true")
    arguments = parser.parse_args()
    model, window = Peer().eval(), torch.rand(1, 1, *WINDOW)
    with torch.inference_mode():
        found = {"torch": torch.__version__, "torch_float32": timed(lambda: model(window), arguments.windows)}
    if arguments.openvino:
        found["openvino_bfloat16"] = in_openvino(model, window, arguments.windows)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
