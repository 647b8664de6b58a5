public import LFNN
import LFTorch

/// What a run trains: the weights by the names that optimizer state and files use.
public struct TrainableWeights {
    public var entries: [NamedParameter] = []

    public init() {}

    /// Gives the second factors of adapters, and vectors, a learning rate of their own: LoRA+ (Hayou et al. 2024,
    /// arXiv 2402.12354).
    ///
    /// - Parameter embedding: The second factor of an adapted embedding has another one, as upstream has it.
    public mutating func scaleLearningRates(by ratio: Double, embedding: Double) {
        for index in entries.indices {
            let entry = entries[index]
            let isSecondFactor = entry.parameter.part == .up
            if isSecondFactor, entry.parameter.role == .embedding {
                entries[index].learningRateScale = embedding
            } else if isSecondFactor || entry.parameter.tensor.rank == 1 {
                entries[index].learningRateScale = ratio
            }
        }
    }

    public var count: Int { entries.reduce(0) { $0 + $1.parameter.tensor.count } }
}

/// The line that says how much of a model is trained, as upstream prints it.
public func trainableParametersLine(trainable: Int, all: Int) -> String {
    func grouped(_ value: Int) -> String {
        var digits = String(value)
        var groups: [Substring] = []
        while digits.count > 3 {
            groups.insert(digits.suffix(3), at: 0)
            digits = String(digits.dropLast(3))
        }
        return ([digits] + groups.map(String.init)).joined(separator: ",")
    }
    let tenThousandths = all == 0 ? 0 : (1_000_000 * Double(trainable) / Double(all)).rounded()
    let whole = Int(tenThousandths) / 10_000
    let fraction = String(String(10_000 + Int(tenThousandths) % 10_000).dropFirst())
    return
        "trainable params: \(grouped(trainable)) || all params: \(grouped(all)) || trainable%: \(whole).\(fraction)"
}
