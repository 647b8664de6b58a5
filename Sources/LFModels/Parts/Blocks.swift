package import LFNN
package import LFTorch

/// Where a sublayer's norms stand around it.
package struct SublayerNorms {
    /// Of what the sublayer reads.
    var before: (any Norm)?
    /// Of what it gives, before that is added to the stream.
    var after: (any Norm)?
    /// Of the sum of the stream and what it gives.
    var ofSum: (any Norm)?
    /// Whether the sum is made with what `before` gave, not with the stream.
    var addsToNormed = false

    package static func before(_ norm: any Norm) -> Self { Self(before: norm) }
    package static func after(_ norm: any Norm) -> Self { Self(after: norm) }
    package static func around(_ before: any Norm, _ after: any Norm) -> Self {
        Self(before: before, after: after)
    }
    package static func ofSum(_ norm: any Norm) -> Self { Self(ofSum: norm) }
    /// As `before`, with the normalised stream as what is added to.
    package static func replacing(_ norm: any Norm) -> Self { Self(before: norm, addsToNormed: true) }

    /// One step of the stream: `x + scale · layer(x)`, with the norms in their places.
    ///
    /// - Parameter narrows: Whether `layer` gives the rows alone that leave the block.
    func step(
        _ x: Tensor, scale: Double, _ pass: Pass, narrows: Bool = false,
        _ layer: (Tensor) throws(TorchError) -> Tensor
    ) throws(TorchError) -> Tensor {
        let input = if let before { try before(x) } else { x }
        var output = try layer(input.to(pass.computeDType))
        if let after { output = try after(output) }
        if scale != 1 { output = try output * scale }
        let base = addsToNormed ? input : x
        let sum = try (narrows ? pass.read(base) : base) + output
        return if let ofSum { try ofSum(sum) } else { sum }
    }

    /// The same in a program of few rows; nil where the norms are others than programs have.
    func rowStep(of program: RowProgram, scale: Double, _ layer: RowLayer) -> RowStep? {
        guard ofSum == nil, !addsToNormed else { return nil }
        let first = before.flatMap { program.norm($0) }, last = after.flatMap { program.norm($0) }
        guard (first == nil) == (before == nil), (last == nil) == (after == nil) else { return nil }
        return { () throws(TorchError) in
            let x = if let first { try program.norm(program.stream, first) } else { program.stream }
            let inner = try layer.inner(x)
            guard let last else { return try program.add(layer.output, of: inner, scale: scale) }
            let output = try program.linears(inner, [layer.output])[0]
            try program.add(program.norm(output, last), scale: scale)
        }
    }
}

/// Mixer, then feed-forward, each added to the stream.
package final class SequentialBlock: Block {
    private let mixer: any TokenMixer
    private let feedForward: any FeedForward
    private let mixerNorms: SublayerNorms
    private let feedForwardNorms: SublayerNorms
    private let residualScale: Double
    private let hiddenSize: Int

    /// - Parameter residualScale: What both outputs are multiplied by before they are added.
    package init(
        hidden: Int, _ mixer: any TokenMixer, _ feedForward: any FeedForward, mixerNorms: SublayerNorms,
        feedForwardNorms: SublayerNorms, residualScale: Double = 1
    ) {
        hiddenSize = hidden
        self.mixer = mixer
        self.feedForward = feedForward
        self.mixerNorms = mixerNorms
        self.feedForwardNorms = feedForwardNorms
        self.residualScale = residualScale
    }

    package var cache: LayerCache { mixer.cache }

    /// The stream twice and both norms' results, besides what the sublayers keep.
    package var activationsPerToken: Int {
        4 * hiddenSize + mixer.activationsPerToken + feedForward.activationsPerToken
    }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        let mixed = try mixerNorms.step(x, scale: residualScale, pass, narrows: true) {
            (x) throws(TorchError) in try mixer(x, pass)
        }
        var routerLogits: Tensor?
        let hidden = try feedForwardNorms.step(mixed, scale: residualScale, pass) { (x) throws(TorchError) in
            let output = try feedForward(x, pass)
            routerLogits = output.routerLogits
            return output.hidden
        }
        return LayerOutput(hidden, routerLogits: routerLogits)
    }

    package func rowStep(of program: RowProgram, _ pass: Pass) throws(TorchError) -> RowStep? {
        guard let mixer = try mixer.rowLayer(of: program, pass),
            let feedForward = try feedForward.rowLayer(of: program),
            let first = mixerNorms.rowStep(of: program, scale: residualScale, mixer),
            let second = feedForwardNorms.rowStep(of: program, scale: residualScale, feedForward)
        else { return nil }
        return { () throws(TorchError) in
            try first()
            try second()
        }
    }
}

/// Mixer and feed-forward side by side on the same stream (Wang & Komatsuzaki 2021, GPT-J): `x + mixer(norm(x)) +
/// feedForward(norm(x))`.
package final class ParallelBlock: Block {
    private let mixer: any TokenMixer
    private let feedForward: any FeedForward
    private let mixerNorm: any Norm
    private let feedForwardNorm: (any Norm)?
    private let hiddenSize: Int

    /// - Parameter feedForwardNorm: nil where both read what `mixerNorm` gives.
    package init(
        hidden: Int, _ mixer: any TokenMixer, _ feedForward: any FeedForward, norm mixerNorm: any Norm,
        feedForwardNorm: (any Norm)? = nil
    ) {
        hiddenSize = hidden
        self.mixer = mixer
        self.feedForward = feedForward
        self.mixerNorm = mixerNorm
        self.feedForwardNorm = feedForwardNorm
    }

    package var cache: LayerCache { mixer.cache }

    package var activationsPerToken: Int {
        (feedForwardNorm == nil ? 2 : 3) * hiddenSize + mixer.activationsPerToken
            + feedForward.activationsPerToken
    }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        let normed = try mixerNorm(x).to(pass.computeDType)
        let own = try pass.read(x)
        let other =
            if let feedForwardNorm { try feedForwardNorm(own).to(pass.computeDType) } else {
                try pass.read(normed)
            }
        let output = try feedForward(other, pass)
        let hidden = try own + mixer(normed, pass) + output.hidden
        return LayerOutput(hidden, routerLogits: output.routerLogits)
    }
}
