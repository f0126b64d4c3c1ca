"""PyTorch's side of bench:engine: the bundled models' architectures with random weights, timed in eager mode.

Reads lines `forward`, `masks`, `weights` or `memory WHAT` from stdin and answers each with milliseconds (or bytes) on a line.
Usage: torch_step.py MODEL BATCH LENGTH THREADS
"""
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

name, batch, length, threads = sys.argv[1], *map(int, sys.argv[2:5])
torch.set_num_threads(threads)
torch.manual_seed(0)


class Stem(nn.Module):
    """Three convolutions to an 8 x 8 grid of tokens."""

    def __init__(self, img_size=32, patch_size=4, in_chans=3, embed_dim=128, **_):
        super().__init__()
        self.num_patches, self.grid_size = 64, (8, 8)
        self.layers = nn.Sequential(
            nn.Conv2d(in_chans, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, embed_dim, 3, 2, 1),
        )

    def forward(self, x):
        return self.layers(x).flatten(2).transpose(1, 2)


def vision(image, channels, width, depth, **more):
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=image, patch_size=4, in_chans=channels, num_classes=10, embed_dim=width, depth=depth, num_heads=4, **more
    )
    masks = []

    def mask(units):
        masks.append(torch.ones(units, requires_grad=True))
        return masks[-1]

    for block in model.blocks:
        heads, head = block.attn.num_heads, width // block.attn.num_heads
        query, value, hidden = mask(head), mask(head), mask(4 * width)

        def on_qkv(_, __, out, m=query, h=heads):
            q, rest = out.split([width, 2 * width], -1)
            return torch.cat([q * m.repeat(h), rest], -1)

        block.attn.qkv.register_forward_hook(on_qkv)
        block.attn.proj.register_forward_pre_hook(lambda _, x, m=value, h=heads: (x[0] * m.repeat(h),))
        block.mlp.fc2.register_forward_pre_hook(lambda _, x, m=hidden: (x[0] * m,))
    return model, masks, torch.randn(batch, channels, image, image), lambda out: out


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=65, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=352, max_position_embeddings=256, use_cache=False,
    ))
    masks = []
    for layer in model.model.layers:
        query, value, hidden = (torch.ones(n, requires_grad=True) for n in (16, 32, 352))
        masks += [query, value, hidden]
        layer.self_attn.q_proj.register_forward_hook(lambda _, __, out, m=query: out * m.repeat(8))
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, x, m=value: (x[0] * m.repeat(4),))
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, x, m=hidden: (x[0] * m,))
    return model, masks, torch.randint(0, 65, (batch, length)), lambda out: out.logits


if name == "digits":
    model, masks, x, logits = vision(28, 1, 64, 4)
elif name == "cifar-vit":
    model, masks, x, logits = vision(32, 3, 128, 6, embed_layer=Stem)
else:
    model, masks, x, logits = llama()
model.eval()
with torch.no_grad():
    teacher = logits(model(x)).log_softmax(-1) + 0.1


def forward():
    with torch.no_grad():
        logits(model(x))


def step(parameters):
    out = logits(model(x)).log_softmax(-1)
    loss = F.kl_div(out, teacher, log_target=True, reduction="sum")
    torch.autograd.grad(loss, parameters)


def run(what):
    for parameter in model.parameters():
        parameter.requires_grad_(what == "weights")
    if what == "forward":
        return forward()
    return step(masks if what == "masks" else list(model.parameters()))


print(f"torch {torch.__version__}", flush=True)


def peak_bytes():
    """Of this process alone: ru_maxrss begins with the peak of whoever started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


for line in sys.stdin:
    what = line.split()
    if what[0] == "memory":
        with open("/proc/self/statm") as statm:
            before = int(statm.read().split()[1]) * resource.getpagesize()
        for _ in range(3):
            run(what[1])
        print(peak_bytes() - before, flush=True)
    else:
        start = time.perf_counter()
        run(what[0])
        print((time.perf_counter() - start) * 1000, flush=True)
