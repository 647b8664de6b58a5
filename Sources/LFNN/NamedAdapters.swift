package import LFTorch

/// Which of a model's named adapters acts on which rows of a pass.
package final class AdapterChoice {
    /// Consecutive rows with one adapter; nil is the model itself.
    package struct Run: Equatable {
        package var adapter: String?
        package var rows: Range<Int>
    }

    /// The adapters that there are.
    package private(set) var names: Set<String> = []
    /// Those of a pass's rows.
    private var runs: [Run] = []
    /// The rows of it that leave the last block, where these are few.
    private var readRows: ReadRows?

    package init() {}

    package func add(_ name: String) { names.insert(name) }

    /// Runs `body`, whose passes have as many rows as these pieces together, in their order.
    ///
    /// Where all have the same adapter, passes may have any number of rows.
    package func choosing<R, E: Error>(
        _ pieces: [(adapter: String?, count: Int)], _ body: () throws(E) -> R
    ) throws(E) -> R {
        let previous = runs
        defer { runs = previous }
        runs = Self.runs(pieces)
        return try body()
    }

    /// Runs `body`, a pass whose last block computes these rows alone; all where they are nil.
    package func reading<R, E: Error>(_ rows: ReadRows?, _ body: () throws(E) -> R) throws(E) -> R {
        let previous = readRows
        defer { readRows = previous }
        readRows = rows
        return try body()
    }

    private static func runs(_ pieces: [(adapter: String?, count: Int)]) -> [Run] {
        var runs: [Run] = []
        for (adapter, count) in pieces {
            let start = runs.last?.rows.upperBound ?? 0
            if let last = runs.indices.last, runs[last].adapter == adapter {
                runs[last].rows = runs[last].rows.lowerBound..<start + count
            } else {
                runs.append(Run(adapter: adapter, rows: start..<start + count))
            }
        }
        return runs
    }

    /// The adapters of a pass's rows.
    ///
    /// - Parameter count: The rows; those beyond the chosen ones only fill the pass up.
    func runs(of count: Int) throws(TorchError) -> [Run] {
        if runs.count <= 1 { return runs.map { Run(adapter: $0.adapter, rows: 0..<count) } }
        if let last = runs.last, last.rows.upperBound <= count { return runs }
        if let readRows, readRows.count == count { return readRows.runs(of: runs) }
        throw TorchError(
            kind: .invalidArgument, operation: "named adapters",
            message: "\(count) rows of \(runs.last?.rows.upperBound ?? 0) that have different adapters")
    }
}

extension ReadRows {
    /// The adapters of these rows, given those of the stream's; what only fills the stream up has none.
    fileprivate func runs(of adapters: [AdapterChoice.Run]) -> [AdapterChoice.Run] {
        var result: [AdapterChoice.Run] = []
        var start = 0, first = 0
        for rows in runs {
            while first < adapters.count, adapters[first].rows.upperBound <= rows.lowerBound { first += 1 }
            for run in adapters[first...].prefix(while: { $0.rows.lowerBound < rows.upperBound }) {
                let common = run.rows.clamped(to: rows)
                let place = start + common.lowerBound - rows.lowerBound
                if let last = result.last, last.adapter == run.adapter, last.rows.upperBound == place {
                    result[result.count - 1].rows = last.rows.lowerBound..<place + common.count
                } else {
                    result.append(.init(adapter: run.adapter, rows: place..<place + common.count))
                }
            }
            start += rows.count
        }
        return result
    }
}

