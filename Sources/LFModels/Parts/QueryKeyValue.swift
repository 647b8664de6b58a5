package import LFNN
import LFTorch

/// Queries, keys and values of the stream's tokens, from three matrices or from one.
package final class QueryKeyValue {
    /// In which order one matrix holds the heads of all three.
    package enum Order: Sendable {
        /// All queries, all keys, all values.
        case blocks
        /// For each key-value head its queries, its key, its value.
        case groups
    }

    private enum Source {
        /// Where it is gated, the query's matrix gives each head's query and then its gate.
        case separate(query: Linear, key: Linear, value: Linear, isGated: Bool)
        case fused(Linear, Order)
    }

    private let source: Source
    private let shape: AttentionShape

    private init(_ source: Source, _ shape: AttentionShape) {
        self.source = source
        self.shape = shape
    }

    /// Three matrices: `q_proj`, `k_proj` and `v_proj`.
    ///
    /// - Parameters:
    ///   - queryComesLast: Whether the model lists its modules so.
    ///   - isGated: Whether `q_proj` gives a gate for each head too, behind its query.
    package static func separate(
        _ shape: AttentionShape, bias: Bool = false, queryComesLast: Bool = false, isGated: Bool = false,
        _ weights: WeightScope
    ) throws -> QueryKeyValue {
        func made(_ name: String, _ width: Int, _ role: ParameterRole) throws -> Linear {
            try Linear(shape.hidden, width, bias: bias, weights / name, role)
        }
        let width = isGated ? 2 * shape.queryWidth : shape.queryWidth
        let first = queryComesLast ? nil : try made("q_proj", width, .query)
        let key = try made("k_proj", shape.keyWidth, .key)
        let value = try made("v_proj", shape.keyWidth, .value)
        let query = try first ?? made("q_proj", width, .query)
        return QueryKeyValue(.separate(query: query, key: key, value: value, isGated: isGated), shape)
    }

    /// One matrix.
    ///
    /// - Parameter transposed: Whether files hold it as `[in, out]`.
    package static func fused(
        _ shape: AttentionShape, _ order: Order, bias: Bool = false, transposed: Bool = false,
        _ weights: WeightScope
    ) throws -> QueryKeyValue {
        let linear = try Linear(
            shape.hidden, shape.queryWidth + 2 * shape.keyWidth, bias: bias, transposed: transposed, weights,
            .queryKeyValue)
        return QueryKeyValue(.fused(linear, order), shape)
    }

    /// What a program of few rows multiplies queries, keys and values with; nil where they are gated, interleaved or adapted.
    func operands(for program: RowProgram) throws(TorchError) -> [LinearOperands]? {
        switch source {
        case .separate(let query, let key, let value, isGated: false):
            let all = [query, key, value].compactMap { $0.operands(for: program) }
            return all.count == 3 ? all : nil
        case .fused(let linear, .blocks):
            guard let all = linear.operands(for: program) else { return nil }
            let (queries, keys) = (shape.queryWidth, shape.queryWidth + shape.keyWidth)
            return [
                try all.outputs(0..<queries), try all.outputs(queries..<keys),
                try all.outputs(keys..<keys + shape.keyWidth),
            ]
        case .separate, .fused: return nil
        }
    }

    /// - Parameter x: `[T, hidden]`.
    /// - Returns: Of the rows that leave the block `q [R, heads, headDim]` and where heads are gated `gate [R, heads, headDim]`; of all
    ///   `k` and `v` `[T, keyValueHeads, headDim]`.
    func callAsFunction(
        _ x: Tensor, _ pass: Pass
    ) throws(TorchError) -> (q: Tensor, k: Tensor, v: Tensor, gate: Tensor?) {
        let tokens = x.dim(0), dim = shape.headDim, (heads, shared) = (shape.heads, shape.keyValueHeads)
        switch source {
        case .separate(let query, let key, let value, let isGated):
            let own = try pass.read(x)
            let all =
                try own.dim(0) == tokens
                ? Linear.outputs(of: [query, key, value], x)
                : [query(own)] + Linear.outputs(of: [key, value], x)
            var q = try all[0].reshaped([own.dim(0), heads, isGated ? 2 * dim : dim])
            var gate: Tensor?
            if isGated { (q, gate) = (try q.slice(0..<dim, dim: 2), try q.slice(dim..<2 * dim, dim: 2)) }
            return (
                q, try all[1].reshaped([tokens, shared, dim]),
                try all[2].reshaped([tokens, shared, dim]), gate
            )
        case .fused(let linear, .blocks):
            let all = try linear(x).reshaped([tokens, heads + 2 * shared, dim])
            return (
                try pass.read(all.slice(0..<heads, dim: 1)), try all.slice(heads..<heads + shared, dim: 1),
                try all.slice(heads + shared..<heads + 2 * shared, dim: 1), nil
            )
        case .fused(let linear, .groups):
            let queries = heads / shared
            let all = try linear(x).reshaped([tokens, shared, queries + 2, dim])
            let own = try pass.read(all.slice(0..<queries, dim: 2))
            return (
                try own.reshaped([own.dim(0), heads, dim]),
                try all.slice(queries..<queries + 1, dim: 2).reshaped([tokens, shared, dim]),
                try all.slice(queries + 1..<queries + 2, dim: 2).reshaped([tokens, shared, dim]), nil
            )
        }
    }
}
