"""Wheels as small as pip accepts, with the files that setup.sh looks for: wheels.py FOLDER TORCH_VERSION ARROW_VERSION."""

import os
import platform
import sys
import zipfile

folder, torch, arrow = sys.argv[1:]
machine = platform.machine()


def wheel(name, version, files, requires=(), extras=()):
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in extras]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    os.makedirs(folder, exist_ok=True)
    with zipfile.ZipFile(f"{folder}/{stem}-py3-none-manylinux_2_28_{machine}.whl", "w") as archive:
        for file in files:
            archive.writestr(file, f"{name} {version} {file}\n")
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-manylinux_2_28_{machine}\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


both = ["libtorch.so", "libtorch_cpu.so", "libc10.so", "libnvpl_blas_core.so.0", "libtorch_python.so"]
half = ["libtorch_cuda.so", "libtorch_cuda_linalg.so", "libc10_cuda.so", "libtorch_nvshmem.so", "libcaffe2_nvrtc.so"]
headers = ["torch/include/torch/csrc/api/include/torch/torch.h", "torch/include/ATen/cuda/nvrtc_stub/ATenNVRTC.h"]
wheel("pyarrow", arrow, ["pyarrow/include/arrow/api.h", "pyarrow/include/parquet/api.h", "pyarrow/libarrow.so.2600", "pyarrow/libparquet.so.2600"])
wheel("torch", torch + "+cpu", [f"torch/lib/{library}" for library in both] + headers)
wheel(
    "torch",
    torch,
    [f"torch/lib/{library}" for library in both + half] + headers,
    ['cuda-toolkit[cublas,cudart,cupti]==13.0.3; platform_system == "Linux"', 'nvidia-nccl-cu13==2.29.7; platform_system == "Linux"', "sympy>=1.13.3"],
)
parts = {"cublas": "libcublas.so.13", "cudart": "libcudart.so.13", "cupti": "libcupti.so.13"}
wheel("cuda-toolkit", "13.0.3", [], [f'nvidia-{part}==13.0.1; extra == "{part}"' for part in parts], parts)
for part, library in parts.items():
    wheel(f"nvidia-{part}", "13.0.1", [f"nvidia/cu13/lib/{library}", "nvidia/cu13/lib/libother.so"])
wheel("nvidia-nccl-cu13", "2.29.7", ["nvidia/nccl/lib/libnccl.so.2"])
