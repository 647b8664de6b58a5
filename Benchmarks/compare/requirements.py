"""Prints what the downloaded llamafactory wheel requires, less what a text-only comparison on a CPU does without."""

import importlib.metadata
import pathlib
import re
import sys
import zipfile

# Their builds must match torch's; nothing here reads pictures or sound.
LEFT_OUT = {"torchvision", "torchaudio"}

wheel = next(pathlib.Path(sys.argv[1]).glob("llamafactory-0.9.5*.whl"))
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
for line in metadata.splitlines():
    if line.startswith("Requires-Dist: ") and "extra ==" not in line:
        requirement = line.removeprefix("Requires-Dist: ")
        if re.match(r"[\w-]+", requirement).group() not in LEFT_OUT:
            print(requirement)
# Keep the torch that is installed; transformers 5.6.0 breaks the original.
print(f"torch=={importlib.metadata.version('torch')}")
print("transformers!=5.6.0")
