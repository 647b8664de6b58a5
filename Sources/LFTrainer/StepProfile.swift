package import LFTorch

/// Where the time of training steps went, by what a step does one after the other and by what computed.
package struct StepProfile: Sendable, Equatable {
    /// What the time of a phase was spent on.
    package enum Part: String, CaseIterable, Sendable {
        /// Matrix products outside attention and head.
        case products
        case attention
        /// From hidden states to log-probabilities of targets, its products included.
        case head
        /// Copies, conversions between types and fills.
        case copies
        /// Norms, activations, positions, additions, and what no operation of libtorch tells of.
        case other
    }

    /// Means over the steps.
    package struct Cell: Sendable, Equatable {
        package var seconds = 0.0
        /// Multiplications and additions of matrix products.
        package var operations = 0.0

        package init() {}

        static func + (a: Cell, b: Cell) -> Cell {
            var sum = a
            sum.seconds += b.seconds
            sum.operations += b.operations
            return sum
        }
    }

    /// The scope of a step; reading its examples comes before it.
    package static let step = "step"

    package let stepCount: Int
    /// Mean seconds of a step, from reading its examples to the new weights. Logging, evaluations and checkpoints are not part of it.
    package let stepSeconds: Double
    /// Only what took time is there.
    package private(set) var cells: [StepPhase: [Part: Cell]] = [:]
    /// Within steps, outside all phases.
    package private(set) var rest = Cell()

    /// - Parameter recording: Whole steps of a trainer, with libtorch's operations.
    package init(_ recording: ProfileRecording) {
        stepCount = recording.spans.count { $0.name == Self.step }
        var total = 0.0
        var open: [Frame] = []
        var parts: [String: Part?] = [:]
        let scale = 1 / Double(max(stepCount, 1))
        func close(_ frame: Frame, in profile: inout StepProfile) {
            guard frame.isInStep else { return }
            var cell = Cell()
            cell.seconds = Double(frame.end - frame.begin - frame.inner) / 1e9 * scale
            cell.operations = frame.operations * scale
            guard let phase = frame.phase else {
                profile.rest = profile.rest + cell
                return
            }
            let sum = profile.cells[phase, default: [:]][frame.part] ?? Cell()
            profile.cells[phase, default: [:]][frame.part] = sum + cell
        }
        var result = StepProfile(stepCount: stepCount)
        for span in recording.spans {
            while let last = open.last, last.end <= span.begin { close(open.removeLast(), in: &result) }
            let parent = open.last
            if parent != nil { open[open.count - 1].inner += span.end - span.begin }
            let phase = span.kind == .scope ? StepPhase(rawValue: span.name) : nil
            let isRoot = parent == nil && (span.name == Self.step || phase == .data)
            if isRoot { total += Double(span.end - span.begin) / 1e9 }
            let known: Part?
            if let cached = parts[span.name] {
                known = cached
            } else {
                known = Self.part(named: span.name)
                parts[span.name] = .some(known)
            }
            // Attention and head count as a whole.
            let container = parent?.container ?? (known == .attention || known == .head ? known : nil)
            open.append(
                Frame(
                    begin: span.begin, end: span.end, phase: phase ?? parent?.phase,
                    part: container ?? (span.operations > 0 ? .products : known ?? .other),
                    container: container, operations: span.operations,
                    isInStep: isRoot || parent?.isInStep ?? false))
        }
        while let last = open.popLast() { close(last, in: &result) }
        (cells, rest) = (result.cells, result.rest)
        stepSeconds = total * scale
    }

    private init(stepCount: Int) { (self.stepCount, stepSeconds) = (stepCount, 0) }

    /// A span that has not ended.
    private struct Frame {
        var begin: Int64
        var end: Int64
        var phase: StepPhase?
        var part: Part
        var container: Part?
        var operations: Double
        var isInStep: Bool
        /// Nanoseconds of the spans right within it.
        var inner: Int64 = 0
    }

    private static func part(named name: String) -> Part? {
        let words = name.lowercased()
        if words.contains("attention") { return .attention }
        if words.contains("head") { return .head }
        return copies.contains(name) ? .copies : nil
    }

    private static let copies: Set = [
        "aten::copy_", "aten::clone", "aten::contiguous", "aten::cat", "aten::stack", "aten::fill_",
        "aten::zero_", "aten::zeros", "aten::zeros_like", "aten::to", "aten::_to_copy", "aten::index_select",
        "aten::index_add_",
    ]

    // MARK: Sums

    package func sum(of phase: StepPhase) -> Cell { (cells[phase] ?? [:]).values.reduce(Cell(), +) }

    /// All of a step.
    package var sum: Cell { StepPhase.allCases.reduce(rest) { $0 + sum(of: $1) } }
}
