import Glibc
import LFDiagnostics

/// Text as a list of code points, which is how Python counts.
enum Scalars {
    /// White space as Python's `str.isspace` knows it: Unicode's and the four separators of ASCII.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    /// The lines of a text without their ends, as `str.splitlines` cuts them.
    static func lines(_ text: String, keepsEnds: Bool = false) -> [String] {
        var lines: [String] = []
        var line: [Unicode.Scalar] = []
        let scalars = Array(text.unicodeScalars)
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            switch scalar.value {
            case 0xA...0xD, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                var end = [scalar]
                if scalar == "\r", index < scalars.count, scalars[index] == "\n" {
                    end.append("\n")
                    index += 1
                }
                lines.append(Self.text(keepsEnds ? line + end : line))
                line = []
            default: line.append(scalar)
            }
        }
        return line.isEmpty ? lines : lines + [Self.text(line)]
    }

    static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// Where a part starts, in code points.
    static func find(_ part: String, in text: String, from start: Int = 0) -> Int? {
        find(Array(part.unicodeScalars), in: Array(text.unicodeScalars), from: start)
    }

    static func find(_ part: [Unicode.Scalar], in text: [Unicode.Scalar], from start: Int) -> Int? {
        guard start + part.count <= text.count else { return nil }
        return (start...text.count - part.count).first { text[$0...].starts(with: part) }
    }

    /// The pieces between occurrences of a separator, at most `limit` of which count.
    static func split(_ text: String, _ separator: String, limit: Int) -> [String] {
        let scalars = Array(text.unicodeScalars)
        let part = Array(separator.unicodeScalars)
        var pieces: [String] = []
        var start = 0
        while pieces.count < limit, let found = find(part, in: scalars, from: start) {
            pieces.append(Self.text(scalars[start..<found]))
            start = found + part.count
        }
        return pieces + [Self.text(scalars[start...])]
    }

    /// The words between runs of whitespace, at most `limit` of which are cut off.
    static func words(_ text: String, limit: Int) -> [String] {
        var words: [String] = []
        var rest = text.unicodeScalars[...].drop(while: isSpace)
        while !rest.isEmpty {
            if words.count == limit { return words + [strip(Self.text(rest), nil, left: false)] }
            words.append(Self.text(rest.prefix { !isSpace($0) }))
            rest = rest.drop { !isSpace($0) }.drop(while: isSpace)
        }
        return words
    }

    /// As `words`, but what is not cut is left at the front.
    static func wordsFromEnd(_ text: String, limit: Int) -> [String] {
        let reversed = words(Self.text(text.unicodeScalars.reversed()), limit: limit)
        return reversed.reversed().map { Self.text($0.unicodeScalars.reversed()) }
    }

    static func strip(_ text: String, _ characters: String?, left: Bool = true, right: Bool = true) -> String
    {
        let set = characters.map { Set($0.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool {
            set?.contains(scalar) ?? isSpace(scalar)
        }
        var scalars = Array(text.unicodeScalars)[...]
        if left { scalars = scalars.drop(while: goes) }
        if right { while let last = scalars.last, goes(last) { scalars.removeLast() } }
        return Self.text(scalars)
    }

    static func replace(_ text: String, _ part: String, by new: String, limit: Int) -> String {
        if part.isEmpty {
            var pieces = text.unicodeScalars.prefix(limit).map { new + String($0) }.joined()
            pieces += Self.text(text.unicodeScalars.dropFirst(limit))
            return limit > text.unicodeScalars.count ? pieces + new : pieces
        }
        return split(text, part, limit: limit).joined(separator: new)
    }

    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping
            + text.unicodeScalars.dropFirst().map(\.properties.lowercaseMapping).joined()
    }

    static func titled(_ text: String) -> String {
        var titled = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            titled += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.properties.isAlphabetic
        }
        return titled
    }
}

