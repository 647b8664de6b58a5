import LFAdapters
import LFCheckpoint
import LFNN
import LFTorch
import Testing

/// Rows with lengths of their own, against the paper's formula written out.
@Suite struct DoRATests {
    static func random(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
        let tensor = try Tensor.zeros(shape, .float64)
        try tensor.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: seed))
        return tensor
    }

    struct Setup {
        var layer: Linear
        var adapter: LoRAAdapter
        var control: AdapterSwitch
        var weight: Tensor
    }

    static func setup() throws -> Setup {
        let control = AdapterSwitch()
        let provider = FreshWeights(try Generator(seed: 1), deviation: 0.5)
        let registry = WeightScope.Registry(provider, dtype: .float64, device: .cpu)
        let layer = try Linear(6, 5, bias: true, WeightScope(registry) / "q")
        func trained(_ shape: [Int], _ seed: UInt64) throws -> Parameter {
            let parameter = Parameter(name: "p\(seed)", tensor: try random(shape, seed))
            try parameter.makeTrainable(.float64)
            return parameter
        }
        let adapter = LoRAAdapter(
            a: try trained([2, 6], 2), b: try trained([5, 2], 3), magnitude: try trained([5], 4), scale: 0.5,
            control: control)
        layer.adapter = adapter
        return Setup(layer: layer, adapter: adapter, control: control, weight: try layer.base.dense())
    }

    @Test func rowsHaveTheTrainedLengths() throws {
        let made = try Self.setup()
        let weight = try made.layer.effectiveWeight()
        let lengths = try weight.squared().sum(dim: 1).sqrt().doubles()
        let wanted = try #require(made.adapter.magnitude).tensor.abs().doubles()
        for (one, other) in zip(lengths, wanted) { #expect(abs(one - other) < 1e-9) }
        let x = try Self.random([4, 6], 9)
        let output = try made.layer(x)
        let bias = try #require(made.layer.bias).tensor
        #expect(try (output - (x.matmul(weight.transposed()) + bias)).abs().max().item() < 1e-9)
        made.control.isEnabled = false
        #expect(try (made.layer(x) - (x.matmul(made.weight.transposed()) + bias)).abs().max().item() < 1e-12)
    }

    /// The rows' norm is a constant in the backward pass (section 4.3).
    @Test func theNormTakesNoGradient() throws {
        let made = try Self.setup()
        let x = try Self.random([4, 6], 9)
        try made.layer(x).sum().backward()
        let (a, b) = (made.adapter.a.tensor, made.adapter.b.tensor)
        let magnitude = try #require(made.adapter.magnitude).tensor
        let update = try b.detached().matmul(a.detached()) * 0.5
        let sum = try made.weight + update
        let norms = try sum.squared().sum(dim: 1).sqrt()
        // d/dB of Σ m/n · (W + s·B·A)x: every row of the gradient is m/n · s · A·Σx.
        let direction = try a.detached().matmul(x.sum(dim: 0)) * 0.5
        let expected = try (magnitude.detached() / norms).reshaped([5, 1]) * direction.reshaped([1, 2])
        let gradient = try #require(try b.grad())
        #expect(try (gradient - expected).abs().max().item() < 1e-9)
        let rows = try sum.matmul(x.sum(dim: 0)) / norms
        let lengthGradient = try #require(try magnitude.grad())
        #expect(try (lengthGradient - rows).abs().max().item() < 1e-9)
    }

    /// With nothing to drop, the path that drops is the other one.
    @Test func droppedInputsOnlyReachTheUpdate() throws {
        let made = try Self.setup()
        let x = try Self.random([4, 6], 9)
        let plain = try made.layer(x)
        made.control.dropout = (0, try Generator(seed: 1))
        #expect(try (made.layer(x) - plain).abs().max().item() < 1e-9)
    }

    /// A head's input is dropped for its adapter as any layer's is: one product says the same as the layer.
    @Test(arguments: [0.0, 0.5], [false, true])
    func aProductOfFactorsIsTheLayer(_ probability: Double, _ hasMagnitude: Bool) throws {
        let made = try Self.setup()
        let magnitude = hasMagnitude ? made.adapter.magnitude : nil
        let layer = try Linear(
            6, 5,
            WeightScope(
                .init(FreshWeights(Generator(seed: 1), deviation: 0.5), dtype: .float64, device: .cpu)) / "h")
        layer.adapter = LoRAAdapter(
            a: made.adapter.a, b: made.adapter.b, magnitude: magnitude, scale: 0.5, control: made.control)
        let x = try Self.random([40, 6], 9)
        made.control.dropout = (probability, try Generator(seed: 3))
        let expected = try layer(x)
        made.control.dropout = (probability, try Generator(seed: 3))
        let factors = try layer.factors(x)
        let product = try factors.x.matmul(factors.weight.transposed())
        #expect(try (product - expected).abs().max().item() < 1e-9)
        made.control.dropout = nil
        let undropped = try layer.factors(x)
        #expect(undropped.x === x)
        let difference = try (layer(x) - expected).abs().max().item()
        #expect((difference > 1e-3) == (probability > 0))
    }
}
