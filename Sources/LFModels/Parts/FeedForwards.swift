package import LFModelConfig
package import LFNN
package import LFTorch

extension Activation {
    package func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        switch self {
        case .silu, .swish: try x.silu()
        case .gelu: try x.gelu()
        case .geluTanh, .geluNew, .geluFast: try x.geluTanh()
        case .relu: try x.relu()
        case .reluSquared: try x.relu().squared()
        }
    }

    /// Whether it is `x · sigmoid(x)`.
    var isSilu: Bool { self == .silu || self == .swish }

    /// `down(activation(gate) ⊙ up)`.
    package func gated(_ gate: Tensor, _ up: Tensor, down: Linear) throws(TorchError) -> Tensor {
        isSilu ? try down.ofGated(gate, up) : try down(gated(gate, up))
    }

    /// `activation(gate) ⊙ up`.
    package func gated(_ gate: Tensor, _ up: Tensor) throws(TorchError) -> Tensor {
        switch self {
        case .silu, .swish: try siluMul(gate, up)
        default: try self(gate) * up
        }
    }
}

/// `W_down(activation(W_gate x) ⊙ W_up x)` (Shazeer 2020, arXiv 2002.05202, eq. 6).
package final class GatedMLP: FeedForward {
    /// The names of the three matrices.
    package struct Names {
        var gate = "gate_proj", up = "up_proj", down = "down_proj"

        package init(gate: String, up: String, down: String) {
            (self.gate, self.up, self.down) = (gate, up, down)
        }
        package init() {}
    }

    private let gateProj: Linear
    private let upProj: Linear
    private let downProj: Linear
    private let activation: Activation

    package init(
        _ hidden: Int, _ inner: Int, _ activation: Activation, bias: Bool = false, names: Names = Names(),
        _ weights: WeightScope
    ) throws {
        gateProj = try Linear(hidden, inner, bias: bias, weights / names.gate, .gate)
        upProj = try Linear(hidden, inner, bias: bias, weights / names.up, .up)
        downProj = try Linear(inner, hidden, bias: bias, weights / names.down, .down)
        self.activation = activation
    }

    /// Gate, up and their product, which is formed again on the CPU alone.
    package var activationsPerToken: Int { 3 * downProj.inputSize }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        let both = try Linear.outputs(of: [gateProj, upProj], x)
        return LayerOutput(try activation.gated(both[0], both[1], down: downProj))
    }

    package func rowLayer(of program: RowProgram) throws(TorchError) -> RowLayer? {
        guard activation.isSilu, let gate = gateProj.operands(for: program),
            let up = upProj.operands(for: program), let down = downProj.operands(for: program)
        else { return nil }
        return RowLayer(
            inner: { (x) throws(TorchError) in try program.gated(x, gate: gate, up: up) }, output: down)
    }
}

/// The same with gate and up in one matrix, `gate_up_proj`, the gate's rows first.
package final class FusedGatedMLP: FeedForward {
    private let gateUpProj: Linear
    private let downProj: Linear
    private let activation: Activation

    package init(
        _ hidden: Int, _ inner: Int, _ activation: Activation, bias: Bool = false, _ weights: WeightScope
    ) throws {
        gateUpProj = try Linear(hidden, 2 * inner, bias: bias, weights / "gate_up_proj", .gateUp)
        downProj = try Linear(inner, hidden, bias: bias, weights / "down_proj", .down)
        self.activation = activation
    }

    /// Gate, up and their product, which is formed again on the CPU alone.
    package var activationsPerToken: Int { 3 * downProj.inputSize }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        let both = try gateUpProj(x), inner = downProj.inputSize
        let (gate, up) = (try both.slice(0..<inner, dim: 1), try both.slice(inner..<2 * inner, dim: 1))
        return LayerOutput(try activation.gated(gate, up, down: downProj))
    }

    package func rowLayer(of program: RowProgram) throws(TorchError) -> RowLayer? {
        guard activation.isSilu, let both = gateUpProj.operands(for: program),
            let down = downProj.operands(for: program)
        else { return nil }
        let inner = downProj.inputSize
        let (gate, up) = (try both.outputs(0..<inner), try both.outputs(inner..<2 * inner))
        return RowLayer(
            inner: { (x) throws(TorchError) in try program.gated(x, gate: gate, up: up) }, output: down)
    }
}

/// `W_down(activation(W_up x))`.
package final class PlainMLP: FeedForward {
    private let up: Linear
    private let down: Linear
    private let activation: Activation

    /// - Parameters:
    ///   - names: Of the two matrices.
    ///   - transposed: Whether files hold them as `[in, out]`.
    package init(
        _ hidden: Int, _ inner: Int, _ activation: Activation, bias: Bool, transposed: Bool = false,
        names: (up: String, down: String), _ weights: WeightScope
    ) throws {
        up = try Linear(hidden, inner, bias: bias, transposed: transposed, weights / names.up, .up)
        down = try Linear(inner, hidden, bias: bias, transposed: transposed, weights / names.down, .down)
        self.activation = activation
    }

    package var activationsPerToken: Int { 2 * down.inputSize }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        LayerOutput(try down(activation(up(x))))
    }
}
