import LFAdapters
import LFCheckpoint
import LFDiagnostics
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// Several adapters on one layer, of which each row has its own.
@Suite struct NamedAdapterTests {
    private static func normal(_ shape: [Int], _ generator: Generator) throws -> Tensor {
        let tensor = try Tensor.zeros(shape)
        try tensor.fillNormalInPlace(mean: 0, deviation: 0.5, generator)
        return tensor
    }

    private static func parameter(_ tensor: Tensor) -> Parameter {
        Parameter(name: "t", tensor: tensor, role: .other)
    }

    /// Rows with their adapters give what each adapter alone gives for them: few rows and many, widths that fill no vector, DoRA beside LoRA,
    /// a bias, rows without an adapter and rows that only fill up.
    @Test(arguments: [DType.float64, .float32, .bfloat16], [(7, 5), (48, 33), (64, 96)])
    func rowsHaveTheirOwnAdapter(_ dtype: DType, _ size: (inputs: Int, outputs: Int)) throws {
        let generator = try Generator(seed: 3)
        let (width, outputs) = size
        let base = DenseWeight(Self.parameter(try Self.normal([outputs, width], generator).to(dtype)))
        let bias = try Self.normal([outputs], generator).to(dtype)
        let control = AdapterSwitch()
        let named = NamedAdapters(control: control)
        var alone: [String: LoRAAdapter] = [:]
        for (index, rank) in [1, 3, 20].enumerated() {
            let a = try Self.normal([rank, width], generator).to(dtype)
            let b = try Self.normal([outputs, rank], generator).to(dtype)
            let magnitude = index == 1 ? try Self.normal([outputs], generator).to(dtype) : nil
            let scale = 0.5 + Double(index)
            alone["\(index)"] = LoRAAdapter(
                a: Self.parameter(a), b: Self.parameter(b), magnitude: magnitude.map { Self.parameter($0) },
                scale: scale, control: AdapterSwitch())
            named.add("\(index)", try .init(a: a, b: b, scale: scale, magnitude: magnitude, of: base))
        }
        let bound = dtype == .bfloat16 ? 0.25 : dtype == .float32 ? 2e-4 : 1e-10
        for counts in [[1, 2, 1, 3], [0, 1, 0, 0], [3, 0, 30, 17], [18, 40, 1, 1]] {
            let x = try Self.normal([counts.reduce(0, +) + 2, width], generator).to(dtype)
            let names: [String?] = [nil, "1", "0", "2"]
            let found = try withoutGrad {
                try control.choice.choosing(zip(names, counts).map { ($0, $1) }) {
                    try named.output(x, of: base, bias: bias)
                }
            }
            var row = 0
            for (name, count) in zip(names + [nil], counts + [2]) where count > 0 {
                let part = try x.slice(row..<row + count)
                let wanted = try withoutGrad {
                    try name.flatMap { alone[$0] }?.output(part, of: base, bias: bias)
                        ?? base.product(part, bias: bias)
                }
                let difference = try (found.slice(row..<row + count).to(.float64) - wanted.to(.float64)).abs()
                #expect(try difference.max().item() <= bound, "\(name ?? "none") of \(counts)")
                row += count
            }
        }
    }

    @Test func choicesAreRunsOfRows() throws {
        let generator = try Generator(seed: 4)
        let base = DenseWeight(Self.parameter(try Self.normal([4, 6], generator)))
        let control = AdapterSwitch()
        let named = NamedAdapters(control: control)
        for name in ["a", "b"] {
            let (a, b) = (try Self.normal([2, 6], generator), try Self.normal([4, 2], generator))
            named.add(name, try .init(a: a, b: b, scale: 1, magnitude: nil, of: base))
        }
        func output(_ x: Tensor) throws -> Tensor {
            try withoutGrad { try named.output(x, of: base, bias: nil) }
        }
        let x = try Self.normal([6, 6], generator)
        let mixed = try control.choice.choosing([("a", 2), (nil, 1), ("b", 3)]) {
            let all = try output(x)
            // Fewer rows than were chosen for are an error, not a guess.
            #expect(throws: TorchError.self) { try output(x.slice(0..<4)) }
            #expect(throws: TorchError.self) { try named.adapted(base) }
            return all
        }
        // One adapter for all takes any number of rows.
        let uniform = try control.choice.choosing([("b", 1)]) { try output(x) }
        #expect(try (uniform.slice(3..<6) - mixed.slice(3..<6)).abs().max().item() < 1e-5)
        let matrix = try control.choice.choosing([("b", 1)]) { try named.adapted(base) }
        #expect(try (linear(x, matrix) - uniform).abs().max().item() < 1e-4)
        #expect(try (output(x) - base.product(x, bias: nil)).abs().max().item() == 0)
    }

    /// Where the last block computes few rows, each has the adapter of its piece: one row of each, so many that their number is a round one,
    /// which takes more rows of the last pieces or of what fills the stream up, and none.
    @Test(arguments: [[2, 1, 3], Array(repeating: 6, count: 65), Array(repeating: 6, count: 64) + [64], [9]])
    func readRowsHaveTheAdapterOfTheirPiece(_ lengths: [Int]) throws {
        let generator = try Generator(seed: 5)
        let base = DenseWeight(Self.parameter(try Self.normal([4, 6], generator)))
        let control = AdapterSwitch()
        let named = NamedAdapters(control: control)
        let names: [String?] = ["a", nil, "b"]
        for name in names.compactMap({ $0 }) {
            let (a, b) = (try Self.normal([2, 6], generator), try Self.normal([4, 2], generator))
            named.add(name, try .init(a: a, b: b, scale: 1, magnitude: nil, of: base))
        }
        var stream = TokenStream()
        for length in lengths {
            let range = stream.tokenCount..<stream.tokenCount + length
            stream.inputIDs += Array(repeating: 0, count: length)
            stream.positions += (0..<Int32(length))
            stream.segments.append(.init(range: range, sequences: [stream.sequenceCount]))
            stream.lastRows.append(Int32(range.upperBound - 1))
            stream.sequenceCount += 1
        }
        let batch = try DeviceStream(stream, on: .cpu).readingLastRows()
        let read = try #require(batch.readRows)
        let pieces = lengths.enumerated().map { (names[$0 * names.count / lengths.count], $1) }
        let x = try Self.normal([batch.inputIDs.dim(0), 6], generator)
        let (all, some) = try withoutGrad {
            try control.choice.choosing(pieces) {
                try control.choice.reading(read) {
                    (try named.output(x, of: base, bias: nil), try named.output(read(x), of: base, bias: nil))
                }
            }
        }
        #expect(try some.dim(0) == read.count && (read(all) - some).abs().max().item() < 1e-5)
        let mixed = try (all - withoutGrad { try base.product(x, bias: nil) }).abs().max().item()
        #expect(mixed > 0.1)
    }

    @Test func whatCannotActBesideOthersIsRefused() throws {
        let tests = AdapterTests()
        func refusal(_ setup: LoRAAdapterConfig) throws -> UserError? {
            let trained = try tests.model()
            _ = try trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32)
            let files = try trained.adapterFiles(setup)
            let model = try tests.model()
            return #expect(throws: UserError.self) {
                try model.addAdapter(files, named: "a", location: "folder")
            }
        }
        let whole = try refusal(tests.setup(["q_proj"], saving: ["lm_head"]))
        #expect(whole?.problem.contains("replaces \"lm_head\" as a whole") == true)
        #expect(whole?.location == "folder")
        let table = try refusal(tests.setup(["q_proj", "embed_tokens"]))
        #expect(table?.problem.contains("embedding \"model.embed_tokens\"") == true)
    }
}