/// Several adapters of a linear layer at once: each row of a pass has the one that it chose, or none.
///
/// The layer's own product is made once for all rows, and each group of rows gets its low-rank update (Chen et al. 2023, Punica, arXiv
/// 2310.18547; Sheng et al. 2023, S-LoRA, arXiv 2311.03285). Nothing is trained here.
package final class NamedAdapters: LinearAdapter {
    /// One adapter.
    package struct Update {
        /// `[rank, in]`
        let a: Tensor
        /// `[rank, out]`
        let b: Tensor
        let scale: Double
        /// What DoRA multiplies each output with, `[out]` (`LoRAAdapter`).
        let rowScale: Tensor?

        /// - Parameters:
        ///   - b: `[out, rank]`, as files have it.
        ///   - magnitude: The lengths of the adapted matrix's rows, `[out]`; nil without DoRA.
        ///   - dtype: What products run in; nil for the weight's own.
        package init(
            a: Tensor, b: Tensor, scale: Double, magnitude: Tensor?, of base: any LinearWeight,
            in dtype: DType? = nil
        ) throws(TorchError) {
            self.scale = scale
            self.a = try a.to(dtype ?? base.dtype).contiguous()
            self.b = try b.to(dtype ?? base.dtype).transposed().contiguous()
            rowScale = try magnitude.map { lengths throws(TorchError) in
                let wide = base.dtype == .float64 ? DType.float64 : .float32
                let update = try b.to(wide).matmul(a.to(wide)) * scale
                let norms = try (base.dense().to(wide) + update).squared().sum(dim: 1).sqrt()
                return try lengths.to(wide) / norms
            }
        }
    }

    package let control: AdapterSwitch
    private var updates: [String: Update] = [:]

    package init(control: AdapterSwitch) { self.control = control }

    package func add(_ name: String, _ update: Update) { updates[name] = update }

    package var parameters: [(part: String, parameter: Parameter)] { [] }
    /// Rows may have different adapters, so there is no one pair of factors.
    package var plainFactors: (a: Tensor, b: Tensor, scale: Double)? { nil }

    package func output(_ x: Tensor, of base: any LinearWeight, bias: Tensor?) throws(TorchError) -> Tensor {
        var chosen: [(rows: Range<Int>, update: Update)] = []
        for run in try control.choice.runs(of: x.dim(0)) {
            if let update = run.adapter.flatMap({ updates[$0] }) { chosen.append((run.rows, update)) }
        }
        guard !chosen.isEmpty else { return try base.product(x, bias: bias) }
        let rescales = chosen.contains { $0.update.rowScale != nil }
        let y = try base.product(x, bias: rescales ? nil : bias)
        try y.addInPlace(
            chosen.map { LowRankRows(rows: $0.rows, a: $0.update.a, b: $0.update.b, scale: $0.update.scale) },
            of: x)
        guard rescales else { return y }
        for (rows, update) in chosen {
            guard let rowScale = update.rowScale else { continue }
            let part = try y.slice(rows)
            try part.copyInPlace(part * rowScale.to(y.dtype))
        }
        return if let bias { try y + bias.to(y.dtype) } else { y }
    }

    package func factors(
        _ x: Tensor, of base: any LinearWeight
    ) throws(TorchError) -> (x: Tensor, weight: Tensor) {
        (x, try adapted(base))
    }

    package func adapted(_ base: any LinearWeight) throws(TorchError) -> Tensor {
        let weight = try base.dense()
        return try only().map { update throws(TorchError) in try Self.sum(weight, update).to(weight.dtype) }
            ?? weight
    }

    package func merged(into base: Tensor) throws(TorchError) -> Tensor {
        let base = try base.to(.float32)
        return try only().map { update throws(TorchError) in try Self.sum(base, update) } ?? base
    }

    private static func sum(_ weight: Tensor, _ update: Update) throws(TorchError) -> Tensor {
        let wide = weight.dtype == .float64 ? DType.float64 : .float32
        let change = try update.b.to(wide).transposed().matmul(update.a.to(wide)) * update.scale
        let sum = try weight.to(wide) + change
        guard let rowScale = update.rowScale else { return sum }
        return try sum * rowScale.to(wide).reshaped([weight.dim(0), 1])
    }

    /// The adapter that all rows have; nil for none.
    private func only() throws(TorchError) -> Update? {
        let runs = try control.choice.runs(of: .max)
        guard runs.count <= 1 else {
            throw TorchError(
                kind: .invalidArgument, operation: "named adapters",
                message: "one matrix for rows that have different adapters")
        }
        return runs.first?.adapter.flatMap { updates[$0] }
    }
}
