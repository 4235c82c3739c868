"""One window of 80x160x160 through a network of nnU-Net's published KiTS19 3D full-resolution shape, in PyTorch.

    PEER/bin/python experiments/benchmarks/predict_peer.py --windows=3 --openvino

Six stages of 32 to 320 features, two convolutions each, instance norm, leaky ReLU, strided convolutions down and
transposed ones up, float32 and random weights: the shape alone decides the time. Prints JSON: seconds of each window
after one to warm up, and with `--openvino` those of the same network in OpenVINO bf16. Needs PyTorch, and OpenVINO for
that flag; runs apart from this package, in an environment of its own.
"""

import argparse
import json
import time

import torch
from torch import nn

FEATURES = (32, 64, 128, 256, 320, 320)
KERNELS = ((1, 3, 3), *[(3, 3, 3)] * 5)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
WINDOW = (80, 160, 160)
CLASSES = 3


def convolution(channels, features, kernel, stride=1):
    """Convolution, instance norm, leaky ReLU."""
    padding = [size // 2 for size in kernel]
    return nn.Sequential(
        nn.Conv3d(channels, features, kernel, stride, padding),
        nn.InstanceNorm3d(features, affine=True),
        nn.LeakyReLU(0.01, inplace=True),
    )


def stage(channels, features, kernel, stride=1):
    """Two convolutions, the first with a stride."""
    return nn.Sequential(convolution(channels, features, kernel, stride), convolution(features, features, kernel))


class Peer(nn.Module):
    """The U-Net."""

    def __init__(self):
        super().__init__()
        inputs = (1, *FEATURES[:-1])
        self.down = nn.ModuleList([stage(*sizes) for sizes in zip(inputs, FEATURES, KERNELS, STRIDES, strict=True)])
        levels = list(zip(FEATURES[1:], FEATURES[:-1], KERNELS[:-1], STRIDES[1:], strict=True))[::-1]
        self.up = nn.ModuleList([nn.ConvTranspose3d(a, b, s, s, bias=False) for a, b, _, s in levels])
        self.joined = nn.ModuleList([stage(2 * b, b, kernel) for _, b, kernel, _ in levels])
        self.head = nn.Conv3d(FEATURES[0], CLASSES, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for up, block, skip in zip(self.up, self.joined, skips[-2::-1], strict=True):
            x = block(torch.cat([up(x), skip], 1))
        return self.head(x)


def timed(run, count):
    """Seconds of each of `count` calls, after one that is not counted."""
    seconds = []
    for _ in range(count + 1):
        start = time.perf_counter()
        run()
        seconds.append(round(time.perf_counter() - start, 3))
    return seconds[1:]


def in_openvino(model, window, count):
    """Seconds of windows in OpenVINO bf16, on all cores."""
    import openvino

    converted = openvino.convert_model(model, example_input=window)
    converted.reshape([1, 1, *WINDOW])
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    request = compiled.create_infer_request()
    return timed(lambda: request.infer([window.numpy()]), count)


def main():
    """Times windows and prints the seconds."""
    parser = argparse.ArgumentParser()
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
