import CStandIn
import LFTorch
import Testing

/// Attention off the CPU, by the shim's own kernels and by libtorch's operations where those do not run, on the stand-in device against the CPU's.
@Suite struct BatchedAttentionTests {
    /// Nobody counts what the device does meanwhile.
    func results(
        _ problem: BlockAttentionTests.Problem, _ runs: [Range<Int>]?, _ dtype: DType, on device: Device,
        usesKernels: Bool = true
    ) throws -> [Tensor] {
        stand_in_lock()
        let before = stand_in_use_kernels(usesKernels)
        defer {
            _ = stand_in_use_kernels(before)
            stand_in_unlock()
        }
        return try measured(problem, runs, dtype, on: device)
    }

    /// Output and gradients of queries, keys, values and sinks; `runs` are the rows that ask, nil for all.
    private func measured(
        _ problem: BlockAttentionTests.Problem, _ runs: [Range<Int>]?, _ dtype: DType, on device: Device
    ) throws -> [Tensor] {
        let shape = problem.shape
        var leaves = try [
            randomTensor([shape.tokens, problem.heads, problem.widths.0], 1),
            randomTensor([shape.tokens, problem.kvHeads, problem.widths.0], 2),
            randomTensor([shape.tokens, problem.kvHeads, problem.widths.1], 3),
        ]
        if problem.hasSinks { leaves.append(try randomTensor([problem.heads], 4)) }
        leaves = try leaves.map { try $0.to(dtype) }
        for leaf in leaves { try leaf.setRequiresGrad(true) }
        let inputs = try leaves.map { try $0.to(device) }
        let slopes = try Tensor((0..<problem.heads).map { 0.05 * Double($0 + 1) }).to(device)
        let options = AttentionOptions(
            scale: problem.scale, window: problem.window, softcap: problem.softcap,
            sinks: problem.hasSinks ? inputs[3] : nil, slopes: problem.hasSlopes ? slopes : nil)
        var queries = inputs[0]
        if let runs {
            queries = try queries.selecting(Tensor(runs.flatMap { $0.map { Int64($0) } }).to(device))
        }
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes, queries: runs)
        let result = try segmentAttention(queries, inputs[1], inputs[2], map, options)
        #expect(result.device == device && result.dtype == dtype)
        try result.backward(grad: randomTensor(result.shape, 5).to(dtype).to(device))
        return try [result.detached().to(.cpu)] + leaves.map { try #require(try $0.grad()) }
    }

    /// Trees, grouped heads, windows and slopes as drawn; the cap and sinks, which take the written-out path, too.
    @Test(arguments: [DType.float64, .float32, .bfloat16]) func itIsTheCPUs(_ dtype: DType) throws {
        let bound = dtype == .float64 ? 1e-11 : dtype == .float32 ? 1e-5 : 3e-2
        for seed in 0..<8 {
            var problem = BlockAttentionTests.Problem(seed: seed)
            if seed % 4 != 0 { (problem.softcap, problem.hasSinks) = (nil, false) }
            let runs = seed % 3 == 0 ? FewQueriesTests.runs(problem.shape, seed: seed) : nil
            let wanted = try results(problem, runs, dtype, on: .cpu)
            for usesKernels in [true, false] {
                let ours = try results(problem, runs, dtype, on: .standIn, usesKernels: usesKernels)
                for (one, other) in zip(ours, wanted) {
                    try expectClose(one, other, within: bound, "\(seed), \(usesKernels)")
                }
            }
        }
    }

    /// Segments that are cut into pieces, pieces of sizes that do not fit together, and groups that are computed in parts.
    @Test func longSegmentsAreCutAndManyAreParted() throws {
        var problem = BlockAttentionTests.Problem(seed: 0)
        (problem.softcap, problem.hasSinks, problem.window) = (nil, false, nil)
        problem.shape = SegmentShape(name: "long", lengths: [1100, 40, 1], prefixes: [nil, 0, nil])
        (problem.heads, problem.kvHeads, problem.widths) = (12, 4, (4, 2))
        for shape in [
            problem.shape, SegmentShape(name: "three", lengths: [600, 590, 610], prefixes: [nil, nil, nil]),
        ] {
            problem.shape = shape
            if shape.name == "three" {
                (problem.heads, problem.kvHeads, problem.widths) = (64, 64, (2, 2))
            }
            let wanted = try results(problem, nil, .float32, on: .cpu)
            for usesKernels in [true, false] {
                let ours = try results(problem, nil, .float32, on: .standIn, usesKernels: usesKernels)
                for (one, other) in zip(ours, wanted) {
                    try expectClose(one, other, within: 1e-5, "\(shape.name), \(usesKernels)")
                }
            }
        }
    }
}
