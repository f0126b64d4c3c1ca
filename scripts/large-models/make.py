"""Writes large transformers with random weights, for measuring: the graph as exporters write it, the weights in a file beside it.

usage: make.py FOLDER [NAME...]

deit-base: DeiT-Base at 224 x 224 (86 million parameters). llama-1b: a LLaMA of 22 layers, width 2048, 32 heads on 4 key-value
heads, rotary positions and gated MLPs (1.1 billion parameters, 4.4 GB). Needs the packages onnx and numpy.
"""

import os
import sys

import numpy
import onnx
from onnx import TensorProto, helper

ALIGNMENT = 4096
INT_MAX = 2**63 - 1


class Model:
    """A graph being written; weights go to the file at once, so that memory stays small."""

    def __init__(self, folder, name, half=False):
        self.folder, self.name = folder, name
        self.kind, self.type = (TensorProto.FLOAT16, numpy.float16) if half else (TensorProto.FLOAT, numpy.float32)
        os.makedirs(folder, exist_ok=True)
        self.file = open(os.path.join(folder, f"{name}.weights"), "wb")
        self.random = numpy.random.default_rng(0)
        self.nodes, self.initializers, self.inputs = [], [], []
        self.parameters = 0

    def op(self, kind, *inputs, outputs=1, **attributes):
        label = f"{kind}_{len(self.nodes)}"
        made = [f"{label}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, name=label, **attributes))
        return made[0] if outputs == 1 else made

    def weight(self, *dims, scale=None, value=None):
        """Normally distributed, or all of one value."""
        scale = dims[0] ** -0.5 if scale is None else scale
        count = int(numpy.prod(dims))
        self.parameters += count
        name = f"weight_{len(self.initializers)}"
        offset = -(-self.file.tell() // ALIGNMENT) * ALIGNMENT
        self.file.seek(offset)
        for start in range(0, count, 1 << 22):
            size = min(1 << 22, count - start)
            part = self.random.standard_normal(size, dtype=numpy.float32) * numpy.float32(scale)
            self.file.write((part if value is None else numpy.full(size, value)).astype(self.type).tobytes())
        tensor = TensorProto(name=name, data_type=self.kind, dims=dims, data_location=TensorProto.EXTERNAL)
        length = count * numpy.dtype(self.type).itemsize
        entries = (("location", f"{self.name}.weights"), ("offset", offset), ("length", length))
        for key, entry in entries:
            tensor.external_data.add(key=key, value=str(entry))
        self.initializers.append(tensor)
        return name

    def constant(self, values, kind=TensorProto.INT64, dims=None):
        name = f"constant_{len(self.initializers)}"
        values = values if isinstance(values, list) else [values]
        self.initializers.append(helper.make_tensor(name, kind, dims if dims is not None else [len(values)], values))
        return name

    def number(self, value):
        return self.constant(value, self.kind, [])

    def linear(self, x, inner, outer, bias=True):
        y = self.op("MatMul", x, self.weight(inner, outer))
        return self.op("Add", y, self.weight(outer, scale=0.02)) if bias else y

    def heads(self, x, count, size):
        split = self.op("Reshape", x, self.constant([0, 0, count, size]))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def attend(self, q, k, v, width, size, mask=None):
        turned = self.op("Transpose", k, perm=[0, 1, 3, 2])
        scores = self.op("Mul", self.op("MatMul", q, turned), self.number(size**-0.5))
        scores = scores if mask is None else self.op("Add", scores, mask)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        return self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.constant([0, 0, width]))

    def input(self, name, kind, dims):
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        return name

    def save(self, output, dims):
        self.file.close()
        self.nodes.append(helper.make_node("Cast", [output], ["logits"], name="logits", to=TensorProto.FLOAT))
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, dims)]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = os.path.join(self.folder, f"{self.name}.onnx")
        onnx.save(model, path)
        print(f"{path}: {self.parameters} parameters")


