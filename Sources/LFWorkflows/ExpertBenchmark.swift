import Foundation
import LFDiagnostics
public import LFJSON
import LFModelConfig
import LFModels
import LFNN
import LFTorch

/// Measures a mixture of experts against dense products of the same size: a gated MLP of one expert's sizes over as many rows as the mixture's experts have
/// together. Both go forward and backward with all weights trained, float32, in turn.
///
/// - Parameter tokensPerExpert: On average; random routers choose.
/// - Returns: The rates in GFLOP/s of products (`mixture`, `dense`), their `ratio`, each the best of `rounds`, and what experts had at least and at most.
/// - Throws: `TorchError` where memory runs out.
public func expertBenchmark(
    hidden: Int, inner: Int, experts: Int, chosen: Int, tokensPerExpert: Int, rounds: Int, threads: Int
) throws -> JSONValue {
    TorchRuntime.keepFreedMemory()
    TorchRuntime.refillFreedMemory()
    TorchRuntime.setThreads(threads)
    let chosen = min(chosen, experts)
    let tokens = max(1, experts * tokensPerExpert / chosen)
    let generator = try Generator(seed: 1)
    let weights = WeightScope(
        WeightScope.Registry(FreshWeights(generator, deviation: 0.02), dtype: nil, device: .cpu))
    let mixture = MixtureOfExperts(
        Router(try (weights / "gate").parameter("weight", [experts, hidden], .router)),
        try Experts(experts, hidden, inner, .silu, weights / "experts"),
        Routing(.softmax, chosen: chosen, normalizes: true))
    let gateUp = try (weights / "dense").parameter("gate_up", [2 * inner, hidden], .gateUp)
    let down = try (weights / "dense").parameter("down", [hidden, inner], .down)
    for parameter in weights.registry.parameters { try parameter.makeTrainable(.float32) }

    func input(_ rows: Int) throws -> Tensor {
        let x = try Tensor.zeros([rows, hidden])
        try x.fillNormalInPlace(mean: 0, deviation: 1, generator)
        try x.setRequiresGrad(true)
        return x
    }
    let (x, wide) = (try input(tokens), try input(tokens * chosen))
    func seconds(_ forward: () throws -> Tensor) throws -> Double {
        let start = monotonicSeconds()
        try forward().sum().backward()
        let end = monotonicSeconds()
        for tensor in [x, wide] + weights.registry.parameters.map(\.tensor) { try tensor.setGrad(nil) }
        return end - start
    }
    var best = (mixture: Double.infinity, dense: Double.infinity)
    for _ in 0...rounds {
        best.mixture = min(best.mixture, try seconds { try mixture.routed(x).hidden })
        best.dense = min(
            best.dense,
            try seconds {
                let both = try linear(wide, gateUp.tensor)
                let gated = try Activation.silu.gated(
                    both.slice(0..<inner, dim: 1), both.slice(inner..<2 * inner, dim: 1))
                return try linear(gated, down.tensor)
            })
    }
    // Three products of each size: forward, and the gradients of input and weight.
    let work = 3.0 * 2 * Double(tokens * chosen) * Double(hidden) * Double(3 * inner) / 1e9
    return [
        "mixture": .double(work / best.mixture), "dense": .double(work / best.dense),
        "ratio": .double(best.dense / best.mixture), "rows": .int(Int64(tokens * chosen)),
    ]
}
