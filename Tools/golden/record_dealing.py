"""Prints how accelerate deals batches to processes, for Tests/LFParityTests/TrainingRuns/DataShareTests.swift."""

from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

CASES = [(5, 2, 2, False), (8, 2, 2, False), (3, 2, 4, False), (7, 2, 2, True), (7, 1, 3, False)]

for rows, batch, processes, drops in CASES:
    dealt = [
        list(BatchSamplerShard(BatchSampler(range(rows), batch, drops), processes, rank))
        for rank in range(processes)
    ]
    print(rows, batch, processes, drops, dealt)