def deit_base(folder, name="deit-base", half=False, width=768, layers=12, count=12, inner=3072, patch=16, image=224):
    m = Model(folder, name, half)
    pixels = m.input("pixel_values", TensorProto.FLOAT, ["batch", 3, image, image])
    pixels = m.op("Cast", pixels, to=m.kind)
    patches = m.op("Conv", pixels, m.weight(width, 3, patch, patch, scale=0.02), m.weight(width, scale=0.02),
                   kernel_shape=[patch, patch], strides=[patch, patch])
    tokens = m.op("Transpose", m.op("Reshape", patches, m.constant([0, width, -1])), perm=[0, 2, 1])
    batch = m.op("Slice", m.op("Shape", pixels), m.constant([0]), m.constant([1]))
    first = m.op("Expand", m.weight(1, 1, width, scale=0.02), m.op("Concat", batch, m.constant([1, width]), axis=0))
    x = m.op("Concat", first, tokens, axis=1)
    x = m.op("Add", x, m.weight(1, (image // patch) ** 2 + 1, width, scale=0.02))

    def norm(value):
        scale, shift = m.weight(width, value=1.0), m.weight(width, value=0.0)
        return m.op("LayerNormalization", value, scale, shift, axis=-1, epsilon=1e-6)

    size = width // count
    for _ in range(layers):
        packed = m.op("Reshape", m.linear(norm(x), width, 3 * width), m.constant([0, 0, 3, count, size]))
        packed = m.op("Transpose", packed, perm=[2, 0, 3, 1, 4])
        q, k, v = (m.op("Gather", packed, m.constant(i, dims=[]), axis=0) for i in range(3))
        x = m.op("Add", x, m.linear(m.attend(q, k, v, width, size), width, width))
        hidden = m.linear(norm(x), width, inner)
        erf = m.op("Erf", m.op("Div", hidden, m.number(2**0.5)))
        gelu = m.op("Mul", m.op("Mul", hidden, m.op("Add", erf, m.number(1.0))), m.number(0.5))
        x = m.op("Add", x, m.linear(gelu, inner, width))
    token = m.op("Gather", norm(x), m.constant(0, dims=[]), axis=1)
    m.save(m.linear(token, width, 1000), ["batch", 1000])


def llama(folder, name="llama-1b", width=2048, layers=22, count=32, groups=4, inner=5632, vocabulary=32000):
    m = Model(folder, name)
    size = width // count
    ids = m.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
    x = m.op("Gather", m.weight(vocabulary, width, scale=0.02), ids, axis=0)
    length = m.op("Gather", m.op("Shape", ids), m.constant(1, dims=[]), axis=0)
    zero, one = m.constant(0, dims=[]), m.constant(1, dims=[])
    places = m.op("Range", zero, length, one)
    steps = 10000.0 ** -(numpy.arange(0, size, 2, dtype=numpy.float32) / size)
    frequencies = m.constant([float(step) for step in steps], TensorProto.FLOAT, [1, size // 2])
    angles = m.op("MatMul", m.op("Unsqueeze", m.op("Cast", places, to=TensorProto.FLOAT), m.constant([1])), frequencies)
    twice = m.op("Concat", angles, angles, axis=-1)
    cos, sin = m.op("Cos", twice), m.op("Sin", twice)
    ahead = m.op("Greater", m.op("Unsqueeze", places, m.constant([0])), m.op("Unsqueeze", places, m.constant([1])))
    mask = m.op("Where", ahead, m.number(-3.4e38), m.number(0.0))

    def norm(value):
        mean = m.op("ReduceMean", m.op("Pow", value, m.number(2.0)), axes=[-1])
        root = m.op("Sqrt", m.op("Add", mean, m.number(1e-5)))
        return m.op("Mul", m.weight(width, value=1.0), m.op("Div", value, root))

    def turn(value):
        low = m.op("Slice", value, m.constant([0]), m.constant([size // 2]), m.constant([3]))
        high = m.op("Slice", value, m.constant([size // 2]), m.constant([INT_MAX]), m.constant([3]))
        turned = m.op("Concat", m.op("Neg", high), low, axis=-1)
        return m.op("Add", m.op("Mul", value, cos), m.op("Mul", turned, sin))

    def repeat(value):
        wide = m.op("Expand", m.op("Unsqueeze", value, m.constant([2])), m.constant([1, 1, count // groups, 1, 1]))
        return m.op("Reshape", wide, m.constant([0, count, -1, size]))

    for _ in range(layers):
        y = norm(x)
        q = turn(m.heads(m.linear(y, width, width, bias=False), count, size))
        k = turn(m.heads(m.linear(y, width, groups * size, bias=False), groups, size))
        v = m.heads(m.linear(y, width, groups * size, bias=False), groups, size)
        mixed = m.attend(q, repeat(k), repeat(v), width, size, mask)
        x = m.op("Add", x, m.linear(mixed, width, width, bias=False))
        y = norm(x)
        gate, up = m.linear(y, width, inner, bias=False), m.linear(y, width, inner, bias=False)
        hidden = m.op("Mul", m.op("Mul", gate, m.op("Sigmoid", gate)), up)
        x = m.op("Add", x, m.linear(hidden, inner, width, bias=False))
    m.save(m.linear(norm(x), width, vocabulary, bias=False), ["batch", "sequence", vocabulary])


def small(folder):
    """For trying the same road quickly."""
    llama(folder, "llama-small", width=256, layers=2, count=8, groups=2, inner=704, vocabulary=1000)


def half(folder):
    """DeiT-Base in half floats."""
    deit_base(folder, name="deit-half", half=True)


def just_large(folder):
    """Just above 2 GB: half of llama-1b's layers, so that whole builds take minutes."""
    llama(folder, "llama-600m", layers=11)


def vocabulary(folder):
    """Above 2 GB by its vocabulary, as small multilingual decoders are: few and narrow layers, so that refitting takes little."""
    llama(folder, "llama-vocabulary", width=1024, layers=4, count=16, groups=4, inner=1024, vocabulary=256000)


MAKERS = {
    "deit-base": deit_base,
    "deit-half": half,
    "llama-1b": llama,
    "llama-600m": just_large,
    "llama-small": small,
    "llama-vocabulary": vocabulary,
}
folder, *names = sys.argv[1:]
for name in names or ["deit-base", "llama-1b"]:
    MAKERS[name](folder)
