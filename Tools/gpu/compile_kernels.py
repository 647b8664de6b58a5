#!/usr/bin/env python3
"""Compiles every kernel instance that the tests run as NVRTC does on a GPU; needs no GPU.

usage: compile_kernels.py LIBNVRTC [ARCHITECTURE]      ARCHITECTURE: such as sm_90, the default
LIBNVRTC is libnvrtc.so of a CUDA toolkit or of the wheel nvidia-cuda-nvrtc. Prints registers and shared memory where the compiler tells them.
"""

import ctypes
import re
import sys
import time
from pathlib import Path

root = Path(__file__).resolve().parents[2]
parts = ["Machine", "Rows", "Products", "Attention", "Head"]


def instances() -> list[str]:
    """The names in the stand-in's table, its macros unfolded."""
    text = (root / "Tests/CStandIn/Kernels.cpp").read_text().replace("\\\n", " ")
    macros = {name: (parameters.replace(" ", "").split(","), body) for name, parameters, body in re.findall(r"#define (LF_\w+)\(([^)]*)\)(.*)", text)}
    table = text[text.index("std::map<std::string, Kernel>{") :]
    table = table[: table.index("};")]

    def unfold(line: str) -> list[str]:
        found = []
        for name, arguments in re.findall(r"(LF_\w+)\(([^)]*)\)", line):
            if name == "LF_INSTANCE":
                found.append(arguments)
                continue
            parameters, body = macros[name]
            for parameter, argument in zip(parameters, arguments.split(",")):
                body = re.sub(rf"\b{parameter}\b", argument.strip(), body)
            found += unfold(body)
        return found

    return unfold(table)


def main() -> int:
    nvrtc = ctypes.CDLL(sys.argv[1])
    architecture = sys.argv[2] if len(sys.argv) > 2 else "sm_90"
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p

    def check(status: int) -> None:
        if status:
            raise SystemExit(nvrtc.nvrtcGetErrorString(status).decode())

    text = "".join((root / f"Sources/CTorch/Kernels/{part}.hpp").read_text() for part in parts) + "\nusing namespace lf_machine;\n"
    names = instances()
    began = time.time()
    program = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None))
    for name in names:
        check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    options = [f"--gpu-architecture={architecture}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    print(log.value.decode())
    if status:
        print(f"{len(names)} instances: {nvrtc.nvrtcGetErrorString(status).decode()}")
        return 1
    check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    for name in names:
        lowered = ctypes.c_char_p()
        check(nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(lowered)))
        assert lowered.value, name
    print(f"{len(names)} instances for {architecture}: {size.value} bytes in {time.time() - began:.1f} s")
    return 0


sys.exit(main())
