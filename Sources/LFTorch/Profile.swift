internal import CTorch

/// What a training step does, one after the other; a scope within another counts for itself alone.
package enum StepPhase: String, CaseIterable, Sendable {
    /// Reading examples and laying batches out.
    case data
    /// The model writes the answers that it learns from.
    case answers
    /// What is computed of answers before anything is learned from them.
    case observation
    case forward
    /// The frozen policy's forward pass.
    case reference
    case backward
    /// Blocks computed again in the backward pass.
    case recomputation
    /// For other processes that have more to compute.
    case waiting
    /// Sending and adding up what the processes have computed, and fetching what others keep.
    case exchange
    /// The norm of gradients and their scaling.
    case clipping
    case optimizer
}

/// A piece of time of the thread that recorded.
package struct ProfileSpan: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// Of this program.
        case scope
        /// An operation of libtorch's.
        case operation
        /// A node of a backward pass.
        case backward
    }

    package var name: String
    package var kind: Kind
    /// Nanoseconds of the monotonic clock.
    package var begin: Int64
    package var end: Int64
    /// Multiplications and additions of its own products, without those of spans within it.
    package var operations: Double

    package init(_ name: String, _ kind: Kind = .scope, begin: Int64, end: Int64, operations: Double = 0) {
        (self.name, self.kind, self.begin, self.end) = (name, kind, begin, end)
        self.operations = operations
    }
}

/// What a thread did between two moments.
package struct ProfileRecording: Sendable, Equatable {
    /// The sizes of a product: `[rows, inner]` by `[inner, columns]`.
    package struct Product: Sendable, Equatable {
        package var rows: Int
        package var inner: Int
        package var columns: Int

        package init(rows: Int, inner: Int, columns: Int) {
            (self.rows, self.inner, self.columns) = (rows, inner, columns)
        }

        /// Multiplications and additions.
        package var operations: Double { 2 * Double(rows) * Double(inner) * Double(columns) }
    }

    /// In the order in which they began; those within another follow it.
    package var spans: [ProfileSpan]
    /// Those that took the most operations in all, the most first; empty where libtorch multiplied nothing.
    package var products: [Product]

    package init(spans: [ProfileSpan], products: [Product] = []) {
        self.spans = spans
        self.products = products
    }
}

/// Recordings of what a thread spends its time on. Without one, a scope costs a look at a flag.
package enum Profile {
    /// Records what this thread does from now on.
    ///
    /// - Parameter operations: Whether libtorch's operations and the nodes of backward passes are recorded too, which costs about
    ///   a microsecond each; else only this program's scopes.
    /// - Throws: `TorchError` when this thread records already.
    package static func start(operations: Bool) throws(TorchError) {
        try check("profile", lf_profile_start(operations))
    }

    /// Whether this thread records.
    package static var isOn: Bool { lf_profile_records() }

    /// Ends this thread's recording.
    ///
    /// - Returns: nil without one.
    package static func stop() -> ProfileRecording? {
        guard let profile = lf_profile_stop() else { return nil }
        defer { lf_profile_free(profile) }
        let names = (0..<lf_profile_name_count(profile)).map { String(cString: lf_profile_name(profile, $0)) }
        let spans = UnsafeBufferPointer(start: lf_profile_spans(profile), count: lf_profile_count(profile))
            .map { span in
                let kind: ProfileSpan.Kind =
                    switch span.kind {
                    case LF_PROFILE_OPERATION: .operation
                    case LF_PROFILE_BACKWARD: .backward
                    default: .scope
                    }
                return ProfileSpan(
                    names[Int(span.name)], kind, begin: span.begin, end: span.end, operations: span.operations
                )
            }
        var sizes = [Int64](repeating: 0, count: 3 * keptProducts)
        let products = (0..<lf_profile_products(profile, &sizes, keptProducts)).map {
            ProfileRecording.Product(
                rows: Int(sizes[3 * $0]), inner: Int(sizes[3 * $0 + 1]), columns: Int(sizes[3 * $0 + 2]))
        }
        return ProfileRecording(spans: spans, products: products)
    }

    private static let keptProducts = 4

    /// Tells this thread's recording that of `computed` rows of a stream only `needed` count as operations; the others fill it up.
    package static func count(_ needed: Int, ofRows computed: Int) {
        lf_profile_needed_rows(Int64(computed), Int64(needed))
    }

    /// Runs `body` as a scope of this name.
    package static func scope<R, E: Error>(_ name: String, _ body: () throws(E) -> R) throws(E) -> R {
        guard lf_profile_records() else { return try body() }
        lf_profile_begin(name)
        defer { lf_profile_end() }
        return try body()
    }

    /// The product of some that this machine does at the greatest rate, and that rate; nil for none.
    package static func fastest(
        of products: [ProfileRecording.Product], _ dtype: DType
    ) throws(TorchError) -> (product: ProfileRecording.Product, rate: Double)? {
        var best: (product: ProfileRecording.Product, rate: Double)?
        for product in products {
            let rate = try productRate(product, dtype)
            if rate > best?.rate ?? 0 { best = (product, rate) }
        }
        return best
    }

    /// How many multiplications and additions a second this machine does in a product of these sizes, at its best of several.
    ///
    /// - Parameter seconds: How long is tried.
    package static func productRate(
        _ product: ProfileRecording.Product, _ dtype: DType, seconds: Double = 0.1
    ) throws(TorchError) -> Double {
        try withoutGrad { () throws(TorchError) in
            let generator = try Generator(seed: 1)
            func matrix(_ rows: Int) throws(TorchError) -> Tensor {
                let matrix = try Tensor.zeros([rows, product.inner])
                try matrix.fillNormalInPlace(mean: 0, deviation: 1, generator)
                return try matrix.to(dtype)
            }
            let (x, w) = (try matrix(product.rows), try matrix(product.columns))
            _ = try linear(x, w)
            let clock = ContinuousClock()
            let start = clock.now
            var best = Double.infinity
            repeat {
                let begin = clock.now
                _ = try linear(x, w)
                best = min(best, (clock.now - begin) / .seconds(1))
            } while (clock.now - start) / .seconds(1) < seconds
            return product.operations / max(best, 1e-9)
        }
    }
}

/// Runs `body` as a phase of a step.
package func profiled<R, E: Error>(_ phase: StepPhase, _ body: () throws(E) -> R) throws(E) -> R {
    try Profile.scope(phase.rawValue, body)
}
