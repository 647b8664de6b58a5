import LFNN
package import LFTorch

/// What a layer keeps while text is generated.
package enum LayerCache: Sendable, Equatable {
    /// Keys and values of each token.
    case keysValues(heads: Int, keyDim: Int, valueDim: Int)
    /// Tensors that stand for all tokens of a sequence so far (`CachedForward.states`).
    case state
}

/// What a block, or a feed-forward layer, returns.
package struct LayerOutput {
    /// `[R, hidden]`
    package var hidden: Tensor
    /// Scores of the experts before their softmax or sigmoid, `[R, experts]`, of a layer that routes.
    package var routerLogits: Tensor?

    package init(_ hidden: Tensor, routerLogits: Tensor? = nil) {
        self.hidden = hidden
        self.routerLogits = routerLogits
    }
}

/// Mixes the tokens of a sequence: attention, a recurrence, a convolution.
package protocol TokenMixer: AnyObject {
    var cache: LayerCache { get }
    /// How many numbers of each token the backward pass reads.
    var activationsPerToken: Int { get }
    /// - Parameter x: `[T, hidden]`.
    /// - Returns: `[R, hidden]`, the rows that leave the block (`Pass.read`).
    func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor
    /// The same in a program of few rows; nil where it does what programs do not.
    func rowLayer(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowLayer?
}

/// Transforms each token on its own: an MLP, a mixture of experts.
package protocol FeedForward: AnyObject {
    /// How many numbers of each token the backward pass reads.
    var activationsPerToken: Int { get }
    /// - Parameter x: `[R, hidden]`, whichever rows; returns the same shape.
    func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput
    /// The same in a program of few rows; nil where it does what programs do not.
    func rowLayer(of program: RowProgram) throws(TorchError) -> RowLayer?
}

/// A layer of a model: what is computed again as a whole where memory is short.
package protocol Block: AnyObject {
    var cache: LayerCache { get }
    /// How many numbers of each token the backward pass reads.
    var activationsPerToken: Int { get }
    /// - Parameter x: `[T, hidden]`.
    /// - Returns: `[R, hidden]`, the rows that leave the block (`Pass.read`).
    func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput
    /// Notes the same in a program of few rows when called; nil where the block does what programs do not.
    func rowStep(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowStep?
}

/// Notes operations in a program of few rows.
package typealias RowStep = () throws(TorchError) -> Void

/// A sublayer in a program of few rows: what comes before its last matrix, and that.
package struct RowLayer {
    package var inner: (RowProgram.Rows) throws(TorchError) -> RowProgram.Rows
    package var output: LinearOperands
}

extension TokenMixer {
    package func rowLayer(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowLayer? { nil }
}

extension FeedForward {
    package func rowLayer(of program: RowProgram) throws(TorchError) -> RowLayer? { nil }
}

extension Block {
    package func rowStep(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowStep? { nil }
}

extension RowProgram {
    /// A norm as this program takes it; nil where it does not.
    func norm(_ norm: any Norm) -> RowNorm? {
        guard let made = (norm as? RMSNorm)?.ofRows, takes(made.weight) else { return nil }
        return made
    }
}
