"""Records blocks of every GGUF type that the exporter writes, as gguf-py and ggml make and read them.

    python Tools/gguf/record_blocks.py Fixtures/golden/gguf/blocks.json

Needs numpy, gguf and xllamacpp, whose library is ggml's own: gguf-py has no quantizer for types with a K. The weights are drawn for this: ordinary
ones, some far out, ones that are all zero, all alike, all positive, tiny and large. Numbers are written as the hexadecimal digits of their bytes; of the
weights that blocks stand for it is the SHA-256.
"""

import ctypes
import glob
import hashlib
import json
import os
import sys

import numpy as np
import xllamacpp
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

TYPES = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]


def draw():
    rng = np.random.default_rng(20)
    outliers = rng.standard_normal(256) * 0.02
    outliers[::37] *= 30
    superblocks = [
        rng.standard_normal(256) * 0.02,
        outliers,
        np.zeros(256),
        np.full(256, -0.75),
        np.abs(rng.standard_normal(256)),
        rng.standard_normal(256) * 1e-7,
        rng.standard_normal(256) * 3000,
        np.concatenate([rng.integers(-3, 4, 128) / 4, np.zeros(64), rng.standard_normal(64)]),
    ]
    return np.concatenate(superblocks).astype(np.float32).reshape(-1, 256)


def main():
    weights = draw()
    [library] = glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), "xllamacpp*.so"))
    ggml = ctypes.CDLL(library)
    recorded = {"weights": weights.tobytes().hex(), "blocks": {}}
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        width, size = GGML_QUANT_SIZES[kind]
        content = np.zeros(weights.size // width * size, np.uint8)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (weights, content)]
        if name in ("F16", "BF16"):
            content = quantize(weights, kind).view(np.uint8).reshape(-1)
        else:
            ggml.ggml_quantize_chunk(int(kind), *pointers, ctypes.c_int64(0), ctypes.c_int64(len(weights)), ctypes.c_int64(256), None)
        if "_K" not in name:
            assert np.array_equal(content, quantize(weights, kind).view(np.uint8).reshape(-1)), name
        view = content.view(np.float16) if name == "F16" else content
        values = dequantize(view, kind).astype(np.float32).reshape(-1)
        recorded["blocks"][name] = {"bytes": content.tobytes().hex(), "values": hashlib.sha256(values.tobytes()).hexdigest()}
    with open(sys.argv[1], "w") as file:
        json.dump(recorded, file, indent=1)
        file.write("\n")


main()
