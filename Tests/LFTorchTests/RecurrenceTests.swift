import LFTorch
import Testing

/// Convolutions and the gated delta rule over segments, against the same token by token.
@Suite struct RecurrenceTests {
    static let shapes = [
        SegmentShape(name: "one", lengths: [1], prefixes: [nil]),
        SegmentShape(name: "short ones", lengths: [2, 5, 1, 3], prefixes: [nil, nil, nil, nil]),
        SegmentShape(
            name: "branches", lengths: [3, 1, 2, 4, 1, 2], prefixes: [nil, 0, 0, 1, nil, 3]),
    ]
    /// Beyond chunks of 64 tokens, before and behind the place where branches part.
    static let long = SegmentShape(
        name: "long", lengths: [70, 66, 3, 130, 1], prefixes: [nil, 0, 0, nil, 1])

    private func naiveConvolution(_ x: Tensor, _ w: Tensor, _ shape: SegmentShape) throws -> Tensor {
        let taps = w.dim(2)
        var rows: [Tensor] = []
        for history in shape.histories {
            var sum = try Tensor.zeros([1, x.dim(1)], x.dtype)
            for (tap, token) in history.reversed().prefix(taps).enumerated() {
                let factor = try w.slice(taps - 1 - tap..<taps - tap, dim: 2).reshaped([1, x.dim(1)])
                sum = try sum + x.slice(token..<token + 1) * factor
            }
            rows.append(sum)
        }
        return try .concatenated(rows)
    }

    @Test(arguments: shapes + [long]) func convolutionsSeeTheirOwnSequence(_ shape: SegmentShape) throws {
        for taps in [1, 2, 3, 4, 7] {
            let inputs = try [randomTensor([shape.tokens, 3], 1), randomTensor([3, 1, taps], 2)]
            let map = try shape.map()
            try expectSameFunction(inputs, within: 1e-12, "\(shape.name), \(taps) taps") {
                try segmentConvolution($0[0], $0[1], map)
            } _: {
                try naiveConvolution($0[0], $0[1], shape)
            }
        }
    }

    /// Token by token: outputs of the tokens, and the last state of each segment.
    private func naiveRule(
        _ x: DeltaInputs, _ shape: SegmentShape
    ) throws -> (output: Tensor, states: [Tensor]) {
        let heads = x.values.dim(1), keyDim = x.keys.dim(2), group = heads / x.keys.dim(1)
        func column(_ rows: Tensor, _ token: Int, _ head: Int) throws -> Tensor {
            try rows.slice(token..<token + 1).slice(head..<head + 1, dim: 1).reshaped([-1, 1])
        }
        func unit(_ x: Tensor) throws -> Tensor { try x * (x.squared().sum() + 1e-6).rsqrt() }
        var ends: [[Tensor]] = []
        var outputs: [Tensor] = []
        var token = 0
        for (length, prefix) in zip(shape.lengths, shape.prefixes) {
            var states =
                try prefix.map { ends[$0] }
                ?? (0..<heads).map { _ in try .zeros([keyDim, x.values.dim(2)], .float64) }
            for _ in 0..<length {
                var row: [Tensor] = []
                for head in 0..<heads {
                    let key = try unit(column(x.keys, token, head / group))
                    let query = try unit(column(x.queries, token, head / group)) / Double(keyDim).squareRoot()
                    let kept = try states[head] * column(x.decay, token, head).exp()
                    let old = try kept.transposed().matmul(key)
                    let new = try (column(x.values, token, head) - old) * column(x.rate, token, head)
                    states[head] = try kept + key.matmul(new.transposed())
                    row.append(try states[head].transposed().matmul(query).transposed())
                }
                outputs.append(try Tensor.concatenated(row))
                token += 1
            }
            ends.append(states)
        }
        return (try .stacked(outputs), try ends.map { try .stacked($0) })
    }

    private func deltaInputs(_ x: [Tensor]) throws -> DeltaInputs {
        DeltaInputs(
            queries: x[0], keys: x[1], values: x[2], decay: try -(-x[3]).exp(), rate: try x[4].sigmoid())
    }

    private func random(_ tokens: Int, keyHeads: Int, heads: Int) throws -> [Tensor] {
        try [
            randomTensor([tokens, keyHeads, 4], 1), randomTensor([tokens, keyHeads, 4], 2),
            randomTensor([tokens, heads, 3], 3), randomTensor([tokens, heads], 4),
            randomTensor([tokens, heads], 5),
        ]
    }

