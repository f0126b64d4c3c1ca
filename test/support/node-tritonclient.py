"""Drives an inference node with tritonclient[http] as its users do; prints what it saw as JSON.

usage: node-tritonclient.py HOST:PORT REQUEST   REQUEST: {"x": [[...]], "token": [...]} for the tiny model
"""

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(url=sys.argv[1], concurrency=2)
given = json.loads(sys.argv[2])
x = np.array(given["x"], dtype=np.float32)
token = np.array(given["token"], dtype=np.int64)


def tensors(binary):
    inputs = [
        triton.InferInput("x", list(x.shape), "FP32"),
        triton.InferInput("token", list(token.shape), "INT64"),
    ]
    for tensor, data, as_binary in zip(inputs, (x, token), binary):
        tensor.set_data_from_numpy(data, binary_data=as_binary)
    return inputs


def seen(result):
    answer = result.get_response()
    return {
        "version": answer["model_version"],
        "id": answer.get("id"),
        "logits": result.as_numpy("logits").tolist(),
        "label": result.as_numpy("label").tolist(),
    }


def asked(binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in ("logits", "label")]


def refusal(call):
    try:
        call()
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}
    return None


wrong = triton.InferInput("x", [1, 3], "FP32")
wrong.set_data_from_numpy(np.zeros([1, 3], dtype=np.float32))
both = (True, True)
none = (False, False)


async def awaited():
    async with triton_aio.InferenceServerClient(url=sys.argv[1]) as aio:
        ask = lambda binary, **more: aio.infer("tiny", tensors(binary), model_version="1", **more)
        asked_for = [ask(both), ask(none, outputs=asked(False)), ask(none), ask(both, request_compression_algorithm="gzip")]
        answers = [seen(result) for result in await asyncio.gather(*asked_for)]
        return {"ready": await aio.is_model_ready("tiny", "1"), "answers": answers}


print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "modelReady": client.is_model_ready("tiny", "1"),
            "otherReady": client.is_model_ready("other"),
            "server": client.get_server_metadata(),
            "model": client.get_model_metadata("tiny", "1"),
            "answers": {
                "binary": seen(client.infer("tiny", tensors(both), model_version="1", request_id="q7")),
                "json": seen(client.infer("tiny", tensors(none), model_version="1", outputs=asked(False))),
                "mixed": seen(client.infer("tiny", tensors((True, False)), model_version="1", outputs=asked(True))),
                "binary in, JSON out": seen(client.infer("tiny", tensors(both), model_version="1", outputs=asked(False))),
                "gzip": seen(client.infer("tiny", tensors(both), model_version="1", request_compression_algorithm="gzip", response_compression_algorithm="gzip")),
                "deflate": seen(client.infer("tiny", tensors((True, False)), model_version="1", request_compression_algorithm="deflate")),
                "later": seen(client.async_infer("tiny", tensors(both), model_version="1").get_result()),
            },
            "awaited": asyncio.run(awaited()),
            "dense": seen(client.infer("tiny", tensors(both), parameters={"who": "me"})),
            "wrongShape": refusal(lambda: client.infer("tiny", [wrong, tensors(both)[1]])),
            "unknownLevel": refusal(lambda: client.infer("tiny", tensors(both), model_version="9")),
            "unknownModel": refusal(lambda: client.get_model_metadata("other")),
        }
    )
)
client.close()
