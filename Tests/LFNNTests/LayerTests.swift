import LFNN
import LFTorch
import Testing

@Suite struct LayerTests {
    /// Weights that count up, so that a test can tell them apart.
    final class CountingWeights: WeightProvider {
        func contains(_ name: String) -> Bool { !name.hasSuffix("absent") }
        func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
            let count = shape.reduce(1, *)
            return try Tensor((0..<count).map { Double($0 + 1) / 10 }, shape)
        }
    }

    let registry = WeightScope.Registry(CountingWeights(), dtype: .float64, device: .cpu)
    var root: WeightScope { WeightScope(registry) }

    func adapted(_ layer: Linear, _ control: AdapterSwitch) throws -> LoRAAdapter {
        let a = Parameter(name: "a", tensor: try Tensor([1, -1] as [Double], [1, 2]))
        let b = Parameter(name: "b", tensor: try Tensor([2, 0, 1] as [Double], [3, 1]))
        for parameter in [a, b] { try parameter.makeTrainable(.float64) }
        let adapter = LoRAAdapter(a: a, b: b, scale: 0.5, control: control)
        layer.adapter = adapter
        return adapter
    }

    @Test func namesAreCheckpointKeys() throws {
        let layer = try Linear(2, 3, bias: true, root / "model" / "layers" / 4 / "mlp" / "up_proj")
        #expect(
            registry.parameters.map(\.name) == [
                "model.layers.4.mlp.up_proj.weight", "model.layers.4.mlp.up_proj.bias",
            ])
        #expect(registry.linears.map(\.name) == ["model.layers.4.mlp.up_proj"])
        #expect(layer.base.parameter?.tensor.shape == [3, 2] && layer.bias?.tensor.shape == [3])
        #expect((root / "model").contains("there"))
        #expect(!(root / "model").contains("absent"))
    }

    @Test func anAdapterAddsItsUpdateWhileItIsOn() throws {
        let layer = try Linear(2, 3, root / "q_proj")
        let control = AdapterSwitch()
        _ = try adapted(layer, control)
        let x = try Tensor([3, 1] as [Double], [1, 2])
        let plain = [0.5, 1.3, 2.1]
        // 0.5 · B·(A·x) with A·x = 2.
        let with = [2.5, 1.3, 3.1]
        func expect(_ tensor: Tensor, _ wanted: [Double]) throws {
            for (value, wanted) in zip(try tensor.doubles(), wanted) { #expect(abs(value - wanted) <= 1e-12) }
        }
        try expect(layer(x), with)
        try expect(x.matmul(layer.effectiveWeight().transposed()), with)
        try expect(control.disabled { try layer(x) }, plain)
        try expect(control.disabled { try layer.effectiveWeight() }, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
        try expect(layer(x), with)
        struct Stop: Error {}
        #expect(throws: Stop.self) { try control.disabled { throw Stop() } }
        #expect(control.isEnabled)
    }

    @Test func effectiveWeightsCarryTheAdaptersGradients() throws {
        let layer = try Linear(2, 3, root / "lm_head")
        let adapter = try adapted(layer, AdapterSwitch())
        let x = try Tensor([3, 1, -2, 5] as [Double], [2, 2])
        func gradients(_ output: Tensor) throws -> [[Double]] {
            try output.squared().sum().backward()
            return try [adapter.a, adapter.b].map { parameter in
                defer { try? parameter.tensor.setGrad(nil) }
                return try #require(try parameter.tensor.grad()).doubles()
            }
        }
        let direct = try gradients(layer(x))
        let merged = try gradients(x.matmul(layer.effectiveWeight().transposed()))
        for (one, other) in zip(direct.joined(), merged.joined()) { #expect(abs(one - other) <= 1e-10) }
    }

    @Test func dropoutThinsTheAdaptersInputAlone() throws {
        let layer = try Linear(2, 3, root / "q_proj")
        let control = AdapterSwitch()
        _ = try adapted(layer, control)
        let x = try Tensor.full([4000, 2], 1, .float64)
        let plain = try control.disabled { try layer(x) }
        control.dropout = (0.25, try Generator(seed: 9))
        // A·x̃ of an input of ones is 0 or ±4/3, and on average what it is without dropout.
        let updates = try (layer(x) - plain).slice(0..<1, dim: 1).doubles()
        #expect(Set(updates.map { ($0 * 3).rounded() }) == [0, 4, -4])
        #expect(abs(updates.reduce(0, +) / 4000) < 0.05)
        let share = Double(updates.count { $0 > 0 }) / 4000
        #expect(abs(share - 0.1875) < 0.02)
    }

    @Test func sharedWeightsAreOneParameter() throws {
        let embedding = try Embedding(5, 2, root / "embed")
        let head = try Linear(sharing: embedding.weight, root / "lm_head", .head)
        #expect(registry.parameters.count == 1 && head.inputSize == 2 && head.outputSize == 5)
        try embedding.weight.makeTrainable(.float64)
        let shared = try #require(head.base.parameter)
        #expect(shared === embedding.weight && shared.tensor.requiresGrad && head.shares(embedding.weight))
    }

    // MARK: Parameters

    @Test func trainingLeavesTheLoadedTensorAlone() throws {
        let loaded = try Tensor([1, 2] as [Float])
        let parameter = Parameter(name: "w", tensor: loaded)
        try parameter.makeTrainable(.float32)
        try parameter.tensor.addInPlace(Tensor([1, 1] as [Float]))
        #expect(try parameter.tensor.floats() == [2, 3])
        #expect(try loaded.floats() == [1, 2])
        #expect(!loaded.requiresGrad && parameter.isTrainable)
    }

    @Test func trainingStartsFromWhatWasLoadedNotFromItsRoundedImage() throws {
        let exact: Float = 1.00390625 + 1.0 / 1024
        let parameter = Parameter(
            name: "w", tensor: try Tensor([exact]).to(.bfloat16), loaded: try Tensor([exact]))
        #expect(try parameter.tensor.floats() != [exact])
        try parameter.makeTrainable(.float32)
        #expect(try parameter.tensor.floats() == [exact])
        // What has been replaced is not what was loaded.
        let merged = Parameter(
            name: "w", tensor: try Tensor([exact]).to(.bfloat16), loaded: try Tensor([exact]))
        merged.replace(with: try Tensor([2 as Float]))
        try merged.makeTrainable(.float32)
        #expect(try merged.tensor.floats() == [2])
    }

    @Test func theReferenceSeesTheWeightThatTrainingBeganWith() throws {
        let control = AdapterSwitch()
        let parameter = Parameter(name: "w", tensor: try Tensor([1, 2] as [Float]).to(.bfloat16))
        try parameter.makeTrainable(.float32, keepingOriginalFor: control)
        try parameter.load(Tensor([5, 6] as [Float]))
        #expect(try parameter.tensor.floats() == [5, 6])
        #expect(parameter.tensor.dtype == .float32)
        #expect(try control.disabled { try parameter.tensor.floats() } == [1, 2])
        parameter.keepTrained()
        #expect(try control.disabled { try parameter.tensor.floats() } == [5, 6])
    }
}