    @Test(arguments: shapes) func chunksAreTheRuleTokenByToken(_ shape: SegmentShape) throws {
        let map = try shape.map()
        for (keyHeads, heads) in [(1, 1), (1, 2)] {
            try expectSameFunction(
                random(shape.tokens, keyHeads: keyHeads, heads: heads), within: 1e-11, shape.name
            ) {
                try gatedDeltaRule(deltaInputs($0), map)
            } _: {
                try naiveRule(deltaInputs($0), shape).output
            }
        }
    }

    @Test func longChunksAreTheRuleToo() throws {
        let shape = Self.long, map = try shape.map()
        func run(_ body: (DeltaInputs) throws -> Tensor) throws -> [Tensor] {
            let leaves = try random(shape.tokens, keyHeads: 1, heads: 2)
            for leaf in leaves { try leaf.setRequiresGrad(true) }
            let value = try body(deltaInputs(leaves))
            try value.backward(grad: randomTensor(value.shape, 9))
            return try [value] + leaves.map { try #require(try $0.grad()) }
        }
        let chunked = try run { try gatedDeltaRule($0, map) }
        let naive = try run { try naiveRule($0, shape).output }
        for (index, (one, other)) in zip(chunked, naive).enumerated() {
            try expectClose(one, other, within: 1e-10, "result \(index)")
        }
    }

    /// The states that segments end with, and a token more of each.
    @Test func statesGoOnTokenByToken() throws {
        let shape = Self.long
        let all = try random(shape.tokens, keyHeads: 2, heads: 4)
        let (output, states) = try gatedDeltaStates(deltaInputs(all), shape.map())
        let naive = try naiveRule(deltaInputs(all), shape)
        try expectClose(output, naive.output, within: 1e-10, "outputs")
        try expectClose(states, .stacked(naive.states), within: 1e-10, "states")

        let more = try random(shape.lengths.count, keyHeads: 2, heads: 4)
        let step = try gatedDeltaStep(deltaInputs(more), states)
        let longer = SegmentShape(
            name: "longer", lengths: shape.lengths + shape.lengths.map { _ in 1 },
            prefixes: shape.prefixes + shape.lengths.indices.map { $0 })
        let both = try zip(all, more).map { try Tensor.concatenated([$0, $1]) }
        let whole = try gatedDeltaRule(deltaInputs(both), longer.map())
        try expectClose(step.output, whole.slice(shape.tokens..<longer.tokens), within: 1e-10, "step")
        try expectClose(
            step.states,
            gatedDeltaStates(deltaInputs(both), longer.map()).states
                .slice(shape.lengths.count..<longer.lengths.count), within: 1e-10, "next states")
    }

    /// Some sequences go on from states by several tokens, others begin.
    @Test func segmentsBeginWithStates() throws {
        let first = SegmentShape(name: "first", lengths: [70, 3, 9], prefixes: [nil, nil, nil])
        let rest = SegmentShape(name: "rest", lengths: [66, 2, 5, 1], prefixes: [nil, nil, nil, nil])
        let (a, b) = try (random(82, keyHeads: 1, heads: 2), random(74, keyHeads: 1, heads: 2))
        let states = try gatedDeltaStates(deltaInputs(a), first.map()).states
        let initial = try Tensor.concatenated([states, .zeros([1, 2, 4, 3], .float64)])
        let found = try gatedDeltaStates(deltaInputs(b), rest.map(), from: initial)
        let whole = SegmentShape(
            name: "whole", lengths: first.lengths + rest.lengths, prefixes: [nil, nil, nil, 0, 1, 2, nil])
        let both = try zip(a, b).map { try Tensor.concatenated([$0, $1]) }
        let expected = try gatedDeltaStates(deltaInputs(both), whole.map())
        try expectClose(found.output, expected.output.slice(82..<156), within: 1e-10, "outputs")
        try expectClose(found.states, expected.states.slice(3..<7), within: 1e-10, "states")
    }

    /// Strong decay overflows nowhere, in float32 and bfloat16.
    @Test(arguments: [DType.float32, .bfloat16]) func strongDecayStaysFinite(_ dtype: DType) throws {
        let tokens = 100
        var x = try random(tokens, keyHeads: 1, heads: 2).map { try $0.to(dtype) }
        x[3] = try Tensor.zeros([tokens, 2], dtype) - 60
        for leaf in x { try leaf.setRequiresGrad(true) }
        let inputs = DeltaInputs(
            queries: x[0], keys: x[1], values: x[2], decay: x[3], rate: try x[4].sigmoid())
        let value = try gatedDeltaRule(inputs, SegmentMap(ranges: [0..<tokens], prefixes: [nil]))
        #expect(value.dtype == dtype)
        try value.sum().backward()
        for tensor in try [value.detached()] + x.map({ try #require(try $0.grad()) }) {
            #expect(try tensor.isFinite().bools().allSatisfy { $0 })
        }
    }
}
