import LFJSON

/// Makes grammars of JSON schemas: every text of the grammar is a valid value. The grammar may be narrower than the schema where that is what people
/// mean or what keeps texts finite: members come in the order in which the schema has them, there are others only where `additionalProperties` says so or
/// nothing is said of any, and alternatives of `oneOf` must exclude one another.
struct SchemaCompiler {
    /// A schema that a value must obey, by its place in the document, and what of it has been seen to.
    ///
    /// Places are told apart by their bytes: two spellings of one character are two names of members.
    struct Part: Hashable {
        var place: [String]
        var done: Set<String> = []

        /// The words, and behind them what is done, between bytes that no text has.
        var key: [UInt8] {
            var key: [UInt8] = []
            for word in place { key += word.utf8 + [0xFF] }
            for word in done.sorted() { key += [0xFE] + word.utf8 }
            return key
        }

        static func == (a: Self, b: Self) -> Bool { a.key == b.key }

        func hash(into hasher: inout Hasher) { hasher.combine(key) }
    }

    private let document: JSONValue
    /// The place of the document in what errors name.
    private let prefix: [String]
    var builder: GrammarBuilder
    private var rules: [[[UInt8]]: Int32] = [:]
    /// Rules that are being built, each for the one before it.
    private var nesting = 0
    /// Schemas that have been combined with others, counted once for each combination.
    private var combined = 0

    /// Most levels of values within one another that a schema may have.
    static let greatestDepth = 100
    /// Most rules within one another.
    private static let greatestNesting = 200
    /// Most bytes of a schema, and alternatives of `oneOf`, which are compared with one another.
    private static let greatestSize = 1 << 17
    private static let greatestChoice = 64
    private static let greatestRuleCount = 5000
    private static let greatestCombination = 50_000

    init(_ document: JSONValue, at prefix: [String], _ builder: GrammarBuilder) {
        self.document = document
        self.prefix = prefix
        self.builder = builder
    }

    func error(_ place: [String], _ problem: String) -> SchemaError { SchemaError(prefix + place, problem) }

    /// The rule of the whole schema.
    mutating func rule() throws(SchemaError) -> Int32 {
        guard document.depth <= Self.greatestDepth else {
            throw error([], "has values within values more than \(Self.greatestDepth) deep")
        }
        guard document.serialized().utf8.count <= Self.greatestSize else {
            throw error([], "has more than \(Self.greatestSize) bytes")
        }
        let rule = try rule(of: [Part(place: [])])
        guard !builder.isTooLarge else { throw tooLarge() }
        return rule
    }

    private func tooLarge() -> SchemaError {
        error([], "is too large, or combines too many alternatives with one another")
    }

    /// The rule of the values that obey several schemas.
    mutating func rule(of parts: [Part]) throws(SchemaError) -> Int32 {
        let key = Set(parts.map(\.key)).sorted { $0.lexicographicallyPrecedes($1) }
        if let known = rules[key] { return known }
        guard !builder.isTooLarge, rules.count < Self.greatestRuleCount else { throw tooLarge() }
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Self.greatestNesting else {
            throw error(
                parts.last?.place ?? [],
                "sends from one schema to the next more than \(Self.greatestNesting) times")
        }
        let first = builder.state(), last = builder.state()
        rules[key] = first
        builder.end(last)
        let all = try expanded(parts)
        combined += all?.count ?? 0
        guard combined <= Self.greatestCombination else { throw tooLarge() }
        try build(all, from: first, to: last)
        return first
    }

    // MARK: Schemas that send to others

    /// The schemas behind `$ref` and `allOf`; nil where no value obeys all of them.
    private func expanded(_ parts: [Part]) throws(SchemaError) -> [Part]? {
        var work = Array(parts.reversed()), found: [Part] = []
        var known: Set<Part> = []
        while var part = work.popLast() {
            guard known.insert(part).inserted else { continue }
            let schema = try value(at: part.place)
            if let flag = schema.bool {
                if !flag { return nil }
                continue
            }
            guard let object = schema.object else {
                throw error(part.place, "must be an object or a boolean, got \(schema.kind)")
            }
            try check(object, part.place)
            if let reference = object["$ref"], part.done.insert("$ref").inserted {
                work.append(Part(place: try target(of: reference, part.place + ["$ref"])))
            }
            if let all = object["allOf"], part.done.insert("allOf").inserted {
                let count = try alternatives(all, part.place + ["allOf"])
                work += (0..<count).reversed().map { Part(place: part.place + ["allOf", String($0)]) }
            }
            found.append(part)
        }
        return found
    }

