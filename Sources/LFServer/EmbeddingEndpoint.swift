import Foundation
import Hummingbird
import LFJSON
import LFTokenizer
import LFWorkflows

/// `/v1/embeddings`: the mean of a text's last hidden states, of length 1.
struct EmbeddingEndpoint: Sendable {
    let context: ServerContext

    /// Texts and tokens that a request may hold.
    static let limits = (texts: 2048, tokens: 300_000)

    /// The body of a request.
    private struct Body {
        var model: ServedModel
        var texts: [[Int32]]
        var isBase64: Bool
        /// Numbers of each embedding; nil for all.
        var dimensions: Int?
    }

    func answer(_ body: [UInt8], _ watch: ClientWatch) async throws -> Response {
        let request = try read(body)
        let vectors = try await context.answerService().embeddings(
            of: request.texts, adapter: request.model.adapter, watch)
        let width = vectors.first?.count ?? 0
        if let dimensions = request.dimensions, dimensions > width {
            throw APIError.invalid(
                "dimensions",
                "`dimensions` must be at most \(width), the model's hidden size, got \(dimensions)."
            )
        }
        let data = vectors.enumerated().map { index, vector -> JSONValue in
            let unit = Self.normalized(vector.prefix(request.dimensions ?? width))
            return [
                "object": "embedding", "index": .int(Int64(index)),
                "embedding": request.isBase64
                    ? .string(Self.base64(unit)) : .array(unit.map { .double(Double($0)) }),
            ]
        }
        let tokens = Int64(request.texts.reduce(0) { $0 + $1.count })
        return .json([
            "object": "list", "data": .array(data), "model": .string(request.model.name),
            "usage": ["prompt_tokens": .int(tokens), "total_tokens": .int(tokens)],
        ])
    }

    private func read(_ body: [UInt8]) throws -> Body {
        let format = try context.chatFormat()
        var fields = try RequestFields(body, of: .embedding)
        let model = try ServedModel(&fields, context.settings)
        fields.accept("user")
        let encoding = try fields.string("encoding_format") ?? "float"
        guard ["float", "base64"].contains(encoding) else {
            throw APIError.invalid(
                "encoding_format", "`encoding_format` must be float or base64, got \"\(encoding)\".")
        }
        let dimensions = try fields.int("dimensions", 1...1 << 20)
        // A text of nothing but a beginning-of-text token says nothing.
        if let input = fields.value("input"), (input.array ?? [input]).contains(where: { $0 == "" }) {
            throw APIError.invalid("input", "`input` holds an empty text.")
        }
        let texts = try CompletionRequest.texts(&fields, "input", format, most: Self.limits.texts)
        try fields.finish()
        for (index, ids) in texts.enumerated() {
            guard !ids.isEmpty else {
                throw APIError.invalid("input", "Text \(index) of `input` has no tokens.")
            }
            guard ids.count <= format.contextLength else {
                throw APIError.invalid(
                    "input",
                    "Text \(index) of `input` has \(ids.count) tokens; the model takes \(format.contextLength).",
                    code: "context_length_exceeded")
            }
            if let id = ids.first(where: { $0 < 0 || Int($0) >= context.vocabSize }) {
                throw APIError.invalid(
                    "input", "`input` holds the token \(id), but the model knows \(context.vocabSize).")
            }
        }
        let tokens = texts.reduce(0) { $0 + $1.count }
        guard tokens <= Self.limits.tokens else {
            throw APIError.invalid(
                "input", "`input` has \(tokens) tokens; a request may have \(Self.limits.tokens).")
        }
        return Body(
            model: model, texts: texts, isBase64: encoding == "base64", dimensions: dimensions)
    }

    private static func normalized(_ vector: some Sequence<Float>) -> [Float] {
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return vector.map { length > 0 ? Float(Double($0) / length) : 0 }
    }

    /// The numbers as float32 in little-endian order.
    private static func base64(_ vector: [Float]) -> String {
        Data(
            vector.flatMap { number in
                withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) }
            }
        ).base64EncodedString()
    }
}
