import LFJSON

/// The keywords of JSON Schema (2020-12 and draft 7) by what is done with them.
enum SchemaKeywords {
    /// They say nothing about which values are valid.
    static let annotations: Set = [
        "title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "$defs",
        "definitions", "deprecated", "readOnly", "writeOnly", "discriminator", "contentMediaType",
        "contentEncoding",
    ]
    /// They send to other schemas.
    static let references: Set = ["$ref", "allOf", "anyOf", "oneOf"]

    static let ofStrings: Set = ["minLength", "maxLength", "pattern", "format"]
    static let ofNumbers: Set = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
    static let ofArrays: Set = ["items", "prefixItems", "additionalItems", "minItems", "maxItems"]
    static let ofObjects: Set = ["properties", "required", "additionalProperties", "minProperties"]

    static func isKnown(_ word: String) -> Bool {
        annotations.contains(word) || references.contains(word) || ofStrings.contains(word)
            || ofNumbers.contains(word) || ofArrays.contains(word) || ofObjects.contains(word)
            || ["type", "enum", "const"].contains(word) || word.hasPrefix("x-")
    }

    /// Whether a keyword that cannot be kept to forbids nothing with this value.
    static func isHarmless(_ word: String, _ value: JSONValue) -> Bool {
        switch word {
        case "uniqueItems", "unevaluatedProperties", "nullable":
            value == .bool(word == "unevaluatedProperties")
        case "strict": value.bool != nil
        default: false
        }
    }
}

/// The types of values; `integer` is a kind of number.
enum ValueType: String, CaseIterable {
    case null, boolean, integer, number, string, array, object

    /// What the keywords of a schema without `type` speak of; all types where they speak of none.
    static func spokenOf(_ words: some Sequence<String>) -> Set<ValueType> {
        for word in words {
            if SchemaKeywords.ofObjects.contains(word) { return [.object] }
            if SchemaKeywords.ofArrays.contains(word) { return [.array] }
            if SchemaKeywords.ofStrings.contains(word) { return [.string] }
            if SchemaKeywords.ofNumbers.contains(word) { return [.number] }
        }
        return [.null, .boolean, .number, .string, .array, .object]
    }

    static func common(_ a: Set<ValueType>, _ b: Set<ValueType>) -> Set<ValueType> {
        var common = a.intersection(b)
        if a.contains(.integer), b.contains(.number) { common.insert(.integer) }
        if b.contains(.integer), a.contains(.number) { common.insert(.integer) }
        if common.contains(.number) { common.remove(.integer) }
        return common
    }

    /// The narrowest type of a value.
    init?(of value: JSONValue) {
        guard
            let type = [.integer, .number, .null, .boolean, .string, .array, .object].first(where: {
                (type: ValueType) in type.contains(value)
            })
        else { return nil }
        self = type
    }

    func contains(_ value: JSONValue) -> Bool {
        switch value {
        case .null: self == .null
        case .bool: self == .boolean
        case .int, .bigInteger: self == .integer || self == .number
        case .double(let number):
            self == .number || (self == .integer && number.rounded() == number && number.isFinite)
        case .string: self == .string
        case .array: self == .array
        case .object: self == .object
        }
    }
}
