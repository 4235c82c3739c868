"""The four networks in plain PyTorch, beside which `accelerator_step.py` puts ours; nothing of them is left out.

U-Nets of the same levels and filters, with polyphase or maximum pooling, attention gates or CBAM, and both heads; the
losses are those of the preset `paper`. CBAM's 7-wide convolution is a plain one. Needs PyTorch alone.
"""

import time
import typing

import torch
from torch import nn
from torch.nn import functional


class Kinds(typing.NamedTuple):
    """What PyTorch has under another name in each rank."""

    convolution: type
    transposed: type
    normalization: type
    pooling: type
    linear: str
    channels_last: torch.memory_format


KINDS = {
    2: Kinds(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, "bilinear", torch.channels_last),
    3: Kinds(nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.MaxPool3d, "trilinear", torch.channels_last_3d),
}


class PolyphasePooling(nn.Module):
    """Space to depth as `kits_tf.models.PolyphasePooling` does it, in channels-last memory."""

    def forward(self, x):
        batch, channels, height, width = x.shape
        x = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2 * channels).transpose(2, 3)
        return x.reshape(batch, height // 2, width // 2, 4 * channels).permute(0, 3, 1, 2)


class PolyphaseUnpooling(nn.Module):
    """Its inverse."""

    def forward(self, x):
        batch, channels, height, width = x.shape
        x = x.permute(0, 2, 3, 1).reshape(batch, height, width, 2, channels // 2).transpose(2, 3)
        return x.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """`kits_tf.models.AttentionGate`."""

    def __init__(self, kinds, channels, gating, momentum):
        super().__init__()
        self.features_map = kinds.convolution(channels, channels, 2, 2, bias=False)
        self.gating_map = kinds.convolution(gating, channels, 1)
        self.score = kinds.convolution(channels, 1, 1)
        self.output_map = kinds.convolution(channels, channels, 1, bias=False)
        self.norm = kinds.normalization(channels, momentum=momentum)
        self.linear = kinds.linear

    def forward(self, x, gating):
        hidden = functional.relu(self.features_map(x) + self.gating_map(gating))
        alpha = functional.interpolate(torch.sigmoid(self.score(hidden)), scale_factor=2.0, mode=self.linear)
        return self.norm(self.output_map(x * alpha))


class Cbam(nn.Module):
    """`kits_tf.models.CBAM`."""

    def __init__(self, kinds, channels, momentum):
        super().__init__()
        hidden = max(1, channels // 16)
        self.shared = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.scores = kinds.convolution(2, 1, 7, padding=3, bias=False)
        self.norm = kinds.normalization(1, momentum=momentum)
        nn.init.constant_(self.shared[2].bias, 1.0)
        nn.init.constant_(self.norm.bias, 2.0)

    def forward(self, x):
        space = tuple(range(2, x.ndim))
        score = self.shared(x.mean(space)) + self.shared(x.amax(space))
        x = x * torch.sigmoid(score).reshape(*score.shape, *[1] * len(space))
        summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.norm(self.scores(summary)))


class Peer(nn.Module):
    """The U-Net of a config: [batch, channels, *spatial] -> logits and what the other head gives, float32.

    Args:
        config: a KidneyConfig or TumorConfig with the options of `paper`.
        channels: of the input.
    """

    def __init__(self, config, channels):
        super().__init__()
        self.is_kidney = config.stage == "kidney"
        self.kinds = kinds = KINDS[2 if self.is_kidney else 3]
        self.momentum = 1 - config.batch_norm_momentum
        self.levels = levels = range(config.depth)
        is_polyphase = self.is_kidney and config.pooling == "polyphase"
        filters = [config.base_filters * 2**level for level in range(config.depth + 1)]
        coarser = [
            4 * width if is_polyphase else 2 * width for width in filters[:-1]
        ]  # what each level's unpooling takes
        inputs = [channels, *(4 * width if is_polyphase else width for width in filters[:-1])]
        outputs = [filters[0], *coarser]  # of decoders, the bottom last
        self.pool = PolyphasePooling() if is_polyphase else kinds.pooling(2)
        self.down = nn.ModuleList([self.block(inputs[level], filters[level], filters[level]) for level in levels])
        self.bottom = self.block(inputs[-1], filters[-1], outputs[-1])
        gated = levels[1:] if self.is_kidney else []
        self.gates = nn.ModuleList([Gate(kinds, filters[level], coarser[level], self.momentum) for level in gated])
        sizes = list(zip(coarser, filters[:-1], strict=True))
        self.ups = nn.ModuleList(
            [PolyphaseUnpooling() if is_polyphase else kinds.transposed(*size, 2, 2) for size in sizes]
        )
        self.joined = nn.ModuleList(
            [self.block(2 * filters[level], filters[level], outputs[level]) for level in levels]
        )
        self.logits, self.rebuilt = (kinds.convolution(filters[0], 1, 1) for _ in range(2))
        self.start()

    def block(self, channels, *filters):
        """Twice convolution, norm, ReLU; in the tumor's network a CBAM behind them."""
        kinds, parts = self.kinds, []
        for inputs, outputs in zip((channels, filters[0]), filters, strict=True):
            parts.append(kinds.convolution(inputs, outputs, 3, padding=1, bias=False))
            parts += [kinds.normalization(outputs, momentum=self.momentum), nn.ReLU(inplace=True)]
        return nn.Sequential(*parts, *([] if self.is_kidney else [Cbam(kinds, filters[-1], self.momentum)]))

    def start(self):
        """Kernels start as ours do, and so does the head's bias."""
        for module in self.modules():
            if isinstance(module, (self.kinds.convolution, self.kinds.transposed)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.constant_(self.logits.bias, -2.0)

    def forward(self, x):
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for level in reversed(self.levels):
            skip = self.gates[level - 1](skips[level], x) if self.is_kidney and level else skips[level]
            x = self.joined[level](torch.cat([skip, self.ups[level](x)], 1))
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return self.logits(x), self.rebuilt(x)


def stepper(network, batch, config, precision, forward):
    """A function that takes one step and returns its loss: the terms of `kits_tf.losses` that `paper` has.

    Args:
        network: a Peer.
        batch: {"image", "label", for the tumor "tumor_ml"}, tensors on the network's device.
        config: of the network.
        precision: "float32" or "mixed_bfloat16".
        forward: the network, or what `torch.compile` made of it.
    """
    image, label = batch["image"], batch["label"]
    fused = {"fused": True} if image.is_cuda else {}
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, eps=1e-7, **fused)
    weight, rebuilt_target = None, image
    if config.stage == "kidney":
        rebuilt_target, rebuilt_weight, distance = image[:, 1:2], config.reconstruction_weight, functional.mse_loss
    else:
        small = (config.small_tumor_ml / batch["tumor_ml"]).clamp(1, config.max_small_tumor_weight)
        weight = (config.tumor_weight * small).reshape(-1, 1, 1, 1, 1)
        rebuilt_weight, distance = config.regression_weight, functional.l1_loss

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            logits, rebuilt = forward(image)
        total = functional.binary_cross_entropy_with_logits(logits, label, pos_weight=weight)
        total = total + rebuilt_weight * distance(rebuilt, rebuilt_target)
        total.backward()
        optimizer.step()
        return total.detach()

    return step


def to_tensor(array, device, layout):
    """A NumPy array, channels last, as a tensor of PyTorch's order of axes in a memory layout."""
    tensor = torch.from_numpy(array).to(device)
    return tensor if tensor.ndim == 1 else tensor.movedim(-1, 1).contiguous(memory_format=layout)


def measure(network, arrays, config, precision, arguments, timed):
    """The peer, timed, with its memory.

    Args:
        network: a Peer.
        arrays: {"image", "label", for the tumor "tumor_ml"}, NumPy, channels last.
        config: of the network.
        precision: "float32" or "mixed_bfloat16".
        arguments: `steps`, `peer_layout` and `peer_compile` matter here.
        timed: of `accelerator_clock.py`.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    on_card = torch.cuda.is_available()
    device = torch.device("cuda" if on_card else "cpu")
    channels_last = network.kinds.channels_last
    layout = channels_last if arguments.peer_layout == "channels_last" else torch.contiguous_format
    network = network.to(device, memory_format=layout)
    batch = {name: to_tensor(array, device, layout) for name, array in arrays.items()}
    forward = torch.compile(network) if arguments.peer_compile else network
    step = stepper(network, batch, config, precision, forward)

    def wait(total):
        if on_card:
            torch.cuda.synchronize()
        return total

    begin = time.perf_counter()
    wait(step())
    first_seconds = time.perf_counter() - begin
    first_peak = torch.cuda.max_memory_allocated() if on_card else None
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    found = timed(step, wait, arguments.steps)
    steady_peak = torch.cuda.max_memory_allocated() if on_card else None
    return {
        **found,
        "peak_bytes": max(first_peak, steady_peak) if on_card else None,
        "steady_peak_bytes": steady_peak,
        "first_step_seconds": round(first_seconds, 1),
        "trained_parameters": sum(weight.numel() for weight in network.parameters()),
        "torch": torch.__version__,
        "layout": arguments.peer_layout,
        "compiled": arguments.peer_compile,
    }
