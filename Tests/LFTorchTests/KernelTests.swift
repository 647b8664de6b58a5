import CStandIn
import LFTorch
import Testing

/// The shim's own kernels for devices that are not the CPU, run by the stand-in as the C++ that they are, against the CPU's layers.
@Suite struct KernelTests {
    /// Values and gradients of all inputs, the trained leaves on the CPU.
    ///
    /// - Parameter narrow: What the gradients of the results are rounded to.
    private func results(
        _ inputs: [Tensor], on device: Device, narrow: DType, _ body: ([Tensor]) throws -> [Tensor]
    ) throws -> [Tensor] {
        let leaves = try inputs.map { try $0.cloned() }
        for leaf in leaves { try leaf.setRequiresGrad(true) }
        let outputs = try body(leaves.map { try $0.to(device) })
        // One scalar of all results, with weights of their own, so that one pass goes back.
        var total: Tensor?
        for (index, output) in outputs.enumerated() {
            #expect(output.device == device)
            let weights = try randomTensor(output.shape, UInt64(90 + index)).to(narrow).to(output.dtype).to(
                device)
            let part = try (output.to(.float64) * weights.to(.float64)).sum()
            total = if let total { try total + part } else { part }
        }
        try #require(total).backward()
        return try outputs.map { try $0.detached().to(.cpu).to(.float64) }
            + leaves.map { try ($0.grad() ?? $0.detached().zerosLike()).to(.float64) }
    }

    /// What `body` gives, and the names of what the stand-in did for it; nobody else counts meanwhile.
    private func counting(_ body: () throws -> [Tensor]) throws -> ([Tensor], String) {
        stand_in_lock()
        defer { stand_in_unlock() }
        stand_in_reset()
        let result = try body()
        return (result, stand_in_operations().map { String(cString: $0) } ?? "")
    }

