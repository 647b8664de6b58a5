public import LFJSON

/// The ids that begin, end and fill up sequences, as a model's configuration names them.
public struct SpecialTokenIDs: Sendable, Equatable {
    public var bos: Int32?
    public var eos: Int32?
    public var pad: Int32?

    public init(bos: Int32?, eos: Int32?, pad: Int32?) {
        self.bos = bos
        self.eos = eos
        self.pad = pad
    }

    /// Those of a tokenizer, a template's included where it has been fitted to one.
    public init(_ tokenizer: Tokenizer) {
        self.init(bos: tokenizer.bosID, eos: tokenizer.eosID, pad: tokenizer.padID)
    }

    /// Makes a model's `config.json` and `generation_config.json` name these ids, as transformers' Trainer does (`align_special_tokens`
    /// of 5.5).
    ///
    /// Generation ends at what ended it before, too: `eos_token_id` becomes a list that begins with the new id.
    public func align(config: inout JSONObject, generation: inout JSONObject) {
        let ends = Self.ids(generation["eos_token_id"])
        let isNamed = eos.map { ends.contains(Int($0)) } ?? ends.isEmpty
        if Self.differs(config["eos_token_id"], eos) || !isNamed {
            config["eos_token_id"] = Self.value(eos)
            var all = eos.map { [Int($0)] } ?? []
            for id in ends where !all.contains(id) { all.append(id) }
            if all.isEmpty {
                generation.removeValue(forKey: "eos_token_id")
            } else {
                generation["eos_token_id"] = .array(all.map { .int(Int64($0)) })
            }
        }
        for (key, id) in [("bos_token_id", bos), ("pad_token_id", pad)] {
            guard Self.differs(config[key], id) || Self.differs(generation[key], id) else { continue }
            config[key] = Self.value(id)
            // What is null in a generation configuration is left out of its file.
            if let id { generation[key] = .int(Int64(id)) } else { generation.removeValue(forKey: key) }
        }
    }

    private static func differs(_ value: JSONValue?, _ id: Int32?) -> Bool {
        guard let value, !value.isNull else { return id != nil }
        return value.int != id.map { Int($0) }
    }

    private static func value(_ id: Int32?) -> JSONValue { id.map { .int(Int64($0)) } ?? .null }

    /// One id, or a list of them.
    private static func ids(_ value: JSONValue?) -> [Int] {
        value?.int.map { [$0] } ?? value?.array?.compactMap(\.int) ?? []
    }
}
