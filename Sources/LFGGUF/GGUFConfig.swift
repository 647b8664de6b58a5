import LFDiagnostics
import LFJSON

/// The keys of a config.json, or of one of its objects, with the file's name for messages. Null counts as left out.
struct GGUFConfig {
    private let values: JSONObject
    let path: String

    init(_ values: JSONObject, path: String) { (self.values, self.path) = (values, path) }
    /// No keys at all, in the same file.
    init(_ other: GGUFConfig) { self.init(JSONObject(), path: other.path) }

    private subscript(key: String) -> JSONValue? { values[key].flatMap { $0.isNull ? nil : $0 } }

    func isPresent(_ key: String) -> Bool { self[key] != nil }
    func object(_ key: String) -> GGUFConfig? { self[key]?.object.map { GGUFConfig($0, path: path) } }
    func description(of key: String) -> String { values[key]?.serialized() ?? "null" }

    func text(_ key: String, default fallback: String) throws(UserError) -> String {
        guard let value = self[key] else { return fallback }
        guard let text = value.string else { throw wrong(key, "a text") }
        return text
    }

    func flag(_ key: String, default fallback: Bool) throws(UserError) -> Bool {
        guard let value = self[key] else { return fallback }
        guard let flag = value.bool else { throw wrong(key, "true or false") }
        return flag
    }

    func number(_ key: String, default fallback: Double? = nil) throws(UserError) -> Double {
        guard let value = self[key] else {
            guard let fallback else { throw wrong(key, "a number") }
            return fallback
        }
        guard let number = value.double, number.isFinite else { throw wrong(key, "a number") }
        return number
    }

    /// A number or null, which is a choice too: `fallback` stands for a key that is not there.

    func optionalNumber(_ key: String, default fallback: Double?) throws(UserError) -> Double? {
        guard let value = values[key] else { return fallback }
        return value.isNull ? nil : try number(key)
    }

    func count(_ key: String, default fallback: Int? = nil) throws(UserError) -> Int {
        guard let value = self[key] else {
            guard let fallback else { throw wrong(key, "a whole number above 0") }
            return fallback
        }
        guard let count = value.int, count > 0, count <= UInt32.max else {
            throw wrong(key, "a whole number above 0")
        }
        return count
    }

    func optionalCount(_ key: String, default fallback: Int?) throws(UserError) -> Int? {
        guard let value = values[key] else { return fallback }
        return value.isNull ? nil : try count(key)
    }

    func numbers(_ key: String, count: Int) throws(UserError) -> [Float] {
        let numbers = self[key]?.array?.compactMap(\.double) ?? []
        guard numbers.count == count else { throw wrong(key, "a list of \(count) numbers") }
        return numbers.map { Float($0) }
    }

    /// `layer_types`, one of each layer; nil where the key is not there.
    func layerTypes(_ layers: Int) throws(UserError) -> [String]? {
        guard let value = self["layer_types"] else { return nil }
        let types = value.array?.compactMap(\.string) ?? []
        guard types.count == layers else { throw wrong("layer_types", "a list of \(layers) names") }
        return types
    }

    private func wrong(_ key: String, _ expected: String) -> UserError {
        UserError(
            .failedRun, "\(key) is \(description(of: key)) instead of \(expected).", at: path,
            remedy: "Restore the model's own config.json.")
    }

    /// The model computes something that llama.cpp does not.
    func unknown(_ key: String, _ value: String) -> UserError {
        UserError(
            .failedRun, "llama.cpp does not compute such a model: \(key) is \(value).", at: path,
            remedy: "Remove `export_gguf`: this model can only be written as a Hugging Face folder.")
    }
}
