import LFTorch
import Testing

/// Gradients that travel while the backward pass goes on: they end as the sums over all processes, whatever each has.
@Suite(.serialized) struct GradientBucketTests {
    private static let count = 1000

    private static func weight(_ value: Float) throws -> Tensor {
        let tensor = try Tensor(Array(repeating: value, count: count))
        try tensor.setRequiresGrad(true)
        return tensor
    }

    /// What a process has at the end: its arrivals, and by weight the first element of the gradient.
    private struct End: Sendable, Equatable {
        var isOwn: [Bool]
        var isLate: [Bool]
        var early: Int
        var gradients: [Float?]
    }

    /// Has two processes send gradients in buckets that hold one weight each.
    ///
    /// - Parameter passes: Makes gradients of the weights, by rank; the function that it gets opens the buckets.
    private static func ends(
        _ values: [Float], _ passes: @escaping @Sendable (Int, [Tensor], () throws -> Void) throws -> Void
    ) throws -> [End] {
        try ProcessGroupTests.members(2) { group in
            let weights = try values.map { try weight($0) }
            let buckets = try GradientBuckets(of: weights.reversed(), over: group, bytes: 4 * count)
            var end: End?
            // The second step finds nothing of the first.
            for _ in 0..<2 {
                for weight in weights { try weight.setGrad(nil) }
                try passes(group.rank, weights) { try buckets.open() }
                let arrivals = try buckets.close()
                let flags = try Tensor((arrivals.isOwn + arrivals.isLate).map { $0 ? Float(1) : 0 })
                try group.sum([flags])
                let sums = try flags.floats().map { $0 > 0 }
                try buckets.settle(
                    learned: Array(sums[..<values.count]), late: Array(sums[values.count...]))
                let found = try weights.map { weight -> Float? in
                    guard let values = try weight.grad()?.floats() else { return nil }
                    #expect(values.allSatisfy { $0 == values[0] } && values.count == count)
                    return values[0]
                }
                let now = End(
                    isOwn: arrivals.isOwn.reversed(), isLate: arrivals.isLate.reversed(),
                    early: arrivals.earlyCount, gradients: found)
                #expect(end == nil || end == now)
                end = now
            }
            return try #require(end)
        }.map { try $0.get() }
    }

    /// A chain gives its last weight's gradient first; every message leaves within the pass.
    @Test func allLeaveWithinThePass() throws {
        let ends = try Self.ends([2, 3, 5, 7]) { rank, weights, open in
            let product = try weights[0] * weights[1] * weights[2] * weights[3]
            try open()
            try (product.sum() * Double(rank + 1)).backward()
        }
        for end in ends {
            #expect(end.isOwn == [true, true, true, true] && !end.isLate.contains(true))
            #expect(end.early == 4)
            // One share of the first process and two of the second.
            #expect(end.gradients == [315, 210, 126, 90])
        }
    }

    /// Gradients of earlier batches are part of what leaves; a process without a last pass sends them behind.
    @Test func batchesAddUp() throws {
        let ends = try Self.ends([2, 3]) { rank, weights, open in
            try (weights[0] * weights[1]).sum().backward()
            guard rank == 0 else { return }
            try open()
            try (weights[0] * weights[1]).sum().backward()
        }
        #expect(ends.map(\.early) == [2, 0])
        for end in ends { #expect(end.gradients == [9, 6]) }
    }

    /// The first process has no gradient of the second weight, nobody one of the first: the one is the other's, the other stays nil.
    @Test func whatOneLacksComesFromTheOther() throws {
        let ends = try Self.ends([2, 3, 5]) { rank, weights, open in
            try open()
            let product = rank == 0 ? try weights[2] * 4 : try weights[1] * weights[2]
            try product.sum().backward()
        }
        #expect(ends.map(\.isOwn) == [[false, false, true], [false, true, true]])
        // The last weight's message leaves at once; the others wait for the weight without a gradient, or in the order.
        #expect(ends.map(\.early) == [1, 2])
        for end in ends { #expect(end.gradients == [nil, 5, 7]) }
    }

    /// Two regions that are computed again use one weight: its second gradient is made when the first has left, in one process or in both.
    @Test(arguments: [1, 2]) func whatComesTooLateIsAdded(_ regions: Int) throws {
        let ends = try Self.ends([2, 3]) { rank, weights, open in
            let shared = weights[1]
            var value = weights[0]
            for _ in 0..<(rank == 0 ? 2 : regions) {
                value = try recomputed(value) { (input: Tensor) throws(TorchError) -> Tensor in
                    try input * shared
                }
            }
            try open()
            try value.sum().backward()
        }
        #expect(ends.map(\.isLate) == [[false, true], [false, regions == 2]])
        // 2·3·3 by the first weight is 9, by the shared one 2·2·3; 2·3 gives 3 and 2.
        for end in ends { #expect(end.gradients == (regions == 2 ? [18, 24] : [12, 14])) }
    }
}