extension Interpreter {
    /// The result of a method that Python's strings, lists and dictionaries have; nil where there is none.
    func method(
        _ name: String, _ object: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue? {
        switch object.plain {
        case .string(let text): return try stringMethod(name, text, call)
        case .dict(let dict): return try dictMethod(name, dict, call)
        case .list(let elements), .tuple(let elements): return try listMethod(name, elements, call)
        case .undefined(let missing):
            throw failure("\"\(missing)\" is undefined, so that it has no method \"\(name)\"", call.line)
        default: return nil
        }
    }

    private func text(
        _ call: JinjaFunction.Call, _ position: Int, _ name: String
    ) throws(UserError) -> String? {
        guard let value = call.argument(position, name), !value.isNone else { return nil }
        guard case .string(let text) = value.plain else {
            throw failure("a string is needed, got \(value.kind)", call.line)
        }
        return text
    }

    private func limit(_ call: JinjaFunction.Call, _ position: Int, _ name: String) -> Int {
        let count = call.argument(position, name)?.integer ?? -1
        return count < 0 ? .max : count
    }

    private func stringMethod(
        _ name: String, _ string: String, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue? {
        switch name {
        case "strip": return .string(Scalars.strip(string, try text(call, 0, "chars")))
        case "lstrip": return .string(Scalars.strip(string, try text(call, 0, "chars"), right: false))
        case "rstrip": return .string(Scalars.strip(string, try text(call, 0, "chars"), left: false))
        case "upper": return .string(string.uppercased())
        case "lower": return .string(string.lowercased())
        case "title": return .string(Scalars.titled(string))
        case "capitalize": return .string(Scalars.capitalized(string))
        case "startswith", "endswith":
            let parts: [String]
            if case .tuple(let options)? = call.positional.first {
                parts = options.map(\.text)
            } else {
                parts = [try text(call, 0, "prefix") ?? ""]
            }
            let scalars = Array(string.unicodeScalars)
            return .bool(
                parts.contains { part in
                    let part = Array(part.unicodeScalars)
                    return name == "startswith"
                        ? scalars.starts(with: part) : scalars.suffix(part.count) == part[...]
                })
        case "removeprefix", "removesuffix":
            let part = Array((try text(call, 0, "prefix") ?? "").unicodeScalars)
            let scalars = Array(string.unicodeScalars)
            if name == "removeprefix" {
                return .string(
                    scalars.starts(with: part) ? Scalars.text(scalars.dropFirst(part.count)) : string)
            }
            return .string(
                scalars.suffix(part.count) == part[...] ? Scalars.text(scalars.dropLast(part.count)) : string)
        case "split":
            let limit = limit(call, 1, "maxsplit")
            guard let separator = try text(call, 0, "sep") else {
                return .list(Scalars.words(string, limit: limit).map { .string($0) })
            }
            guard !separator.isEmpty else {
                throw failure("split needs a separator that is not empty", call.line)
            }
            return .list(Scalars.split(string, separator, limit: limit).map { .string($0) })
        case "rsplit" where call.argument(0, "sep")?.isNone ?? true:
            return .list(
                Scalars.wordsFromEnd(string, limit: limit(call, 1, "maxsplit")).map { .string($0) })
        case "rsplit":
            let all =
                try text(call, 0, "sep").map { Scalars.split(string, $0, limit: .max) }
                ?? Scalars.words(string, limit: .max)
            let keep = all.count - min(limit(call, 1, "maxsplit"), all.count - 1)
            guard keep > 1, let separator = try text(call, 0, "sep") else {
                return .list(all.map { .string($0) })
            }
            return .list(([all[..<keep].joined(separator: separator)] + all[keep...]).map { .string($0) })
        case "splitlines":
            let keepsEnds = call.argument(0, "keepends")?.isTrue ?? false
            return .list(Scalars.lines(string, keepsEnds: keepsEnds).map { .string($0) })
        case "replace":
            guard let old = try text(call, 0, "old"), let new = try text(call, 1, "new") else {
                throw failure("replace needs two strings", call.line)
            }
            return .string(Scalars.replace(string, old, by: new, limit: limit(call, 2, "count")))
        case "join":
            guard let sequence = call.positional.first else { throw failure("join needs a list", call.line) }
            return .string(try elements(of: sequence, call.line).map(\.text).joined(separator: string))
        case "find", "index":
            let found = Scalars.find(try text(call, 0, "sub") ?? "", in: string)
            if found == nil, name == "index" {
                throw failure("the substring is not in the string", call.line)
            }
            return .int(found ?? -1)
        case "rfind":
            let part = Array((try text(call, 0, "sub") ?? "").unicodeScalars)
            let scalars = Array(string.unicodeScalars)
            let found = stride(from: scalars.count - part.count, through: 0, by: -1).first {
                scalars[$0...].starts(with: part)
            }
            return .int(found ?? -1)
        case "count":
            return .int(Scalars.split(string, try text(call, 0, "sub") ?? " ", limit: .max).count - 1)
        case "partition":
            let pieces = Scalars.split(string, try text(call, 0, "sep") ?? " ", limit: 1)
            let separator = try text(call, 0, "sep") ?? " "
            return .tuple(
                (pieces.count == 2 ? [pieces[0], separator, pieces[1]] : [string, "", ""]).map { .string($0) }
            )
        case "isdigit":
            return .bool(
                !string.isEmpty
                    && string.unicodeScalars.allSatisfy {
                        [.decimal, .digit].contains($0.properties.numericType)
                    })
        case "isalpha":
            return .bool(!string.isEmpty && string.unicodeScalars.allSatisfy(\.properties.isAlphabetic))
        case "isspace":
            return .bool(!string.isEmpty && string.unicodeScalars.allSatisfy(Scalars.isSpace))
        case "isupper": return .bool(string != string.lowercased() && string == string.uppercased())
        case "islower": return .bool(string != string.uppercased() && string == string.lowercased())
        case "format": return .string(try braced(string, call))
        default: return try layoutMethod(name, string, call)
        }
    }

    /// Methods that fill up a text, take it apart from its end, or tell what it is made of.
    private func layoutMethod(
        _ name: String, _ string: String, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue? {
        let scalars = Array(string.unicodeScalars)
        func all(_ holds: (Unicode.Scalar) -> Bool) -> JinjaValue {
            .bool(!scalars.isEmpty && scalars.allSatisfy(holds))
        }
        switch name {
        case "ljust", "rjust", "center", "zfill":
            let missing = max(0, min(call.argument(0, "width")?.integer ?? 0, 1 << 20) - scalars.count)
            let fill = name == "zfill" ? "0" : try text(call, 1, "fillchar") ?? " "
            func filling(_ count: Int) -> String { String(repeating: fill, count: count) }
            switch name {
            case "ljust": return .string(string + filling(missing))
            case "rjust": return .string(filling(missing) + string)
            case "zfill":
                let sign = scalars.first.map { $0 == "-" || $0 == "+" } ?? false
                return .string(
                    (sign ? String(scalars[0]) : "") + filling(missing)
                        + Scalars.text(sign ? scalars.dropFirst() : scalars[...]))
            default:
                // Python puts the odd one left where the width is odd.
                let left = missing / 2 + (missing & (missing + scalars.count) & 1)
                return .string(filling(left) + string + filling(missing - left))
            }
        case "swapcase":
            return .string(
                scalars.map {
                    $0.properties.isUppercase
                        ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping
                }.joined())
        case "casefold": return .string(string.lowercased())
        case "isalnum": return all { $0.properties.isAlphabetic || $0.properties.numericType != nil }
        case "isdecimal": return all { $0.properties.numericType == .decimal }
        case "isnumeric": return all { $0.properties.numericType != nil }
        case "isascii": return .bool(scalars.allSatisfy(\.isASCII))
        case "rindex":
            let found = try stringMethod("rfind", string, call)
            if found == .int(-1) { throw failure("the substring is not in the string", call.line) }
            return found
        case "rpartition":
            let separator = try text(call, 0, "sep") ?? " "
            let pieces = Scalars.split(string, separator, limit: .max)
            guard pieces.count > 1 else { return .tuple([.string(""), .string(""), .string(string)]) }
            return .tuple([
                .string(pieces.dropLast().joined(separator: separator)), .string(separator),
                .string(pieces[pieces.count - 1]),
            ])
        default: return nil
        }
    }

    /// A method as a value, which a template can ask for without a call.
    ///
    /// What would change the object is not to be had, as in Jinja's sandbox.
    func boundMethod(_ name: String, of object: JinjaValue) -> JinjaValue? {
        let names: Set<String>
        switch object {
        case .string, .markup: names = Self.stringMethods
        case .dict: names = ["items", "keys", "values", "get", "copy"]
        case .list: names = ["index", "count", "copy"]
        case .tuple: names = ["index", "count"]
        default: return nil
        }
        guard names.contains(name) else { return nil }
        return .function(
            JinjaFunction(name) { (call, interpreter) throws(UserError) in
                try interpreter.method(name, object, call) ?? .undefined(name)
            })
    }

    private static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "upper", "lower", "title", "capitalize", "startswith", "endswith",
        "removeprefix", "removesuffix", "split", "rsplit", "splitlines", "replace", "join", "find", "index",
        "rfind", "rindex", "count", "partition", "rpartition", "isdigit", "isalpha", "isspace", "isupper",
        "islower", "format", "ljust", "rjust", "center", "zfill", "swapcase", "casefold", "isalnum",
        "isdecimal", "isnumeric", "isascii",
    ]

    /// `"{} and {0} and {name}".format(…)`, without format specifications.
    private func braced(_ string: String, _ call: JinjaFunction.Call) throws(UserError) -> String {
        var text = ""
        var field: String?
        var automatic = 0
        let scalars = Array(string.unicodeScalars)
        var position = 0
        while position < scalars.count {
            let scalar = scalars[position]
            let isDoubled = position + 1 < scalars.count && scalars[position + 1] == scalar
            position += 1
            if let name = field {
                guard scalar == "}" else {
                    field?.unicodeScalars.append(scalar)
                    continue
                }
                let index = name.isEmpty ? automatic : Int(name) ?? -1
                if name.isEmpty { automatic += 1 }
                guard
                    let value = index >= 0 && index < call.positional.count
                        ? call.positional[index] : call.named.first(where: { $0.name == name })?.value
                else { throw failure("format has no value for \"{\(name)}\"", call.line) }
                text += value.text
                field = nil
            } else if scalar == "{" || scalar == "}", isDoubled {
                text.unicodeScalars.append(scalar)
                position += 1
            } else if scalar == "{" {
                field = ""
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// `"%s is %5d" % (…)`, with the kinds s, d, i, f, r, the flags `-`, `0`, `+` and blank, a width and a precision.
    func formatted(_ string: String, _ values: JinjaValue, _ line: Int) throws(UserError) -> String {
        var rest: [JinjaValue]
        if case .tuple(let elements) = values { rest = elements } else { rest = [values] }
        var text = ""
        var scalars = Array(string.unicodeScalars)[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%" else {
                text.unicodeScalars.append(scalar)
                continue
            }
            var field = FormatField()
            field.read(&scalars)
            guard let kind = scalars.popFirst() else { throw failure("a format ends with %", line) }
            if kind == "%" {
                text += "%"
                continue
            }
            guard !rest.isEmpty else { throw failure("a format has more fields than values", line) }
            let value = rest.removeFirst()
            switch kind {
            case "s": text += field.padded(field.cut(value.text))
            case "r": text += field.padded(field.cut(value.representation))
            case "d", "i":
                guard let number = value.number, let integer = Int(exactly: number.rounded(.towardZero))
                else {
                    throw failure("%\(kind) needs a number, got \(value.kind)", line)
                }
                var digits = String(integer.magnitude)
                if let least = field.precision, digits.count < least {
                    digits = String(repeating: "0", count: least - digits.count) + digits
                }
                text += field.padded(digits, isNegative: integer < 0)
            case "f":
                guard let number = value.number else {
                    throw failure("%f needs a number, got \(value.kind)", line)
                }
                let digits = Self.fixed(number.magnitude, digits: min(field.precision ?? 6, 17))
                text += field.padded(digits, isNegative: number.sign == .minus)
            default: throw failure("the format %\(kind) is not supported", line)
            }
        }
        return text
    }

    /// A number with a fixed count of digits behind the point, rounded from its exact value as Python does.
    static func fixed(_ number: Double, digits: Int) -> String {
        guard number.isFinite else { return JinjaValue.double(number).text }
        // The largest number has 309 digits before the point.
        var buffer = [CChar](repeating: 0, count: 330 + digits)
        let count = withVaList([Int32(digits), number]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
        return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func dictMethod(
        _ name: String, _ dict: JinjaDict, _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue? {
        switch name {
        case "items": return .view("items", dict.members.map { .tuple([$0.key, $0.value]) })
        case "keys": return .view("keys", dict.members.map(\.key))
        case "values": return .view("values", dict.members.map(\.value))
        case "get":
            guard let key = call.positional.first else { throw failure("get needs a key", call.line) }
            return dict[key] ?? call.argument(1, "default") ?? JinjaValue.none
        case "copy": return .dict(dict)
        case "update", "pop", "setdefault", "clear", "popitem":
            throw failure("a template must not change a dictionary with \"\(name)\"", call.line)
        default: return nil
        }
    }

    private func listMethod(
        _ name: String, _ elements: [JinjaValue], _ call: JinjaFunction.Call
    ) throws(UserError) -> JinjaValue? {
        switch name {
        case "index":
            guard let element = call.positional.first, let index = elements.firstIndex(of: element) else {
                throw failure("the value is not in the list", call.line)
            }
            return .int(index)
        case "count": return .int(elements.filter { $0 == call.positional.first }.count)
        case "copy": return .list(elements)
        case "append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear":
            throw failure("a template must not change a list with \"\(name)\"", call.line)
        default: return nil
        }
    }
}
