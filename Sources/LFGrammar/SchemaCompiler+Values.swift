import LFJSON

extension SchemaCompiler {
    /// The values that obey schemas which send to no others.
    mutating func buildValues(_ parts: [Part], from: Int32, to: Int32) throws(SchemaError) {
        let schemas = try objects(parts)
        let types = try types(schemas)
        for (schema, place) in schemas {
            if let list = schema["enum"], list.array?.isEmpty ?? true {
                throw error(place + ["enum"], "must be a list that is not empty")
            }
        }
        if let values = fixedValues(schemas) {
            try refuseBounds(schemas)
            let valid = values.filter { value in types.contains { $0.contains(value) } }
            var texts: [[UInt8]] = []
            for value in valid { if let text = try text(value) { texts.append(text) } }
            let exit = builder.oneOf(texts, from: from)
            builder.jump(from: exit, to: to)
            for value in valid where value.array != nil || value.object != nil {
                let rule = try literal(value)
                builder.call(rule, from: from, to: to)
            }
            return
        }
        for type in ValueType.allCases where types.contains(type) {
            let rule: Int32
            switch type {
            case .null: rule = word("null")
            case .boolean:
                rule = builder.shared("boolean") {
                    $0.oneOf([Array("true".utf8), Array("false".utf8)], from: $1)
                }
            case .integer: rule = try number(schemas, isWhole: true)
            case .number: rule = try number(schemas, isWhole: false)
            case .string: rule = try string(schemas)
            case .array: rule = try array(parts, schemas)
            case .object: rule = try object(parts, schemas)
            }
            builder.call(rule, from: from, to: to)
        }
    }

    private mutating func word(_ text: String) -> Int32 {
        builder.shared(text) { $0.bytes(text.utf8, from: $1) }
    }

    /// Bounds beside values that are listed would have to be checked for each.
    private func refuseBounds(_ schemas: [(JSONObject, [String])]) throws(SchemaError) {
        let bounds = SchemaKeywords.ofStrings.union(SchemaKeywords.ofNumbers).union(SchemaKeywords.ofArrays)
            .union(SchemaKeywords.ofObjects)
        for (schema, place) in schemas {
            if let word = schema.keys.first(where: { bounds.contains($0) && $0 != "format" }) {
                throw error(place + [word], "is not supported beside enum or const")
            }
        }
    }

    /// How a value without parts is written; nil for arrays and objects.
    private func text(_ value: JSONValue) throws(SchemaError) -> [UInt8]? {
        switch value {
        case .array, .object: return nil
        case .string(let text): return GrammarBuilder.quoted(text)
        case .double(let number) where !number.isFinite:
            throw error([], "has a constant that JSON cannot write")
        default: return Array(value.serialized().utf8)
        }
    }

    /// A value that is given, with JSON's white space between its parts.
    private mutating func literal(_ value: JSONValue) throws(SchemaError) -> Int32 {
        if let text = try text(value) { return builder.rule { $0.bytes(text, from: $1) } }
        switch value {
        case .array(let elements):
            var rules: [Int32] = []
            for element in elements { rules.append(try literal(element)) }
            return builder.rule {
                $0.array(of: rules, then: nil, least: rules.count, most: rules.count, from: $1)
            }
        case .object(let members):
            var rules: [(rule: Int32, isRequired: Bool)] = []
            for (key, value) in members { rules.append((try member(key, try literal(value)), true)) }
            return builder.rule { $0.object(of: rules, then: nil, from: $1) }
        default: return builder.value()
        }
    }

    private mutating func member(_ key: String, _ value: Int32) throws(SchemaError) -> Int32 {
        let name = builder.rule { $0.bytes(GrammarBuilder.quoted(key), from: $1) }
        return builder.member(name, value)
    }

    // MARK: Strings

    private mutating func string(_ schemas: [(JSONObject, [String])]) throws(SchemaError) -> Int32 {
        let least = try bound(schemas, "minLength", max) ?? 0, most = try bound(schemas, "maxLength", min)
        try checkOrder(least, most, schemas, "maxLength")
        let shapes = schemas.flatMap { schema, place in
            ["pattern", "format"].compactMap { word in schema[word].map { (word, $0, place + [word]) } }
        }
        guard let (word, value, place) = shapes.first else { return builder.string(least, most) }
        guard let text = value.string else { throw error(place, "must be a string, got \(value.kind)") }
        guard shapes.count == 1, least == 0, most == nil else {
            throw error(place, "is not supported beside minLength, maxLength or another pattern or format")
        }
        if word == "format" {
            guard let pattern = StringFormats.patterns[text] else {
                throw error(
                    place,
                    "\"\(text)\" is not supported: use one of \(StringFormats.patterns.keys.sorted().joined(separator: ", ")), or a pattern"
                )
            }
            return try matching(pattern, place)
        }
        return try matching(text, place)
    }

    private mutating func matching(_ text: String, _ place: [String]) throws(SchemaError) -> Int32 {
        let pattern: Pattern
        do { pattern = try Pattern(text) } catch {
            throw self.error(place, "\(error.problem)")
        }
        return builder.rule { $0.string(matching: pattern, from: $1) }
    }

    // MARK: Numbers

    private mutating func number(
        _ schemas: [(JSONObject, [String])], isWhole: Bool
    ) throws(SchemaError) -> Int32 {
        var range = NumberRange()
        for (schema, place) in schemas {
            for word in SchemaKeywords.ofNumbers.sorted() {
                guard let value = schema[word] else { continue }
                guard let bound = Decimal15(value) else {
                    throw error(
                        place + [word],
                        "must be a number of at most \(GrammarBuilder.greatestDigits) digits before and behind the point, got \(value.serialized())"
                    )
                }
                range.narrow(word, bound)
            }
        }
        if range.isOpen { return isWhole ? builder.integer() : builder.number() }
        return builder.rule { $0.number(in: range, isWhole: isWhole, from: $1) }
    }

