public import LFConfig
import LFDiagnostics
public import LFNN
public import LFTorch

/// Trains one block of layers at a time with an optimizer that starts anew with each block: BAdam (Luo et al. 2024,
/// arXiv 2404.02827, algorithm 1).
///
/// A block is a decoder layer; what lies outside the layers is not trained. Gradients are recorded for the active block only.
public final class BlockwiseOptimizer: Optimizer {
    /// The parameters of the active block.
    public var parameters: [NamedParameter] { blocks[active] }
    private let blocks: [[NamedParameter]]
    private let switching: TrainingArguments.BlockSwitching
    private let makeInner: ([NamedParameter]) throws(TorchError) -> any Optimizer
    private var inner: any Optimizer
    /// What `inner` updates, in the order of the block's parameters: float32 copies of those held in less.
    private var precise: [NamedParameter]
    private var active: Int
    private var stepsTaken = 0
    /// Where a checkpoint finds block and steps, `[2]` int64.
    private let place: Tensor

    /// - Parameters:
    ///   - makeInner: The optimizer of one block's parameters.
    /// - Throws: `UserError` when no parameter lies in a layer, or there is no such first block; `TorchError`.
    public init(
        _ parameters: [NamedParameter], _ switching: TrainingArguments.BlockSwitching,
        _ makeInner: @escaping ([NamedParameter]) throws(TorchError) -> any Optimizer
    ) throws {
        var numbers: [Int] = []
        var members: [Int: [NamedParameter]] = [:]
        for parameter in parameters {
            try parameter.tensor.setRequiresGrad(false)
            guard let number = parameter.block else { continue }
            if members[number] == nil { numbers.append(number) }
            members[number, default: []].append(parameter)
        }
        blocks = numbers.compactMap { members[$0] }
        guard !blocks.isEmpty else {
            throw UserError(
                .failedRun, "use_badam trains layer by layer, but no trained weight is part of a layer.",
                remedy: "Train layers, or leave use_badam out.")
        }
        let first = switching.startBlock ?? (switching.order == .descending ? blocks.count - 1 : 0)
        guard blocks.indices.contains(first) else {
            throw UserError(
                .failedRun, "badam_start_block is \(first), but there are only \(blocks.count) blocks.",
                remedy: "Use a number from 0 to \(blocks.count - 1).")
        }
        self.switching = switching
        self.makeInner = makeInner
        active = first
        precise = try Self.preciseParameters(blocks[first])
        inner = try makeInner(precise)
        place = try Tensor([Int64(first), 0])
        try setRecorded(true)
    }

    public func step(learningRate: Double) throws(TorchError) {
        for (parameter, copy) in zip(blocks[active], precise) where copy.tensor !== parameter.tensor {
            try copy.tensor.setGrad(parameter.tensor.grad()?.to(.float32))
        }
        try inner.step(learningRate: learningRate)
        for (parameter, copy) in zip(blocks[active], precise) where copy.tensor !== parameter.tensor {
            try parameter.tensor.copyInPlace(copy.tensor)
            try copy.tensor.setGrad(nil)
        }
        stepsTaken += 1
        // The original counts the step to come, so that the first block has one step less.
        if let interval = switching.interval, (stepsTaken + 1) % interval == 0 {
            try zeroGrad()
            switch switching.order {
            case .ascending: try activate((active + 1) % blocks.count)
            case .descending: try activate((active + blocks.count - 1) % blocks.count)
            case .fixed: try activate(active)
            }
        }
        try place.copyInPlace(Tensor([Int64(active), Int64(stepsTaken)]))
    }

    private func activate(_ block: Int) throws(TorchError) {
        try setRecorded(false)
        active = block
        precise = try Self.preciseParameters(blocks[block])
        inner = try makeInner(precise)
        try setRecorded(true)
    }

    /// Steps of bfloat16 weights would mostly round to nothing, so a block in half precision is trained in float32.
    private static func preciseParameters(_ block: [NamedParameter]) throws(TorchError) -> [NamedParameter] {
        var result: [NamedParameter] = []
        for parameter in block {
            guard parameter.tensor.dtype.size < 4 else {
                result.append(parameter)
                continue
            }
            let copy = try parameter.tensor.detached().to(.float32)
            try copy.setRequiresGrad(true)
            result.append(parameter.replacing(copy))
        }
        return result
    }

    private func setRecorded(_ isRecorded: Bool) throws(TorchError) {
        for parameter in blocks[active] { try parameter.tensor.setRequiresGrad(isRecorded) }
    }

    private static let placeName = "badam.block_and_steps"

    private static let copySuffix = ".float32"

    /// The active block's state, which block it is, and the float32 copies of its weights.
    public func state() -> [(name: String, tensor: Tensor)] {
        [(Self.placeName, place)] + copies + inner.state()
    }

    private var copies: [(name: String, tensor: Tensor)] {
        zip(blocks[active], precise).filter { $0.tensor !== $1.tensor }
            .map { (name: $0.name + Self.copySuffix, tensor: $1.tensor) }
    }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        guard let saved = state.first(where: { $0.name == Self.placeName })?.tensor, saved.shape == [2],
            case let values = try saved.int64s(), blocks.indices.contains(Int(clamping: values[0])),
            values[1] >= 0
        else {
            throw UserError(
                .failedRun, "the checkpoint does not record which block of layers was being trained.",
                remedy:
                    "Resume with the settings of the run that wrote the checkpoint, or start from the beginning."
            )
        }
        try activate(Int(clamping: values[0]))
        stepsTaken = Int(clamping: values[1])
        try place.copyInPlace(saved)
        let rest = state.filter { $0.name != Self.placeName }
        try replaceState(copies, with: rest.filter { $0.name.hasSuffix(Self.copySuffix) })
        try inner.load(rest.filter { !$0.name.hasSuffix(Self.copySuffix) })
    }
}
