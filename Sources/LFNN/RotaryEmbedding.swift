import Foundation
public import LFModelConfig
import LFStream
public import LFTorch

/// Cosine and sine tables of rotary positions, computed in float32 as the published models do.
public final class RotaryEmbedding {
    private let rotaryDim: Int
    private let theta: Double
    private let scaling: RopeScaling
    /// Whether a pair is two neighbours; else element i turns with element i + rotaryDim / 2.
    public let isInterleaved: Bool
    private let device: Device
    private var tables: (cos: Tensor, sin: Tensor, length: Int, basis: Int)?

    /// - Parameter rotaryDim: How many of a head's dimensions are rotated; even.
    public init(
        rotaryDim: Int, theta: Double, scaling: RopeScaling, isInterleaved: Bool = false, on device: Device
    ) {
        self.rotaryDim = rotaryDim
        self.theta = theta
        self.scaling = scaling
        self.isInterleaved = isInterleaved
        self.device = device
    }

    /// - Returns: `cos` and `sin`, each `[T, rotaryDim / 2]` float32, for the stream's positions.
    public func callAsFunction(_ stream: DeviceStream) throws(TorchError) -> (cos: Tensor, sin: Tensor) {
        let (cos, sin) = try table(for: stream.longestSequence)
        return (try cos.selecting(stream.positions), try sin.selecting(stream.positions))
    }

    /// The same for tokens of sequences that are being generated: where frequencies depend on the length, it is each sequence's
    /// own, so that its neighbours in the batch change nothing.
    ///
    /// - Parameter sequenceLengths: Of each token's sequence, `[T]`.
    public func callAsFunction(
        _ stream: DeviceStream, sequenceLengths: [Int]
    ) throws(TorchError) -> (cos: Tensor, sin: Tensor) {
        guard scaling.dependsOnLength else { return try self(stream) }
        let rows = stream.inputIDs.dim(0)
        var known: [Int: ([Float], Float)] = [:]
        var cosines: [Float] = [], sines: [Float] = []
        for (position, length) in zip(stream.host.positions, sequenceLengths) {
            let (frequencies, factor) = known[length] ?? inverseFrequencies(length: length)
            known[length] = (frequencies, factor)
            for frequency in frequencies {
                cosines.append(cosf(Float(position) * frequency) * factor)
                sines.append(sinf(Float(position) * frequency) * factor)
            }
        }
        let filling = rows * (rotaryDim / 2) - cosines.count
        cosines += Array(repeating: 1, count: filling)
        sines += Array(repeating: 0, count: filling)
        let shape = [rows, rotaryDim / 2]
        return (try Tensor(cosines, shape).to(device), try Tensor(sines, shape).to(device))
    }

    /// Up to which length of a sequence its tokens are turned the same whatever that length is.
    package var stableLength: Int {
        switch scaling {
        case .dynamic(_, let originalLimit), .longrope(_, _, let originalLimit, _): originalLimit
        default: .max
        }
    }

    private func table(for length: Int) throws(TorchError) -> (Tensor, Tensor) {
        let basis =
            switch scaling {
            case .dynamic(_, let originalLimit): max(length, originalLimit)
            case .longrope(_, _, let originalLimit, _): length > originalLimit ? 1 : 0
            default: 0
            }
        if let tables, tables.length >= length, tables.basis == basis { return (tables.cos, tables.sin) }
        // Twice what is asked for at most, so that a text that grows by a token rarely needs a new table.
        var size = 512
        while size < length { size *= 2 }
        let (frequencies, factor) = inverseFrequencies(length: length)
        var cosines = [Float](), sines = [Float]()
        cosines.reserveCapacity(size * frequencies.count)
        sines.reserveCapacity(size * frequencies.count)
        for position in 0..<size {
            for frequency in frequencies {
                let angle = Float(position) * frequency
                cosines.append(cosf(angle) * factor)
                sines.append(sinf(angle) * factor)
            }
        }
        let shape = [size, frequencies.count]
        let cos = try Tensor(cosines, shape).to(device)
        let sin = try Tensor(sines, shape).to(device)
        tables = (cos, sin, size, basis)
        return (cos, sin)
    }

    /// The rotation speed of each pair and the factor on the tables.
    func inverseFrequencies(length: Int) -> ([Float], Float) {
        func plain(_ base: Double) -> [Float] {
            (0..<rotaryDim / 2).map { 1 / powf(Float(base), Float(2 * $0) / Float(rotaryDim)) }
        }
        switch scaling {
        case .none: return (plain(theta), 1)
        case .linear(let factor): return (plain(theta).map { $0 / Float(factor) }, 1)
        case .dynamic(let factor, let originalLimit):
            let longest = Double(max(length, originalLimit))
            let stretch = factor * longest / Double(originalLimit) - (factor - 1)
            return (plain(theta * pow(stretch, Double(rotaryDim) / Double(rotaryDim - 2))), 1)
        case .longrope(let short, let long, let originalLimit, let attentionFactor):
            let divisors = length > originalLimit ? long : short
            return (zip(plain(theta), divisors).map { $0 / Float($1) }, Float(attentionFactor))
        case .llama3(let factor, let low, let high, let originalLimit):
            let scaled = plain(theta).map { frequency -> Float in
                let wavelength = 2 * Double.pi / Double(frequency)
                if wavelength < Double(originalLimit) / high { return frequency }
                if wavelength > Double(originalLimit) / low { return frequency / Float(factor) }
                let smooth = (Double(originalLimit) / wavelength - low) / (high - low)
                return Float((1 - smooth) * Double(frequency) / factor + smooth * Double(frequency))
            }
            return (scaled, 1)
        case .yarn(
            let factor, let originalLimit, let attentionFactor, let betaFast, let betaSlow, let mscale,
            let mscaleAllDim,
            let truncate):
            func magnitude(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
            let attention: Double =
                if let attentionFactor {
                    attentionFactor
                } else if let mscale, let mscaleAllDim, mscale != 0, mscaleAllDim != 0 {
                    magnitude(mscale) / magnitude(mscaleAllDim)
                } else {
                    magnitude(1)
                }
            // The pair that turns `rotations` times over the original length.
            func pair(_ rotations: Double) -> Double {
                Double(rotaryDim) * log(Double(originalLimit) / (rotations * 2 * .pi)) / (2 * log(theta))
            }
            var first = pair(betaFast), last = pair(betaSlow)
            if truncate { (first, last) = (first.rounded(.down), last.rounded(.up)) }
            first = max(first, 0)
            last = min(last, Double(rotaryDim - 1))
            if first == last { last += 0.001 }
            let blended = plain(theta).enumerated().map { index, frequency -> Float in
                let ramp = min(max((Double(index) - first) / (last - first), 0), 1)
                let kept = Float(1 - ramp)
                return frequency / Float(factor) * (1 - kept) + frequency * kept
            }
            return (blended, Float(attention))
        }
    }
}