    // MARK: Arrays

    private mutating func array(
        _ parts: [Part], _ schemas: [(JSONObject, [String])]
    ) throws(SchemaError) -> Int32 {
        let least = try bound(schemas, "minItems", max) ?? 0, most = try bound(schemas, "maxItems", min)
        try checkOrder(least, most, schemas, "maxItems")
        /// Of each schema its first elements, and that of the others: nil where it says nothing.
        var views: [(firsts: [[String]], rest: [String]?)] = []
        for (schema, place) in schemas {
            var view: (firsts: [[String]], rest: [String]?) = ([], nil)
            for word in ["prefixItems", "items"] {
                guard let list = schema[word]?.array else { continue }
                view.firsts = list.indices.map { place + [word, String($0)] }
            }
            if let items = schema["items"], items.array == nil {
                view.rest = place + ["items"]
            } else if schema["items"]?.array != nil, schema["additionalItems"] != nil {
                view.rest = place + ["additionalItems"]
            }
            views.append(view)
        }
        let count = views.map(\.firsts.count).max() ?? 0
        var firsts: [Int32] = []
        for index in 0..<min(count, most ?? .max) {
            let own = views.compactMap { $0.firsts.indices.contains(index) ? $0.firsts[index] : $0.rest }
            firsts.append(try rule(of: own.map { Part(place: $0) }))
        }
        let rests = views.compactMap(\.rest)
        var rest: Int32?
        if most ?? .max > firsts.count, !rests.isEmpty || count == 0 || least > count {
            rest = rests.isEmpty ? builder.value() : try rule(of: rests.map { Part(place: $0) })
        }
        return builder.rule { $0.array(of: firsts, then: rest, least: least, most: most, from: $1) }
    }

    // MARK: Objects

    private mutating func object(
        _ parts: [Part], _ schemas: [(JSONObject, [String])]
    ) throws(SchemaError) -> Int32 {
        var names: [String] = []
        var required: Set<ExactText> = []
        for (schema, place) in schemas {
            if let value = schema["properties"] {
                guard let properties = value.object else {
                    throw error(place + ["properties"], "must be an object, got \(value.kind)")
                }
                names += properties.keys
            }
            guard let value = schema["required"] else { continue }
            guard let list = value.array, list.allSatisfy({ $0.string != nil }) else {
                throw error(place + ["required"], "must be a list of strings")
            }
            required.formUnion(list.compactMap(\.string).map(ExactText.init))
        }
        for (schema, place) in schemas {
            names += (schema["required"]?.array ?? []).compactMap(\.string)
            if let least = try bound([(schema, place)], "minProperties", max), least > required.count {
                throw error(
                    place + ["minProperties"], "is not supported beyond the number of required properties")
            }
        }
        var known: Set<ExactText> = []
        names = names.filter { known.insert(ExactText($0)).inserted }
        var members: [(rule: Int32, isRequired: Bool)] = []
        for name in names {
            let own = schemas.compactMap { schema, place -> [String]? in
                if schema["properties"]?[name] != nil { return place + ["properties", name] }
                return schema["additionalProperties"] == nil ? nil : place + ["additionalProperties"]
            }
            members.append(
                (
                    try member(name, try rule(of: own.map { Part(place: $0) })),
                    required.contains(ExactText(name))
                ))
        }
        let others = schemas.compactMap { schema, place in
            schema["additionalProperties"] == nil ? nil : place + ["additionalProperties"]
        }
        let declares = schemas.contains { $0.0["properties"] != nil }
        var rest: Int32?
        if !others.isEmpty || !declares {
            let value = try rule(of: others.map { Part(place: $0) })
            // Names are followed letter by letter there.
            if let name = names.first(where: { $0.unicodeScalars.count > 500 }) {
                throw error(
                    parts.first?.place ?? [],
                    "has a property whose name is too long beside others: \(name.prefix(20))…")
            }
            let key = names.isEmpty ? builder.string() : builder.string(besides: names)
            rest = builder.member(key, value)
        }
        return builder.rule { $0.object(of: members, then: rest, from: $1) }
    }

    // MARK: Bounds

    /// The tightest of the bounds that schemas set.
    private func bound(
        _ schemas: [(JSONObject, [String])], _ word: String, _ tighter: (Int, Int) -> Int
    ) throws(SchemaError) -> Int? {
        var bound: Int?
        for (schema, place) in schemas {
            guard let value = schema[word] else { continue }
            guard let number = value.int ?? value.double.flatMap({ Int(exactly: $0) }), number >= 0,
                number <= 1_000_000
            else {
                throw error(
                    place + [word], "must be an integer between 0 and 1000000, got \(value.serialized())")
            }
            bound = bound.map { tighter($0, number) } ?? number
        }
        return bound
    }

    private func checkOrder(
        _ least: Int, _ most: Int?, _ schemas: [(JSONObject, [String])], _ word: String
    ) throws(SchemaError) {
        guard let most, most < least else { return }
        let place = schemas.first { $0.0[word] != nil }?.1 ?? []
        throw error(place + [word], "is \(most), less than the least that is asked for, \(least)")
    }
}

/// A name that equals others of the same bytes only: Swift's strings are equal where they look alike.
private struct ExactText: Hashable {
    private let bytes: [UInt8]

    init(_ text: String) { bytes = Array(text.utf8) }
}