    /// Fails unless the device gives what the CPU gives in float64 for the same numbers, and starts these kernels for it.
    private func expectTheCPUs(
        _ inputs: [Tensor], _ narrow: DType, within bound: Double, _ what: String, kernels: Set<String>,
        _ body: ([Tensor]) throws -> [Tensor]
    ) throws {
        let (ours, started) = try counting {
            try results(inputs, on: .standIn, narrow: narrow, body)
        }
        let wide = try inputs.map { try $0.to(.float64) }
        let wanted = try results(wide, on: .cpu, narrow: narrow, body)
        for kernel in kernels { #expect(started.contains(kernel), "\(what): no \(kernel)") }
        for (index, (one, other)) in zip(ours, wanted).enumerated() {
            try expectClose(one, other, within: bound, "\(what), result \(index)")
        }
    }

    /// In bfloat16 and float16 results are rounded, and some of what they are made of.
    private func bound(_ dtype: DType) -> Double {
        switch dtype {
        case .float64: 1e-12
        case .float32: 1e-5
        case .float16: 6e-3
        default: 4e-2
        }
    }

    static let types: [DType] = [.float64, .float32, .bfloat16, .float16]

    @Test(arguments: types) func norms(_ dtype: DType) throws {
        for (weight, offset) in [(dtype, 0.0), (dtype, 1.0), (.float32, 0.0)]
        where dtype != .float64 || weight == dtype {
            // More rows than blocks share the weight's gradient.
            let inputs = try [randomTensor([300, 37], 1).to(dtype), randomTensor([37], 2).to(weight)]
            try expectTheCPUs(
                inputs, dtype, within: bound(dtype) * 4, "\(dtype), \(weight), \(offset)",
                kernels: ["rms_norm_forward", "rms_norm_backward", "column_sums"]
            ) { [try rmsNorm($0[0], $0[1], offset: offset, eps: 1e-5)] }
        }
    }

    @Test(arguments: types) func rotaryPositions(_ dtype: DType) throws {
        let tables = try [randomTensor([19, 4], 3).to(.float32), randomTensor([19, 4], 4).to(.float32)]
        for isInterleaved in [false, true] {
            // Two numbers of each head are not turned.
            try expectTheCPUs(
                [randomTensor([19, 3, 10], 1).to(dtype)], dtype, within: bound(dtype),
                "\(dtype), \(isInterleaved)",
                kernels: ["rotate"]
            ) { inputs in
                let device = inputs[0].device
                return [
                    try rope(
                        inputs[0], cos: tables[0].to(device), sin: tables[1].to(device),
                        interleaved: isInterleaved)
                ]
            }
        }
    }

    @Test(arguments: types) func gatedActivations(_ dtype: DType) throws {
        try expectTheCPUs(
            [randomTensor([81, 66], 1).to(dtype)], dtype, within: bound(dtype), "\(dtype)",
            kernels: ["gated_forward", "gated_backward"]
        ) {
            // Gate and values are columns of one matrix.
            [try siluMul($0[0].slice(0..<33, dim: 1), $0[0].slice(33..<66, dim: 1))]
        }
    }

    /// Layers with adapters of ranks on both sides of a tile's width, with biases and without.
    @Test(arguments: types) func adaptedLayers(_ dtype: DType) throws {
        let adapters = dtype == .float64 ? DType.float64 : .float32
        func drawn(_ shape: [Int], _ seed: UInt64, _ type: DType) throws -> Tensor {
            try (randomTensor(shape, seed) * 0.2).to(type)
        }
        var inputs = try [randomTensor([70, 40], 1).to(dtype)]
        for (index, (outputs, rank)) in [(30, 3), (80, 20), (130, 16)].enumerated() {
            let seed = UInt64(10 * index)
            inputs += try [
                drawn([outputs, 40], seed + 10, dtype), drawn([outputs], seed + 11, dtype),
                drawn([rank, 40], seed + 12, adapters), drawn([outputs, rank], seed + 13, adapters),
            ]
        }
        try expectTheCPUs(
            inputs, dtype, within: bound(dtype) * 2, "\(dtype)", kernels: ["short_products", "sum_columns"]
        ) { x in
            try linears(
                x[0],
                [0, 1, 2].map { layer in
                    let of = Array(x[(1 + 4 * layer)..<(5 + 4 * layer)])
                    return LinearOperands(
                        of[0], bias: layer == 1 ? nil : of[1], adapter: (of[2], of[3], 0.5 + Double(layer)))
                }) + [loraLinear(x[0], x[1], bias: x[2], a: x[3], b: x[4], scale: 2)]
        }
    }

    /// Weights and biases that are trained in float32 while products are in a narrower type.
    @Test(arguments: [DType.bfloat16, .float16]) func widerWeights(_ dtype: DType) throws {
        let inputs = try [
            randomTensor([70, 40], 1).to(dtype), (randomTensor([90, 40], 2) * 0.2).to(.float32),
            randomTensor([90], 3).to(.float32), (randomTensor([20, 40], 4) * 0.2).to(.float32),
        ]
        try expectTheCPUs(
            inputs, dtype, within: bound(dtype) * 2, "\(dtype)", kernels: ["convert_all", "sum_columns"]
        ) {
            try linears($0[0], [LinearOperands($0[1], bias: $0[2]), LinearOperands($0[3], bias: nil)])
        }
    }

    /// The head with a trained weight, and with a frozen one, where the forward pass has the gradient already.
    @Test(arguments: [DType.float64, .float32, .bfloat16]) func heads(_ dtype: DType) throws {
        let weight = try (randomTensor([300, 24], 2) * 0.3).to(dtype)
        let rows = try Tensor((0..<40).map { Int64($0 * 3 % 31) })
        let ids = try Tensor((0..<40).map { Int64($0 * 71 % 300) })
        for trainsHead in [true, false] {
            let inputs = try [randomTensor([31, 24], 1).to(dtype)] + (trainsHead ? [weight] : [])
            try expectTheCPUs(
                inputs, dtype, within: bound(dtype), "\(dtype), \(trainsHead)",
                kernels: ["head_rows", trainsHead ? "head_gradient" : "head_fold"]
            ) {
                let device = $0[0].device
                let head = HeadWeights(try trainsHead ? $0[1] : weight.to($0[0].dtype).to(device), scale: 0.7)
                return [try headLogProbs($0[0], head, rows: rows.to(device), ids: ids.to(device))]
            }
        }
    }
}
