import LFAdapters
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// What layers look up of a stream is built once for all of them.
@Suite struct StreamTableTests {
    private func stream() throws -> DeviceStream {
        let examples: [Example] = [
            .supervised([sequence(9, prompt: 3, seed: 1), sequence(70, prompt: 8, seed: 3)]),
            pair(prompt: 26, chosen: 5, rejected: 4, seed: 1),
        ]
        return try DeviceStream(Collator().stream(of: examples), on: .cpu)
    }

    /// - Parameter recomputed: Blocks that the backward pass computes again.
    private func pass(_ folder: ModelFolder, _ dtype: DType, _ stream: DeviceStream, recomputed: Int) throws {
        let model = try folder.model(dtype)
        _ = try model.trainAll(dtype: dtype)
        model.recomputedLayers = recomputed
        try model.logProbs(model.hiddenStates(stream), stream).sum().backward()
    }

    /// A forward and a backward pass through all layers build each table once: in float64 the plan of plain attention, the rows that a
    /// convolution's taps read, and the chunks of the gated delta rule; in float32, where tiles are computed, a layout and what the backward
    /// looks up of it for each kind of window.
    @Test(arguments: [
        ("llama_a", 1, 2), ("gpt_neox_a", 1, 2), ("lfm2_a", 2, 3), ("qwen3_next_a", 3, 4),
        ("gemma3_text_a", 2, 4), ("gemma2_a", 2, 4),
    ])
    func eachIsBuiltOnce(_ name: String, _ wide: Int, _ most: Int) throws {
        let folder = try #require(ModelFolder.all.first { $0.name == name })
        for recomputed in [0, 99] {
            let double = try stream()
            try pass(folder, .float64, double, recomputed: recomputed)
            #expect(double.segments.builtTableCount <= wide, "\(name), \(recomputed) recomputed")
            let single = try stream()
            try pass(folder, .float32, single, recomputed: recomputed)
            let count = single.segments.builtTableCount
            #expect(count <= most, "\(name), \(recomputed) recomputed: \(count)")
            // A second pass over the same stream finds all of them.
            try pass(folder, .float32, single, recomputed: recomputed)
            #expect(single.segments.builtTableCount == count)
        }
        // Recurrent layers need theirs in any case.
        if name == "lfm2_a" || name == "qwen3_next_a" {
            let double = try stream()
            try pass(folder, .float64, double, recomputed: 0)
            #expect(double.segments.builtTableCount == wide)
        }
    }
}
