import LFDiagnostics
import LFJSON

extension Interpreter {
    /// The names that `is filter` knows.
    static let filters: Set<String> = [
        "tojson", "default", "d", "safe", "string", "items", "int", "float", "abs", "round", "upper", "lower",
        "title", "capitalize", "trim", "replace", "format", "indent", "wordcount", "escape", "e",
        "forceescape", "center", "truncate", "length", "count", "first", "last", "list", "reverse", "join",
        "map", "select", "reject", "selectattr", "rejectattr", "sort", "unique", "dictsort", "sum", "min",
        "max", "batch", "slice", "groupby", "attr",
    ]

    func filter(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue {
        switch name {
        case "tojson": return .string(try toJSON(value, call))
        case "attr":
            let name = call.argument(0, "name")?.text ?? ""
            if case .namespace(let namespace) = value { return namespace.fields[name] ?? .undefined(name) }
            return boundMethod(name, of: value) ?? .undefined(name)
        case "default", "d":
            let replaces = call.argument(1, "boolean")?.isTrue == true ? !value.isTrue : value.isUndefined
            return replaces ? call.argument(0, "default_value") ?? .string("") : value
        case "safe": return .markup(value.text)
        case "escape", "e": return .markup(value.escaped)
        case "forceescape": return .markup(value.plain.escaped)
        case "string": return value.isMarkup ? value : .string(value.text)
        case "items":
            if value.isUndefined { return .generator(Generator([])) }
            guard case .dict(let dict) = value else {
                throw failure("items needs a dictionary, got \(value.kind)", call.line)
            }
            return .generator(Generator(dict.members.map { .tuple([$0.key, $0.value]) }))
        case "int":
            let fallback = call.argument(0, "default") ?? .int(0)
            if let number = value.number {
                return Int(exactly: number.rounded(.towardZero)).map { .int($0) } ?? fallback
            }
            let text = Scalars.strip(value.text, nil)
            return Int(text).map { .int($0) } ?? Double(text).flatMap {
                Int(exactly: $0.rounded(.towardZero))
            }.map { .int($0) } ?? fallback
        case "float":
            return value.number.map { .double($0) } ?? Double(Scalars.strip(value.text, nil)).map {
                .double($0)
            }
                ?? call.argument(0, "default") ?? .double(0)
        case "abs":
            if case .int(let number) = value { return .int(number == .min ? .max : abs(number)) }
            guard let number = value.number else {
                throw failure("abs needs a number, got \(value.kind)", call.line)
            }
            return .double(number.magnitude)
        case "round":
            guard let number = value.number else {
                throw failure("round needs a number, got \(value.kind)", call.line)
            }
            return .double(Self.rounded(number, call))
        case "title": return .string(Self.titled(value.text))
        case "upper", "lower", "capitalize":
            return try method(name, .string(value.text), JinjaFunction.Call(line: call.line)) ?? value
        case "trim", "replace", "format", "indent", "wordcount", "center",
            "truncate", "urlencode", "striptags", "wordwrap", "xmlattr", "pprint", "filesizeformat", "random":
            return try textFilter(name, value.text, call)
        default: return try sequenceFilter(name, value, call)
        }
    }

    private func toJSON(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> String {
        guard let json = value.json else {
            throw failure("\(value.kind) cannot be written as JSON", call.line)
        }
        // The order of transformers' own `tojson`.
        let asciiOnly = call.argument(0, "ensure_ascii")?.isTrue ?? false
        let indent = call.argument(1, "indent")?.integer
        let sortsKeys = call.argument(3, "sort_keys")?.isTrue ?? false
        if let separators = call.argument(2, "separators")?.elements, separators.count == 2 {
            return json.serialized(
                indent: indent, sortKeys: sortsKeys, ensureASCII: asciiOnly,
                itemSeparator: separators[0].text,
                keySeparator: separators[1].text)
        }
        return json.serialized(indent: indent, sortKeys: sortsKeys, ensureASCII: asciiOnly)
    }

    private static func rounded(_ number: Double, _ call: JinjaFunction.Call) -> Double {
        var scale = 1.0
        for _ in 0..<min(max(call.argument(0, "precision")?.integer ?? 0, 0), 15) { scale *= 10 }
        switch call.argument(1, "method")?.text {
        case "floor": return (number * scale).rounded(.down) / scale
        case "ceil": return (number * scale).rounded(.up) / scale
        default: return (number * scale).rounded(.toNearestOrEven) / scale
        }
    }

    private func textFilter(
        _ name: String, _ text: String, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue {
        switch name {
        case "trim":
            let characters = call.argument(0, "chars")
            return .string(Scalars.strip(text, characters.flatMap { $0.isNone ? nil : $0.text }))
        case "replace":
            guard let old = call.argument(0, "old")?.text, let new = call.argument(1, "new")?.text else {
                throw failure("replace needs two strings", call.line)
            }
            let count = call.argument(2, "count")?.integer ?? -1
            return .string(Scalars.replace(text, old, by: new, limit: count < 0 ? .max : count))
        case "center":
            let width = call.argument(0, "width") ?? .int(80)
            return try method(
                "center", .string(text), JinjaFunction.Call(positional: [width], line: call.line))
                ?? .string(text)
        case "truncate": return .string(truncated(text, call))
        case "format":
            let values = call.positional
            return .string(try formatted(text, .tuple(values), call.line))
        case "wordcount": return .int(Scalars.words(text, limit: .max).count)
        case "indent":
            let width = call.argument(0, "width") ?? .int(4)
            let indentation =
                width.integer.map { String(repeating: " ", count: max(0, min($0, 1000))) } ?? width.text
            let first = call.argument(1, "first")?.isTrue ?? false
            let blank = call.argument(2, "blank")?.isTrue ?? false
            let lines = Scalars.lines(text + "\n").enumerated().map { index, line in
                index == 0
                    ? (first ? indentation + line : line) : line.isEmpty && !blank ? line : indentation + line
            }
            return .string(lines.joined(separator: "\n"))
        default: throw failure("the filter \"\(name)\" is not supported", call.line)
        }
    }

    /// A text of at most so many characters, cut between words unless `killwords`, with dots behind.
    private func truncated(_ text: String, _ call: JinjaFunction.Call) -> String {
        let length = call.argument(0, "length")?.integer ?? 255
        let end = call.argument(2, "end")?.text ?? "..."
        let scalars = Array(text.unicodeScalars)
        guard scalars.count > length + (call.argument(3, "leeway")?.integer ?? 5) else { return text }
        let head = Scalars.text(scalars.prefix(max(0, length - end.unicodeScalars.count)))
        if call.argument(1, "killwords")?.isTrue == true { return head + end }
        let pieces = Scalars.split(head, " ", limit: .max)
        return (pieces.count > 1 ? pieces.dropLast().joined(separator: " ") : head) + end
    }

    /// Jinja's own `title`: a word begins behind white space, a hyphen or an opening bracket.
    private static func titled(_ text: String) -> String {
        var titled = ""
        var isStart = true
        for scalar in text.unicodeScalars {
            titled += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            isStart = Scalars.isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar)
        }
        return titled
    }

    private func sequenceFilter(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue {
        let line = call.line
        switch name {
        case "length", "count":
            switch value {
            case .namespace, .generator: throw failure("\(value.kind) has no length", line)
            default: return .int(try elements(of: value, line).count)
            }
        case "first":
            if case .generator(let generator) = value { return generator.next() ?? .undefined("first") }
            return try elements(of: value, line).first ?? .undefined("first")
        case "last":
            if case .generator = value { throw failure("a generator has no last element", line) }
            return try elements(of: value, line).last ?? .undefined("last")
        case "list": return .list(try elements(of: value, line))
        case "reverse":
            let reversed = Array(try elements(of: value, line).reversed())
            if value.isString { return .string(reversed.map(\.text).joined()) }
            if case .generator = value { return .list(reversed) }
            return .generator(Generator(reversed))
        case "join":
            let separator = call.argument(0, "d")?.text ?? ""
            let attribute = call.argument(1, "attribute")
            var texts: [String] = []
            for element in try elements(of: value, line) {
                texts.append(
                    try attribute.map { (path) throws(UserError) in try field(path, of: element) }?.text
                        ?? element.text)
            }
            return .string(texts.joined(separator: separator))
        case "map": return .generator(Generator(try mapped(value, call)))
        case "select", "reject", "selectattr", "rejectattr":
            return .generator(Generator(try selected(name, value, call)))
        case "sort": return .list(try sorted(value, call))
        case "unique":
            var seen: [JinjaValue] = []
            var kept: [JinjaValue] = []
            let attribute = call.argument(1, "attribute")
            for element in try elements(of: value, line) {
                var key =
                    try attribute.map { (path) throws(UserError) in try field(path, of: element) } ?? element
                if case .string(let text) = key.plain, call.argument(0, "case_sensitive")?.isTrue != true {
                    key = .string(text.lowercased())
                }
                if !seen.contains(key) {
                    seen.append(key)
                    kept.append(element)
                }
            }
            return .generator(Generator(kept))
        case "dictsort":
            guard case .dict(let dict) = value else {
                throw failure("dictsort needs a dictionary, got \(value.kind)", line)
            }
            let byValue = call.argument(1, "by")?.text == "value"
            let pairs = dict.members.map { JinjaValue.tuple([$0.key, $0.value]) }
            return .list(
                try ordered(
                    pairs, isReversed: call.argument(2, "reverse")?.isTrue ?? false, call,
                    isCaseSensitive: call.argument(0, "case_sensitive")?.isTrue ?? false
                ) { pair in pair.elements?[byValue ? 1 : 0] ?? pair })
        case "sum":
            var total = call.argument(1, "start")?.number ?? 0
            var isInteger = true
            for element in try elements(of: value, line) {
                let item =
                    try call.argument(0, "attribute").map { (path) throws(UserError) in
                        try field(path, of: element)
                    } ?? element
                guard let number = item.number else {
                    throw failure("sum needs numbers, got \(item.kind)", line)
                }
                isInteger = isInteger && item.integer != nil
                total += number
            }
            return isInteger ? Int(exactly: total).map { .int($0) } ?? .double(total) : .double(total)
        case "min", "max":
            let order = try ordered(
                try elements(of: value, line), isReversed: name == "max", call,
                isCaseSensitive: call.argument(0, "case_sensitive")?.isTrue ?? false, by: { $0 },
                attribute: call.argument(1, "attribute"))
            return order.first ?? .undefined(name)
        case "batch", "slice":
            return .generator(Generator(try portions(name, try elements(of: value, line), call)))
        case "groupby": return .list(try grouped(value, call))
        default: throw failure("there is no filter \"\(name)\"", line)
        }
    }

    /// Lists of so many elements (`batch`), or so many lists (`slice`).
    private func portions(
        _ name: String, _ elements: [JinjaValue], _ call: JinjaFunction.Call
    ) throws(UserError) -> [JinjaValue] {
        guard let count = call.positional.first?.integer, count > 0 else {
            throw failure("\(name) needs a number above 0", call.line)
        }
        let filling = call.argument(1, "fill_with").flatMap { $0.isNone ? nil : $0 }
        var portions: [JinjaValue] = []
        if name == "batch" {
            for start in stride(from: 0, to: elements.count, by: count) {
                var part = Array(elements[start..<min(start + count, elements.count)])
                if let filling { part += Array(repeating: filling, count: count - part.count) }
                portions.append(.list(part))
            }
            return portions
        }
        let (size, larger) = elements.count.quotientAndRemainder(dividingBy: count)
        var start = 0
        for index in 0..<count {
            let end = start + size + (index < larger ? 1 : 0)
            var part = Array(elements[start..<end])
            if let filling, index >= larger { part.append(filling) }
            portions.append(.list(part))
            start = end
        }
        return portions
    }

    /// Pairs of a value and the elements that have it under an attribute, in order of the values.
    private func grouped(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> [JinjaValue] {
        guard let path = call.argument(0, "attribute") else {
            throw failure("groupby needs an attribute", call.line)
        }
        let isCaseSensitive = call.argument(2, "case_sensitive")?.isTrue ?? false
        func key(_ element: JinjaValue) throws(UserError) -> JinjaValue {
            let found = try field(path, of: element)
            return found.isUndefined ? call.argument(1, "default") ?? found : found
        }
        var keys: [JinjaValue] = []
        let elements = try elements(of: value, call.line)
        for element in elements { keys.append(try key(element)) }
        let order = try ordered(
            elements.indices.map { .tuple([keys[$0], .int($0)]) }, isReversed: false, call,
            isCaseSensitive: isCaseSensitive, by: { $0.elements?[0] ?? $0 })
        func folded(_ key: JinjaValue) -> JinjaValue {
            if case .string(let text) = key, !isCaseSensitive { return .string(text.lowercased()) }
            return key
        }
        var groups: [(key: JinjaValue, members: [JinjaValue])] = []
        for pair in order {
            guard let parts = pair.elements, let index = parts[1].integer else { continue }
            if let last = groups.last, folded(last.key) == folded(parts[0]) {
                groups[groups.count - 1].members.append(elements[index])
            } else {
                groups.append((parts[0], [elements[index]]))
            }
        }
        return groups.map { .tuple([$0.key, .list($0.members)]) }
    }

    /// A field by its path: `a.b` or a number.
    private func field(_ path: JinjaValue, of value: JinjaValue) throws(UserError) -> JinjaValue {
        if case .int = path { return try item(path, of: value, describedAs: "the value", 0) }
        var current = value
        for part in path.text.split(separator: ".", omittingEmptySubsequences: false) {
            let index: JinjaValue = Int(part).map { .int($0) } ?? .string(String(part))
            current = try item(index, of: current, describedAs: "the value", 0)
        }
        return current
    }

    private func mapped(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> [JinjaValue] {
        var results: [JinjaValue] = []
        let path = call.named.first { $0.name == "attribute" }?.value
        let fallback = call.named.first { $0.name == "default" }?.value
        // Whatever is false has no elements here: None and 0 too.
        for element in value.isTrue ? try elements(of: value, call.line) : [] {
            if let path {
                let found = try field(path, of: element)
                results.append(found.isUndefined ? fallback ?? found : found)
            } else {
                guard let name = call.positional.first else {
                    throw failure("map needs a filter or an attribute", call.line)
                }
                var inner = call
                inner.positional.removeFirst()
                results.append(try filter(name.text, element, inner))
            }
        }
        return results
    }

    private func selected(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> [JinjaValue] {
        var inner = call
        var path: JinjaValue?
        if name.hasSuffix("attr") {
            guard !inner.positional.isEmpty else { throw failure("\(name) needs an attribute", call.line) }
            path = inner.positional.removeFirst()
        }
        let test = inner.positional.isEmpty ? nil : inner.positional.removeFirst().text
        let keeps = name.hasPrefix("select")
        var kept: [JinjaValue] = []
        for element in value.isTrue ? try elements(of: value, call.line) : [] {
            let subject = try path.map { (path) throws(UserError) in try field(path, of: element) } ?? element
            let holds =
                try test.map { (name) throws(UserError) in try self.test(name, subject, inner) }
                ?? subject.isTrue
            if holds == keeps { kept.append(element) }
        }
        return kept
    }

    private func sorted(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> [JinjaValue] {
        var keys: [JinjaValue] = []
        let elements = try elements(of: value, call.line)
        for element in elements {
            keys.append(
                try call.argument(2, "attribute").map { (path) throws(UserError) in
                    try field(path, of: element)
                } ?? element)
        }
        let order = try ordered(
            elements.indices.map { .tuple([keys[$0], .int($0)]) },
            isReversed: call.argument(0, "reverse")?.isTrue ?? false,
            call, isCaseSensitive: call.argument(1, "case_sensitive")?.isTrue ?? false
        ) { $0.elements?[0] ?? $0 }
        return order.compactMap { pair in
            if let parts = pair.elements, let index = parts[1].integer { elements[index] } else { nil }
        }
    }

    /// A stable order by key; strings without regard to case, unless asked for.
    private func ordered(
        _ values: [JinjaValue], isReversed: Bool, _ call: JinjaFunction.Call, isCaseSensitive: Bool = false,
        by key: (JinjaValue) -> JinjaValue, attribute: JinjaValue? = nil
    ) throws(UserError) -> [JinjaValue] {
        var keys: [JinjaValue] = []
        for value in values {
            var key = key(value)
            if let attribute { key = try field(attribute, of: key) }
            if case .string(let text) = key, !isCaseSensitive { key = .string(text.lowercased()) }
            keys.append(key)
        }
        for (index, first) in keys.enumerated() {
            if index + 1 < keys.count, Self.order(first, keys[index + 1]) == nil {
                throw failure("\(first.kind) and \(keys[index + 1].kind) have no order", call.line)
            }
        }
        let order = keys.indices.sorted { a, b in
            let comparison = Self.order(keys[a], keys[b]) ?? 0
            return comparison == 0 ? a < b : isReversed ? comparison > 0 : comparison < 0
        }
        return order.map { values[$0] }
    }
}