    private func check(_ schema: JSONObject, _ place: [String]) throws(SchemaError) {
        for (word, value) in schema where !SchemaKeywords.isKnown(word) {
            guard SchemaKeywords.isHarmless(word, value) else {
                throw error(place + [word], "is not supported: answers cannot be kept to it")
            }
        }
    }

    private func alternatives(_ value: JSONValue, _ place: [String]) throws(SchemaError) -> Int {
        guard let list = value.array, !list.isEmpty else {
            throw error(place, "must be a list of schemas that is not empty")
        }
        return list.count
    }

    func value(at place: [String]) throws(SchemaError) -> JSONValue {
        var value = document
        for word in place {
            guard let next = value.array != nil ? Int(word).flatMap({ value[$0] }) : value[word] else {
                throw error(place, "does not exist")
            }
            value = next
        }
        return value
    }

    /// The place that a reference names: `#`, or `#/` and a JSON pointer (RFC 6901).
    private func target(of reference: JSONValue, _ place: [String]) throws(SchemaError) -> [String] {
        guard let text = reference.string else {
            throw error(place, "must be a string, got \(reference.kind)")
        }
        if text == "#" { return [] }
        guard text.hasPrefix("#/") else {
            throw error(place, "may only name a place in the schema itself, \"#/…\", got \"\(text)\"")
        }
        var target: [String] = []
        for word in text.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) {
            guard let plain = String(word).percentDecoded else {
                throw error(place, "is not a JSON pointer: \"\(text)\"")
            }
            target.append(plain.replacingPieces("~1", "/").replacingPieces("~0", "~"))
        }
        do { _ = try value(at: target) } catch {
            throw self.error(place, "names \"\(text)\", which is not in the schema")
        }
        return target
    }

    // MARK: Alternatives

    private mutating func build(_ parts: [Part]?, from: Int32, to: Int32) throws(SchemaError) {
        guard let parts else { return }
        for (index, part) in parts.enumerated() {
            let schema = try value(at: part.place)
            for word in ["anyOf", "oneOf"] where !part.done.contains(word) {
                guard let list = schema[word] else { continue }
                let place = part.place + [word]
                let count = try alternatives(list, place)
                var rest = parts
                rest[index].done.insert(word)
                if word == "oneOf" { try checkExclusion(count, place, beside: rest) }
                for number in 0..<count {
                    let choice = Part(place: place + [String(number)])
                    // Jumps, unlike calls, may lead round in a circle: that adds no value.
                    let rule = try rule(of: rest + [choice])
                    builder.jump(from: from, to: rule)
                }
                return
            }
        }
        try buildValues(parts, from: from, to: to)
    }

    /// An alternative of `oneOf`.
    private struct Alternative {
        /// What it sends to, and itself.
        var parts: [Part]
        /// The only values that it allows; nil where it lists none.
        var values: [JSONValue]?
        /// The types of values that are written for it.
        var written: Set<ValueType>
        /// The types of values that it does not forbid.
        var allowed: Set<ValueType>
        var required: Set<String>
    }

    /// - Parameter rest: The schemas that values obey besides.
    /// - Throws: Where a value may obey two alternatives, for all that can be told.
    private mutating func checkExclusion(
        _ count: Int, _ place: [String], beside rest: [Part]
    ) throws(SchemaError) {
        guard count <= Self.greatestChoice else {
            throw error(place, "has more than \(Self.greatestChoice) alternatives; use anyOf")
        }
        var alternatives: [Alternative?] = []
        for number in 0..<count {
            alternatives.append(try alternative(Part(place: place + [String(number)]), beside: rest))
        }
        for first in 0..<count {
            for second in first + 1..<max(count, first + 1) {
                guard let a = alternatives[first], let b = alternatives[second] else { continue }
                guard try exclude(a, b) else {
                    throw error(
                        place,
                        "has alternatives (\(first) and \(second)) that one value may obey both of; use anyOf, or tell them apart by their types or by a required property with a const of its own"
                    )
                }
            }
        }
    }

    /// - Returns: nil where no value obeys it.
    private mutating func alternative(_ part: Part, beside rest: [Part]) throws(SchemaError) -> Alternative? {
        guard let parts = try expanded([part]), let all = try expanded(rest + [part]) else { return nil }
        combined += parts.count + all.count
        guard combined <= Self.greatestCombination else { throw tooLarge() }
        let schemas = try objects(parts)
        var written = try types(objects(all))
        var allowed = try declaredTypes(schemas) ?? ValueType.spokenOf([])
        let values = fixedValues(schemas)
        if let values {
            let kinds = Set(values.compactMap(ValueType.init(of:)))
            (written, allowed) = (ValueType.common(written, kinds), ValueType.common(allowed, kinds))
        }
        return Alternative(
            parts: parts, values: values, written: written, allowed: allowed,
            required: names(schemas, "required"))
    }

    /// Whether no value that is written for one of them obeys the other.
    private func exclude(_ a: Alternative, _ b: Alternative) throws(SchemaError) -> Bool {
        if ValueType.common(a.written, b.allowed).isEmpty, ValueType.common(b.written, a.allowed).isEmpty {
            return true
        }
        if let valuesA = a.values, let valuesB = b.values {
            return !valuesA.contains { value in valuesB.contains { $0 == value } }
        }
        guard a.written == [.object], b.written == [.object] else { return false }
        for name in a.required.intersection(b.required) {
            let own = (try members(a.parts, name), try members(b.parts, name))
            if let valuesA = fixedValues(own.0), let valuesB = fixedValues(own.1),
                !valuesA.contains(where: { value in valuesB.contains { $0 == value } })
            {
                return true
            }
        }
        return false
    }

    private func members(_ parts: [Part], _ name: String) throws(SchemaError) -> [(JSONObject, [String])] {
        var found: [Part] = []
        for part in parts where try value(at: part.place)["properties"]?[name] != nil {
            found.append(Part(place: part.place + ["properties", name]))
        }
        return try objects(try expanded(found) ?? [])
    }

    private func names(_ schemas: [(JSONObject, [String])], _ word: String) -> Set<String> {
        Set(schemas.flatMap { $0.0[word]?.array?.compactMap(\.string) ?? [] })
    }

    func objects(_ parts: [Part]) throws(SchemaError) -> [(JSONObject, [String])] {
        var found: [(JSONObject, [String])] = []
        for part in parts {
            if let object = try value(at: part.place).object { found.append((object, part.place)) }
        }
        return found
    }

    /// The values of `enum` and `const`, those that all schemas have; nil where none says.
    func fixedValues(_ schemas: [(JSONObject, [String])]) -> [JSONValue]? {
        var values: [JSONValue]?
        for (schema, _) in schemas {
            for list in [schema["enum"]?.array, schema["const"].map { [$0] }].compactMap({ $0 }) {
                values = values.map { $0.filter { value in list.contains { $0 == value } } } ?? list
            }
        }
        return values
    }

    /// The types of values that are written: those that all schemas allow, or that their keywords speak of.
    func types(_ schemas: [(JSONObject, [String])]) throws(SchemaError) -> Set<ValueType> {
        try declaredTypes(schemas) ?? ValueType.spokenOf(schemas.flatMap { $0.0.keys })
    }

    /// The types that all schemas allow; nil where none says.
    private func declaredTypes(
        _ schemas: [(JSONObject, [String])]
    ) throws(SchemaError) -> Set<ValueType>? {
        var types: Set<ValueType>?
        for (schema, place) in schemas {
            guard let value = schema["type"] else { continue }
            var own: Set<ValueType> = []
            for name in value.array ?? [value] {
                guard let type = name.string.flatMap(ValueType.init) else {
                    throw error(place + ["type"], "must be a type of JSON, or a list of types")
                }
                own.insert(type)
            }
            if own.contains(.number) { own.remove(.integer) }
            types = types.map { ValueType.common($0, own) } ?? own
        }
        return types
    }
}

extension JSONValue {
    /// How many lists and objects lie within one another.
    var depth: Int {
        switch self {
        case .array(let elements): 1 + (elements.map(\.depth).max() ?? 0)
        case .object(let members): 1 + (members.map(\.value.depth).max() ?? 0)
        default: 0
        }
    }
}

extension String {
    /// The text of which a URI's fragment is made; nil where it is none.
    fileprivate var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    fileprivate func replacingPieces(_ piece: String, _ other: String) -> String {
        split(separator: piece, omittingEmptySubsequences: false).joined(separator: other)
    }
}
