import LFDiagnostics
import LFJSON

extension Interpreter {
    func filter(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue {
        switch name {
        case "tojson": return .string(try toJSON(value, call))
        case "default", "d":
            let replaces = call.argument(1, "boolean")?.isTrue == true ? !value.isTrue : value.isUndefined
            return replaces ? call.argument(0, "default_value") ?? .string("") : value
        case "safe", "string": return name == "string" ? .string(value.text) : value
        case "items":
            if value.isUndefined { return .list([]) }
            guard case .dict(let dict) = value else {
                throw failure("items needs a dictionary, got \(value.kind)", call.line)
            }
            return .list(dict.members.map { .list([$0.key, $0.value]) })
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
        case "upper", "lower", "title", "capitalize":
            return try method(name, .string(value.text), JinjaFunction.Call(line: call.line)) ?? value
        case "trim", "replace", "split", "format", "indent", "wordcount", "escape", "e", "forceescape",
            "urlencode",
            "center", "striptags":
            return try textFilter(name, value.text, call)
        default: return try sequenceFilter(name, value, call)
        }
    }

    private func toJSON(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> String {
        guard let json = value.json else {
            throw failure("\(value.kind) cannot be written as JSON", call.line)
        }
        let indent =
            call.argument(1, "indent")?.integer
            ?? (call.positional.count == 1 ? call.positional[0].integer : nil)
        let asciiOnly = call.named.first { $0.name == "ensure_ascii" }?.value.isTrue ?? false
        let sortsKeys = call.named.first { $0.name == "sort_keys" }?.value.isTrue ?? false
        if case .list(let separators)? = call.argument(2, "separators"), separators.count == 2 {
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
        case "replace", "split": return try method(name, .string(text), call) ?? .string(text)
        case "format":
            let values = call.positional
            return .string(try formatted(text, .list(values), call.line))
        case "wordcount": return .int(Scalars.words(text, limit: .max).count)
        case "indent":
            let width = call.argument(0, "width") ?? .int(4)
            let indentation =
                width.integer.map { String(repeating: " ", count: max(0, min($0, 1000))) } ?? width.text
            let first = call.argument(1, "first")?.isTrue ?? false
            let blank = call.argument(2, "blank")?.isTrue ?? false
            let lines = Scalars.split(text, "\n", limit: .max).enumerated().map { index, line in
                index == 0
                    ? (first ? indentation + line : line) : line.isEmpty && !blank ? line : indentation + line
            }
            return .string(lines.joined(separator: "\n"))
        case "escape", "e", "forceescape":
            var escaped = text
            for (from, to) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")]
            {
                escaped = Scalars.replace(escaped, from, by: to, limit: .max)
            }
            return .string(escaped)
        default: throw failure("the filter \"\(name)\" is not supported", call.line)
        }
    }

    private func sequenceFilter(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue {
        let line = call.line
        switch name {
        case "length", "count":
            if case .namespace = value { throw failure("a namespace has no length", line) }
            return .int(try elements(of: value, line).count)
        case "first": return try elements(of: value, line).first ?? .undefined("first")
        case "last": return try elements(of: value, line).last ?? .undefined("last")
        case "list": return .list(try elements(of: value, line))
        case "reverse":
            let reversed = Array(try elements(of: value, line).reversed())
            return value.isString ? .string(reversed.map(\.text).joined()) : .list(reversed)
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
        case "map": return .list(try mapped(value, call))
        case "select", "reject", "selectattr", "rejectattr": return .list(try selected(name, value, call))
        case "sort": return .list(try sorted(value, call))
        case "unique":
            var seen: [JinjaValue] = []
            var kept: [JinjaValue] = []
            let attribute = call.argument(1, "attribute")
            for element in try elements(of: value, line) {
                var key =
                    try attribute.map { (path) throws(UserError) in try field(path, of: element) } ?? element
                if case .string(let text) = key, call.argument(0, "case_sensitive")?.isTrue != true {
                    key = .string(text.lowercased())
                }
                if !seen.contains(key) {
                    seen.append(key)
                    kept.append(element)
                }
            }
            return .list(kept)
        case "dictsort":
            guard case .dict(let dict) = value else {
                throw failure("dictsort needs a dictionary, got \(value.kind)", line)
            }
            let byValue = call.argument(1, "by")?.text == "value"
            let pairs = dict.members.map { JinjaValue.list([$0.key, $0.value]) }
            return .list(
                try ordered(pairs, isReversed: call.argument(2, "reverse")?.isTrue ?? false, call) { pair in
                    if case .list(let parts) = pair { parts[byValue ? 1 : 0] } else { pair }
                })
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
            let order = try ordered(try elements(of: value, line), isReversed: name == "max", call) { $0 }
            return order.first ?? .undefined(name)
        case "batch", "slice", "groupby", "random", "xmlattr", "pprint", "filesizeformat", "truncate",
            "wordwrap":
            throw failure("the filter \"\(name)\" is not supported", line)
        default: throw failure("there is no filter \"\(name)\"", line)
        }
    }

    /// A field by its path: `a.b` or a number.
    private func field(_ path: JinjaValue, of value: JinjaValue) throws(UserError) -> JinjaValue {
        var current = value
        for part in path.text.split(separator: ".") {
            switch current {
            case .dict(let dict): current = dict[.string(String(part))] ?? .undefined(String(part))
            case .namespace(let namespace):
                current = namespace.fields[String(part)] ?? .undefined(String(part))
            case .list(let elements):
                let index = Int(part) ?? -1
                current = elements.indices.contains(index) ? elements[index] : .undefined(String(part))
            default: current = .undefined(String(part))
            }
        }
        return current
    }

    private func mapped(_ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> [JinjaValue] {
        var results: [JinjaValue] = []
        let path = call.named.first { $0.name == "attribute" }?.value
        let fallback = call.named.first { $0.name == "default" }?.value
        for element in try elements(of: value, call.line) {
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
        for element in try elements(of: value, call.line) {
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
            elements.indices.map { .list([keys[$0], .int($0)]) },
            isReversed: call.argument(0, "reverse")?.isTrue ?? false,
            call, isCaseSensitive: call.argument(1, "case_sensitive")?.isTrue ?? false
        ) { if case .list(let parts) = $0 { parts[0] } else { $0 } }
        return order.compactMap { pair in
            if case .list(let parts) = pair, let index = parts[1].integer { elements[index] } else { nil }
        }
    }

    /// A stable order by key; strings without regard to case, unless asked for.
    private func ordered(
        _ values: [JinjaValue], isReversed: Bool, _ call: JinjaFunction.Call, isCaseSensitive: Bool = false,
        by key: (JinjaValue) -> JinjaValue
    ) throws(UserError) -> [JinjaValue] {
        let keys = values.map { value in
            if case .string(let text) = key(value), !isCaseSensitive {
                JinjaValue.string(text.lowercased())
            } else {
                key(value)
            }
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
