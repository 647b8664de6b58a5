import LFTorch
import Testing

/// Fails unless both tensors have one shape and every element is within `bound · (1 + |expected|)`. NaN is never close.
func expectClose(
    _ actual: Tensor, _ expected: Tensor, within bound: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    try #require(actual.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
    let pairs = zip(try actual.detached().doubles(), try expected.detached().doubles())
    let far = pairs.enumerated().first { !(abs($1.0 - $1.1) <= bound * (1 + abs($1.1))) }
    if let (index, (got, wanted)) = far {
        Issue.record("\(what): element \(index) is \(got), not \(wanted)", sourceLocation: sourceLocation)
    }
}

/// Standard normal numbers from a stream of their own.
func randomTensor(_ shape: [Int], _ seed: UInt64, _ dtype: DType = .float64) throws -> Tensor {
    let tensor = try Tensor.zeros(shape, dtype)
    try tensor.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: seed))
    return tensor
}

/// Fails unless two ways of computing agree, in value and in the gradient of every input, whichever inputs are trained.
func expectSameFunction(
    _ inputs: [Tensor], within bound: Double = 1e-12, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation, _ first: ([Tensor]) throws -> Tensor,
    _ second: ([Tensor]) throws -> Tensor
) throws {
    for subset in 0..<(1 << inputs.count) {
        func run(_ body: ([Tensor]) throws -> Tensor) throws -> (value: Tensor, grads: [Tensor?]) {
            let leaves = try inputs.map { try $0.cloned() }
            for (index, leaf) in leaves.enumerated() { try leaf.setRequiresGrad(subset >> index & 1 == 1) }
            let value = try body(leaves)
            #expect(value.requiresGrad == (subset != 0), "\(what)", sourceLocation: sourceLocation)
            if subset != 0 { try value.backward(grad: randomTensor(value.shape, 99, value.dtype)) }
            return (value, try leaves.map { try $0.grad() })
        }
        let (one, other) = try (run(first), run(second))
        try expectClose(one.value, other.value, within: bound, what, sourceLocation: sourceLocation)
        for (index, (grad, wanted)) in zip(one.grads, other.grads).enumerated() {
            let place = "\(what) gradient of input \(index), trained set \(subset)"
            guard let grad, let wanted else {
                #expect(grad == nil && wanted == nil, "\(place)", sourceLocation: sourceLocation)
                continue
            }
            try expectClose(grad, wanted, within: bound, place, sourceLocation: sourceLocation)
        }
    }
}

/// Fails unless the gradient of a sum of outputs agrees with central differences.
func expectGradient(
    of inputs: [Tensor], within bound: Double = 1e-6, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: ([Tensor]) throws -> Tensor
) throws {
    let leaves = try inputs.map { try $0.cloned() }
    for leaf in leaves { try leaf.setRequiresGrad(true) }
    let output = try body(leaves)
    let cotangent = try randomTensor(output.shape, 77)
    try output.backward(grad: cotangent)
    let step = 1e-5
    for (index, input) in inputs.enumerated() {
        let values = try input.doubles()
        var slopes: [Double] = []
        for place in values.indices {
            func shifted(_ by: Double) throws -> Double {
                var moved = values
                moved[place] += by
                var all = inputs
                all[index] = try Tensor(moved, input.shape)
                return try (body(all) * cotangent).sum().item()
            }
            slopes.append(try (shifted(step) - shifted(-step)) / (2 * step))
        }
        let grad = try #require(try leaves[index].grad(), sourceLocation: sourceLocation)
        try expectClose(
            grad, Tensor(slopes, input.shape), within: bound, "input \(index)", sourceLocation: sourceLocation
        )
    }
}
