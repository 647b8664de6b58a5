import LFTorch
import Testing

@Suite struct ProfileTests {
    private func random(_ shape: [Int], _ seed: UInt64, trained: Bool = false) throws -> Tensor {
        let tensor = try Tensor.zeros(shape)
        try tensor.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: seed))
        if trained { try tensor.setRequiresGrad(true) }
        return tensor
    }

    private func recorded(_ body: () throws -> Void) throws -> ProfileRecording {
        try Profile.start(operations: true)
        defer { _ = Profile.stop() }
        try body()
        return try #require(Profile.stop())
    }

    private func operations(_ recording: ProfileRecording) -> Double {
        recording.spans.reduce(0) { $0 + $1.operations }
    }

    /// A linear layer whose input and weight are trained multiplies three times, an adapted one also with its two factors.
    @Test func productsAreCounted() throws {
        let (x, w) = (try random([6, 8], 1, trained: true), try random([10, 8], 2, trained: true))
        // The first products of a process choose their libraries.
        try linear(x, w).sum().backward()
        let plain = try recorded { try linear(x, w).sum().backward() }
        let product = 2.0 * 6 * 8 * 10
        #expect(operations(plain) == 3 * product)
        #expect(plain.products.allSatisfy { $0.operations == product })

        let frozen = try random([10, 8], 2)
        let (a, b) = (try random([2, 8], 3, trained: true), try random([10, 2], 4, trained: true))
        let adapted = try recorded {
            try loraLinear(x, frozen, bias: nil, a: a, b: b, scale: 2).sum().backward()
        }
        // Base forward and back to the input; both factors forward, back and for their own gradients.
        let (base, down, up) = (2.0 * 6 * 8 * 10, 2.0 * 6 * 8 * 2, 2.0 * 6 * 2 * 10)
        #expect(operations(adapted) == 2 * base + 3 * down + 3 * up)
    }

    /// Rows with adapters of their own: groups of few rows and of many.
    @Test func updatesOfRowsAreCounted() throws {
        let (x, y) = (try random([40, 8], 1), try random([40, 10], 2))
        let groups = [(0..<3, 2), (3..<4, 5), (4..<24, 3)]
        let updates = try groups.map { rows, rank in
            LowRankRows(rows: rows, a: try random([rank, 8], 3), b: try random([rank, 10], 4), scale: 1)
        }
        try y.addInPlace(updates, of: x)
        let recording = try recorded { try Profile.scope("updates") { try y.addInPlace(updates, of: x) } }
        #expect(operations(recording) == groups.reduce(0) { $0 + 2.0 * Double($1.0.count * $1.1 * 18) })
    }

    /// Attention counts each pair of a query and a key that it sees: two products forward, five backward.
    @Test(arguments: [nil, 3]) func attentionCountsWhatIsSeen(_ window: Int?) throws {
        // A prefix of 5 tokens, and 4 and 3 that continue it; then a sequence of its own.
        let ranges = [0..<5, 5..<9, 9..<12, 12..<20]
        let prefixes: [Int?] = [nil, 0, 0, nil]
        let segments = try SegmentMap(ranges: ranges, prefixes: prefixes)
        var pairs = 0
        for (range, prefix) in zip(ranges, prefixes) {
            let before = prefix == nil ? 0 : 5
            for place in 0..<range.count { pairs += min(before + place + 1, window ?? .max) }
        }
        let (heads, keyHeads, width) = (4, 2, 16)
        let q = try random([20, heads, width], 1, trained: true)
        let k = try random([20, keyHeads, width], 2, trained: true)
        let v = try random([20, keyHeads, width], 3, trained: true)
        let recording = try recorded {
            let options = AttentionOptions(scale: 0.25, window: window)
            try segmentAttention(q, k, v, segments, options).sum().backward()
        }
        let scope = try #require(recording.spans.first { $0.name == "attention" })
        // Processors without micro-kernels take libtorch's own attention, whose products are not told.
        guard scope.operations > 0 else { return }
        let product = Double(2 * pairs * heads * width)
        #expect(scope.operations == 2 * product)
        #expect(operations(recording) == 7 * product)
    }

    @Test func spansNestAndScopesAreNamed() throws {
        let recording = try recorded {
            try profiled(.forward) {
                _ = try Profile.scope("inner") { try random([4, 4], 1).matmul(random([4, 4], 2)) }
            }
            // A scope that fails ends.
            try? profiled(.backward) { throw TorchError(kind: .internalError, operation: "", message: "") }
        }
        var open: [ProfileSpan] = []
        for span in recording.spans {
            #expect(span.begin <= span.end)
            while let last = open.last, last.end <= span.begin { open.removeLast() }
            if let last = open.last { #expect(span.end <= last.end) }
            open.append(span)
        }
        let scopes = recording.spans.filter { $0.kind == .scope }.map(\.name)
        #expect(scopes.first == "forward" && scopes.contains("inner") && scopes.last == "backward")
        #expect(recording.spans.contains { $0.name == "aten::mm" && $0.kind == .operation })
    }

    @Test func aThreadHasOneRecording() throws {
        #expect(!Profile.isOn && Profile.stop() == nil)
        try Profile.start(operations: false)
        #expect(throws: TorchError.self) { try Profile.start(operations: true) }
        _ = try random([2, 2], 1).matmul(random([2, 2], 2))
        let recording = try #require(Profile.stop())
        #expect(recording.spans.allSatisfy { $0.kind == .scope })
        #expect(!Profile.isOn)
    }
}
