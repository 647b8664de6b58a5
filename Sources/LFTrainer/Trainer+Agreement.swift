package import LFAdapters
import LFData
import LFDiagnostics
package import LFModels
import LFNN
import LFStream
package import LFTorch

/// What one process holds otherwise than process 0.
package struct Disagreement: Equatable, Sendable {
    package var name: String
    /// The other process.
    package var rank: Int
    /// What process 0 holds; nil where it has nothing of that name.
    package var main: String?
    package var other: String?
}

extension Communicator {
    /// Compares named values over all processes.
    ///
    /// - Parameter own: The values of this process, each name once.
    /// - Returns: In process 0, the first name whose values differ; nil in the others.
    package func firstDisagreement(
        in own: [(name: String, value: String)]
    ) throws(TorchError) -> Disagreement? {
        guard size > 1 else { return nil }
        // A name and a value take a line each.
        func line(_ text: String) -> String {
            String(text.map { $0.isNewline ? " " : $0 })
        }
        let lines = own.flatMap { [line($0.name), line($0.value)] }
        let all = try gatheredBytes(Array(lines.joined(separator: "\n").utf8))
        guard isMain else { return nil }
        let values = all.map { bytes -> [(name: String, value: String)] in
            let lines = String(decoding: bytes, as: UTF8.self).split(
                separator: "\n", omittingEmptySubsequences: false
            ).map(String.init)
            return stride(from: 0, to: lines.count - 1, by: 2).map { (lines[$0], lines[$0 + 1]) }
        }
        let main = Dictionary(values[0].map { ($0.name, $0.value) }) { first, _ in first }
        for rank in 1..<size {
            let other = Dictionary(values[rank].map { ($0.name, $0.value) }) { first, _ in first }
            for name in values[0].map(\.name) + values[rank].map(\.name) where main[name] != other[name] {
                return Disagreement(name: name, rank: rank, main: main[name], other: other[name])
            }
        }
        return nil
    }
}

extension Trainer {
    /// Compares the data, in their order, with those of the other processes: they would train on and average what does not belong together.
    ///
    /// - Throws: In process 0 a `UserError` naming what differs, in the others its echo.
    public func requireSameData() throws {
        guard communicator.size > 1 else { return }
        if let found = try communicator.firstDisagreement(in: dataFingerprint) {
            throw UserError(
                .configuration,
                "Processes 0 and \(found.rank) do not hold the same data: \(found.name) is \(found.main ?? "not there") in the one and \(found.other ?? "not there") in the other.",
                remedy:
                    "Give all machines the same files in the same order, and remove old `tokenized_path` folders."
            )
        }
        try communicator.storeBarrier("comparison of data")
    }

    private var dataFingerprint: [(name: String, value: String)] {
        var result: [(name: String, value: String)]
        switch trainSet {
        case .list(let examples):
            result = [
                ("the number of training examples", "\(examples.count)"),
                ("the number of training tokens", "\(examples.reduce(0) { $0 + $1.tokenCount })"),
            ]
        case .stream(let stream):
            result = [
                ("the number of streamed bytes", "\(stream.byteCount)"),
                ("the arrangement of the stream", stream.arrangement),
            ]
        }
        result.append(("the digest of the training data in their order", dataDigest))
        for set in evalSets {
            let name = set.name.map { "the evaluation set \($0)" } ?? "the evaluation set"
            result.append(("the number of examples of \(name)", "\(set.examples.count)"))
            result.append(("the digest of \(name)", contentDigest(of: set.examples)))
        }
        return result
    }
}

/// Compares a model with those of the other processes: names, shapes and types of all weights, and a few numbers of those that nobody
/// sends round.
///
/// - Parameters:
///   - name: Tells models apart, such as `model` and `frozen model 1`.
///   - trainable: What is trained of it; nil for a frozen model.
///   - dealsWeights: Whether each weight is one process's from now on, trained or not; else process 0 sends trained ones to all.
/// - Throws: In process 0 a `UserError` naming a weight that differs, in the others its echo.
package func requireSameModel(
    _ model: LanguageModel, named name: String = "model", trainable: TrainableWeights?,
    dealsWeights: Bool, over communicator: any Communicator
) throws {
    guard communicator.size > 1 else { return }
    let entries = trainable?.entries ?? []
    let trained = Set(entries.map { ObjectIdentifier($0.parameter) })
    var own: [(name: String, value: String)] = []
    for parameter in model.parameters {
        let tensor = parameter.tensor
        var value = "\(tensor.shape) \(tensor.dtype)"
        if dealsWeights || !trained.contains(ObjectIdentifier(parameter)) {
            value += try sample(of: tensor)
        }
        own.append(("weight \(parameter.name)", value))
    }
    for entry in entries {
        own.append(("trained weight \(entry.name)", "\(entry.parameter.tensor.shape)"))
    }
    if let found = try communicator.firstDisagreement(in: own) {
        throw UserError(
            .configuration,
            "Processes 0 and \(found.rank) do not hold the same \(name): the \(found.name) differs.",
            remedy: "Give all machines the same files of the model and its adapters.")
    }
    try communicator.storeBarrier("comparison of the \(name)")
}

/// The bits of a tensor's first four numbers and its last.
private func sample(of tensor: Tensor) throws -> String {
    guard tensor.count > 0 else { return "" }
    return try withoutGrad {
        var (first, last) = (try tensor.detached(), try tensor.detached())
        for size in tensor.shape.dropLast() {
            let rest = Array(first.shape.dropFirst())
            first = try first.slice(0..<1).reshaped(rest)
            last = try last.slice(size - 1..<size).reshaped(rest)
        }
        let count = first.count
        let numbers =
            try first.slice(0..<min(4, count)).to(.float32).floats()
            + last.slice(count - 1..<count).to(.float32).floats()
        return numbers.map { " " + String($0.bitPattern, radix: 16) }.joined()
    }
}
