"""Writes ONNX's own backend node test cases in its layout: NAME/model.onnx and NAME/test_data_set_0/{input,output}_N.pb.

usage: onnx-cases.py FOLDER [WHEEL]

Without WHEEL the installed package makes them; cases whose values are no plain tensors keep the model alone. Older releases
carry them as files in their wheel, which are unpacked.
"""

import os
import sys
import warnings
import zipfile

IN_WHEEL = "onnx/backend/test/data/node/"


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.startswith(IN_WHEEL) or name.endswith("/"):
                continue
            target = os.path.join(folder, name[len(IN_WHEEL):])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(archive.read(name))


def tensors(values, infos):
    """Each value as a TensorProto of its name, or None when one is a sequence, a map or absent."""
    import numpy
    from onnx import TensorProto, numpy_helper

    protos = []
    for value, info in zip(values, infos):
        if isinstance(value, TensorProto):
            protos.append(value)
        elif info.type.HasField("tensor_type") and isinstance(value, (numpy.ndarray, numpy.generic)):
            protos.append(numpy_helper.from_array(numpy.asarray(value), info.name))
        else:
            return None
    return protos


def write(path, message):
    with open(path, "wb") as file:
        file.write(message.SerializeToString())


def make(folder):
    import numpy
    from onnx.backend.test.case.node import _NodeTestCases, collect_testcases

    # Some cases compute infinities on purpose.
    warnings.simplefilter("ignore")
    numpy.seterr(all="ignore")
    collect_testcases(None)
    for case in _NodeTestCases:
        data = os.path.join(folder, case.name, "test_data_set_0")
        os.makedirs(data, exist_ok=True)
        write(os.path.join(folder, case.name, "model.onnx"), case.model)
        inputs, outputs = case.data_sets[0]
        sides = [("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)]
        protos = [(side, tensors(values, infos)) for side, values, infos in sides]
        if any(made is None for _, made in protos):
            continue
        for side, made in protos:
            for index, proto in enumerate(made):
                write(os.path.join(data, f"{side}_{index}.pb"), proto)


folder, *wheel = sys.argv[1:]
if wheel:
    unpack(wheel[0], folder)
else:
    make(folder)
