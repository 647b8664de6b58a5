package import LFDiagnostics
package import LFJSON

/// A checkpoint's `config.json`: typed look-ups that fall back on the architecture's defaults and name the key when they fail.
package struct ConfigFile: Sendable {
    package let json: JSONObject
    /// Where it lies, for messages.
    package let path: String

    package init(_ json: JSONObject, path: String) {
        self.json = json
        self.path = path
    }

    /// A positive integer; keys are tried in turn.
    package func count(
        _ keys: String..., default fallback: Int, below limit: Int = 1 << 28
    ) throws(UserError) -> Int {
        guard let key = keys.first(where: { json[$0] != nil }) else { return fallback }
        guard let value = try count(at: key, from: 1, below: limit) else {
            throw refused(key, "a positive integer")
        }
        return value
    }

    /// A positive integer, or null for nothing; keys are tried in turn.
    package func optionalCount(
        _ keys: String..., default fallback: Int?, from first: Int = 1
    ) throws(UserError) -> Int? {
        guard let key = keys.first(where: { json[$0] != nil }) else { return fallback }
        return try count(at: key, from: first, below: 1 << 28)
    }

    private func count(at key: String, from first: Int, below limit: Int) throws(UserError) -> Int? {
        guard let value = json[key], !value.isNull else { return nil }
        if value.int == 0, key == "sliding_window", first > 0 {
            throw UserError(
                .failedRun, "\"\(key)\" is 0, a window in which a token sees nothing.", at: path,
                remedy: "Write null where all tokens see all before them.")
        }
        guard let count = value.int, count >= first, count < limit else {
            let kind = first > 0 ? "a positive integer" : "an integer that is not negative"
            let isTooLarge = (value.double ?? 0) >= Double(limit)
            throw refused(key, limit < 1 << 28 || isTooLarge ? "\(kind) below \(limit)" : kind)
        }
        return count
    }

    package func number(_ keys: String..., default fallback: Double) throws(UserError) -> Double {
        guard let key = keys.first(where: { json[$0].map { !$0.isNull } ?? false }) else { return fallback }
        guard let number = json[key]?.double, number.isFinite else { throw refused(key, "a number") }
        return number
    }

    /// A number, or null for nothing.
    package func optionalNumber(_ key: String, default fallback: Double?) throws(UserError) -> Double? {
        guard let value = json[key] else { return fallback }
        if value.isNull { return nil }
        return try number(key, default: 0)
    }

    /// The ε of a norm.
    package func epsilon(_ keys: String..., default fallback: Double) throws(UserError) -> Double {
        guard let key = keys.first(where: { json[$0].map { !$0.isNull } ?? false }) else { return fallback }
        let value = try number(key, default: fallback)
        guard value >= 0 else { throw refused(key, "a positive number") }
        return value
    }

    /// A list of numbers, one per layer or the like; nil where the file leaves it out.
    package func numbers(_ key: String, count: Int) throws(UserError) -> [Double]? {
        guard let value = json[key], !value.isNull else { return nil }
        let list = value.array?.compactMap(\.double) ?? []
        guard list.count == count, value.array?.count == count, list.allSatisfy(\.isFinite) else {
            throw refused(key, "a list of \(count) numbers")
        }
        return list
    }

    /// The numbers of some layers, from 0 on; nil where the file leaves them out.
    package func layerNumbers(_ key: String) throws(UserError) -> Set<Int>? {
        guard let value = json[key], !value.isNull else { return nil }
        let list = value.array?.compactMap(\.int).filter { $0 >= 0 } ?? []
        guard list.count == value.array?.count else { throw refused(key, "a list of layers' numbers") }
        return Set(list)
    }

    /// An object, or null for nothing.
    package func object(_ key: String) throws(UserError) -> JSONObject? {
        guard let value = json[key], !value.isNull else { return nil }
        guard let object = value.object else { throw refused(key, "an object") }
        return object
    }

    /// One of a few words; nil where the file leaves it out.
    ///
    /// - Parameter known: What the architecture can compute.
    package func word(_ key: String, of known: [String]) throws(UserError) -> String? {
        guard let value = json[key], !value.isNull else { return nil }
        try require(key, value.string.map(known.contains) ?? false)
        return value.string
    }

    package func flag(_ key: String, default fallback: Bool) throws(UserError) -> Bool {
        guard let value = json[key], !value.isNull else { return fallback }
        guard let flag = value.bool else { throw refused(key, "true or false") }
        return flag
    }

    package func text(_ key: String) throws(UserError) -> String {
        guard let value = json[key]?.string else { throw refused(key, "a string") }
        return value
    }

    /// The type that weights are declared to have (`dtype`, in older files `torch_dtype`), by PyTorch's names; nil where the file leaves
    /// it out.
    package func declaredDType() throws(UserError) -> String? {
        guard let key = ["dtype", "torch_dtype"].first(where: { json[$0].map { !$0.isNull } ?? false }) else {
            return nil
        }
        let aliases = ["float": "float32", "half": "float16", "double": "float64"]
        let known = ["float32", "float16", "bfloat16", "float64"]
        let name = try text(key)
        let found = aliases[name] ?? name
        guard known.contains(found) else {
            throw UserError(
                .failedRun, "\"\(key)\" is \"\(name)\", which is not a type that a model computes in.",
                at: path,
                remedy:
                    "Write \(known.joined(separator: ", ")), or remove the key: weights then keep their own types."
            )
        }
        return found
    }

    /// The nonlinearity of the feed-forward layers. Null is not a name for the architecture's own: transformers refuses it, too.
    package func activation(
        _ keys: String..., default fallback: Activation = .silu
    ) throws(UserError) -> Activation {
        guard let key = keys.first(where: { json[$0] != nil }) else { return fallback }
        let name = try text(key)
        guard let activation = Activation(rawValue: name) else {
            let known = Activation.allCases.map(\.rawValue).joined(separator: ", ")
            throw UserError(
                .failedRun, "\"\(key)\" is \"\(name)\", an activation that is not supported.", at: path,
                remedy: "Use a model with one of \(known).")
        }
        return activation
    }

    /// The kinds of the layers (`layer_types`); nil where the file leaves them to the architecture.
    ///
    /// - Parameter known: The kinds that the architecture has.
    package func layerTypes(
        _ count: Int, key: String = "layer_types",
        known: [String] = ["full_attention", "sliding_attention"]
    ) throws(UserError) -> [String]? {
        guard let value = json[key], !value.isNull else { return nil }
        guard let list = value.array?.map(\.string), list.count == count else {
            throw UserError(
                .failedRun, "\(key) lists \(value.array?.count ?? 0) layers of \(count).", at: path,
                remedy: "Restore the model's own config.json.")
        }
        var types: [String] = []
        for entry in list {
            guard let type = entry, known.contains(type) else {
                throw UserError(
                    .failedRun,
                    "\(key) holds \"\(entry ?? "null")\", which this architecture does not have.",
                    at: path, remedy: "Use \(known.joined(separator: " or ")).")
            }
            types.append(type)
        }
        return types
    }

    /// Fails unless a key holds what the architecture can compute.
    package func require(_ key: String, _ isSupported: Bool) throws(UserError) {
        guard !isSupported else { return }
        throw UserError(
            .failedRun, "\"\(key)\" is \((json[key] ?? .null).serialized()), which is not supported.",
            at: path, remedy: "Use a model of this architecture with another value.")
    }

    /// A key whose value is not what it must be.
    package func refused(_ key: String, _ kind: String) -> UserError {
        // Of a long list the beginning tells enough.
        let found = json[key].map { $0.serialized() }.map { $0.count > 60 ? "\($0.prefix(50))…" : $0 }
        return UserError(
            .failedRun, "\"\(key)\" must be \(kind)\(found.map { ", got \($0)" } ?? "").", at: path,
            remedy: "Restore the model's own config.json.")
    }
}
