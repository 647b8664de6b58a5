import LFDiagnostics
import LFJSON

extension Interpreter {
    func evaluate(_ expression: Expression, _ scope: Scope, _ line: Int) throws(UserError) -> JinjaValue {
        switch expression {
        case .literal(let value): return value
        case .name(let name): return scope.value(name) ?? .undefined(name)
        case .list(let elements):
            var values: [JinjaValue] = []
            for element in elements { values.append(try evaluate(element, scope, line)) }
            return .list(values)
        case .tuple(let elements):
            var values: [JinjaValue] = []
            for element in elements { values.append(try evaluate(element, scope, line)) }
            return .tuple(values)
        case .dict(let members):
            var dict = JinjaDict()
            for (key, value) in members {
                dict[try evaluate(key, scope, line)] = try evaluate(value, scope, line)
            }
            return .dict(dict)
        case .attribute(let base, let name):
            return try attribute(
                name, of: try evaluate(base, scope, line), describedAs: Self.description(base), line)
        case .item(let base, let index):
            return try item(
                try evaluate(index, scope, line), of: try evaluate(base, scope, line),
                describedAs: Self.description(base),
                line)
        case .slice(let base, let start, let stop, let step):
            return try slice(
                try evaluate(base, scope, line), try bound(start, scope, line), try bound(stop, scope, line),
                try bound(step, scope, line), line)
        case .call(let callee, let arguments, let line):
            return try call(callee, arguments, scope, line)
        case .filter(let base, let name, let arguments, let line):
            try countStep(line)
            let value = try evaluate(base, scope, line)
            return try filter(name, value, try evaluated(arguments, scope, line))
        case .test(let base, let name, let arguments, let isNegated, let line):
            let value = try evaluate(base, scope, line)
            return .bool(try test(name, value, try evaluated(arguments, scope, line)) != isNegated)
        case .negative(let operand):
            switch try evaluate(operand, scope, line) {
            case .int(let value): return .int(0 &- value)
            case .double(let value): return .double(-value)
            case let value: throw failure("\(value.kind) has no negative", line)
            }
        case .not(let operand): return .bool(!(try evaluate(operand, scope, line).isTrue))
        case .and(let left, let right):
            let value = try evaluate(left, scope, line)
            return value.isTrue ? try evaluate(right, scope, line) : value
        case .or(let left, let right):
            let value = try evaluate(left, scope, line)
            return value.isTrue ? value : try evaluate(right, scope, line)
        case .binary(let symbol, let left, let right, let line):
            return try binary(symbol, try evaluate(left, scope, line), try evaluate(right, scope, line), line)
        case .comparison(let first, let rest):
            var left = try evaluate(first, scope, line)
            for (symbol, operand) in rest {
                let right = try evaluate(operand, scope, line)
                if !(try compare(symbol, left, right, line)) { return .bool(false) }
                left = right
            }
            return .bool(true)
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition, scope, line).isTrue { return try evaluate(value, scope, line) }
            return try otherwise.map { (other) throws(UserError) in try evaluate(other, scope, line) }
                ?? .undefined("")
        }
    }

    private static func description(_ expression: Expression) -> String {
        switch expression {
        case .name(let name): name
        case .attribute(let base, let name): "\(description(base)).\(name)"
        case .item(let base, .literal(let index)): "\(description(base))[\(index.representation)]"
        case .item(let base, _): "\(description(base))[…]"
        default: "the value"
        }
    }

    private func evaluated(
        _ arguments: Expression.Arguments, _ scope: Scope, _ line: Int
    ) throws(UserError) -> JinjaFunction.Call {
        var call = JinjaFunction.Call(line: line)
        for argument in arguments.positional { call.positional.append(try evaluate(argument, scope, line)) }
        if let list = arguments.unpackedList {
            call.positional += try elements(of: try evaluate(list, scope, line), line)
        }
        for (name, value) in arguments.named { call.named.append((name, try evaluate(value, scope, line))) }
        if let dict = arguments.unpackedDict {
            guard case .dict(let members) = try evaluate(dict, scope, line) else {
                throw failure("** needs a dictionary", line)
            }
            for (name, value) in members.members { call.named.append((name.text, value)) }
        }
        return call
    }

    // MARK: Access

    private func attribute(
        _ name: String, of base: JinjaValue, describedAs description: String, _ line: Int
    ) throws(UserError) -> JinjaValue {
        switch base {
        case .dict, .list, .tuple, .string, .markup:
            // As in Python, an attribute is a method first and a member only then.
            if let method = boundMethod(name, of: base) { return method }
            if case .dict(let dict) = base, let value = dict[.string(name)] { return value }
            return .undefined("\(description).\(name)")
        case .namespace(let namespace): return namespace.fields[name] ?? .undefined("\(description).\(name)")
        case .loop(let loop): return loop[name] ?? .undefined("\(description).\(name)")
        case .undefined(let missing):
            throw failure(
                "\"\(missing.isEmpty ? description : missing)\" is undefined, so that it has no \"\(name)\"",
                line)
        default: return .undefined("\(description).\(name)")
        }
    }

    /// What a member lacks may be a method of that name.
    func item(
        _ index: JinjaValue, of base: JinjaValue, describedAs description: String, _ line: Int
    ) throws(UserError) -> JinjaValue {
        let missing = JinjaValue.undefined("\(description)[\(index.representation)]")
        switch base.plain {
        case .dict(let dict):
            if let value = dict[index] { return value }
            return index.isString ? boundMethod(index.text, of: base) ?? missing : missing
        case .namespace(let namespace): return namespace.fields[index.text] ?? missing
        case .list(let elements), .tuple(let elements):
            guard let index = index.integer else {
                return index.isString ? boundMethod(index.text, of: base) ?? missing : missing
            }
            let position = index < 0 ? index + elements.count : index
            return elements.indices.contains(position) ? elements[position] : missing
        case .string(let text):
            guard let index = index.integer else {
                return index.isString ? boundMethod(index.text, of: base) ?? missing : missing
            }
            let scalars = Array(text.unicodeScalars)
            let position = index < 0 ? index + scalars.count : index
            return scalars.indices.contains(position) ? .string(String(scalars[position])) : missing
        case .undefined(let name):
            throw failure(
                "\"\(name.isEmpty ? description : name)\" is undefined, so that it has no item \(index.representation)",
                line)
        default: return missing
        }
    }

    private func bound(_ expression: Expression?, _ scope: Scope, _ line: Int) throws(UserError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, scope, line)
        if value.isNone { return nil }
        guard let bound = value.integer else {
            throw failure("a slice needs integers, got \(value.kind)", line)
        }
        return bound
    }

    private func slice(
        _ base: JinjaValue, _ start: Int?, _ stop: Int?, _ step: Int?, _ line: Int
    ) throws(UserError) -> JinjaValue {
        let step = step ?? 1
        guard step != 0 else { throw failure("a slice's step must not be 0", line) }
        func cut<Element>(_ elements: [Element]) -> [Element] {
            let count = elements.count
            func clamp(_ bound: Int, _ low: Int, _ high: Int) -> Int {
                max(low, min(high, bound < 0 ? bound + count : bound))
            }
            if step > 0 {
                let first = start.map { clamp($0, 0, count) } ?? 0
                let end = stop.map { clamp($0, 0, count) } ?? count
                return first < end ? stride(from: first, to: end, by: step).map { elements[$0] } : []
            }
            let first = start.map { clamp($0, -1, count - 1) } ?? count - 1
            let end = stop.map { clamp($0, -1, count - 1) } ?? -1
            return first > end ? stride(from: first, to: end, by: step).map { elements[$0] } : []
        }
        switch base.plain {
        case .list(let elements): return .list(cut(elements))
        case .tuple(let elements): return .tuple(cut(elements))
        case .string(let text):
            var view = String.UnicodeScalarView()
            view.append(contentsOf: cut(Array(text.unicodeScalars)))
            return .string(String(view))
        case .undefined: return .list([])
        default: throw failure("\(base.kind) cannot be sliced", line)
        }
    }

    // MARK: Calls

    private func call(
        _ callee: Expression, _ arguments: Expression.Arguments, _ scope: Scope, _ line: Int
    ) throws(UserError) -> JinjaValue {
        try countStep(line)
        if case .attribute(let base, let name) = callee {
            let object = try evaluate(base, scope, line)
            if case .loop(let loop) = object {
                let values = try evaluated(arguments, scope, line).positional
                if let result = loop.call(name, values) { return result }
            }
            if case .namespace(let namespace) = object, case .function(let function) = namespace.fields[name]
            {
                return try function.body(try evaluated(arguments, scope, line), self)
            }
            if let result = try method(name, object, try evaluated(arguments, scope, line)) { return result }
            if case .dict(let dict) = object, case .function(let function) = dict[.string(name)] {
                return try function.body(try evaluated(arguments, scope, line), self)
            }
            throw failure("\(object.kind) has no method \"\(name)\"", line)
        }
        let value = try evaluate(callee, scope, line)
        if case .loop(let loop) = value, let recurse = loop.recurse {
            let items = try evaluated(arguments, scope, line).positional.first ?? .undefined("items")
            return .string(try recurse(items))
        }
        guard case .function(let function) = value else {
            if case .undefined(let name) = value { throw failure("there is no function \"\(name)\"", line) }
            throw failure("\(value.kind) cannot be called", line)
        }
        return try function.body(try evaluated(arguments, scope, line), self)
    }

    // MARK: Operators

    private func binary(
        _ symbol: String, _ left: JinjaValue, _ right: JinjaValue, _ line: Int
    ) throws(UserError) -> JinjaValue {
        // Without autoescaping, `~` joins texts as they are.
        if symbol == "+", left.isMarkup || right.isMarkup, left.isString, right.isString {
            return .markup(left.escaped + right.escaped)
        }
        switch (symbol, left.plain, right.plain) {
        case ("~", _, _): return .string(left.text + right.text)
        case ("+", .string(let a), .string(let b)): return .string(a + b)
        case ("+", .list(let a), .list(let b)): return .list(a + b)
        case ("+", .tuple(let a), .tuple(let b)): return .tuple(a + b)
        case ("*", .string(let text), .int(let count)), ("*", .int(let count), .string(let text)):
            guard count < 1 || text.utf8.count <= (64 << 20) / count else {
                throw failure("the text is too long", line)
            }
            return .string(String(repeating: text, count: max(0, count)))
        case ("*", .list(let elements), .int(let count)), ("*", .int(let count), .list(let elements)):
            guard count < 1 || elements.count <= 1_000_000 / count else {
                throw failure("the list is too long", line)
            }
            return .list((0..<max(0, count)).flatMap { _ in elements })
        case ("%", .string(let text), _): return .string(try formatted(text, right, line))
        default: break
        }
        if let a = left.integer, let b = right.integer { return try integers(symbol, a, b, line) }
        guard let a = left.number, let b = right.number else {
            throw failure("\(left.kind) \(symbol) \(right.kind) has no meaning", line)
        }
        switch symbol {
        case "+": return .double(a + b)
        case "-": return .double(a - b)
        case "*": return .double(a * b)
        case "**": return .double(Self.power(a, b))
        default:
            guard b != 0 else { throw failure("a division by zero", line) }
            switch symbol {
            case "/": return .double(a / b)
            case "//": return .double((a / b).rounded(.down))
            default: return .double(a - b * (a / b).rounded(.down))
            }
        }
    }

    private func integers(_ symbol: String, _ a: Int, _ b: Int, _ line: Int) throws(UserError) -> JinjaValue {
        let result: (partialValue: Int, overflow: Bool)
        switch symbol {
        case "+": result = a.addingReportingOverflow(b)
        case "-": result = a.subtractingReportingOverflow(b)
        case "*": result = a.multipliedReportingOverflow(by: b)
        case "**":
            guard b >= 0 else { return .double(Self.power(Double(a), Double(b))) }
            let power = Self.power(Double(a), Double(b))
            guard power.magnitude < 1e15 else { throw failure("the number is too large", line) }
            return .int(Int(power))
        default:
            guard b != 0 else { throw failure("a division by zero", line) }
            if symbol == "/" { return .double(Double(a) / Double(b)) }
            guard !(a == .min && b == -1) else { throw failure("the number is too large", line) }
            // Python rounds down and gives the remainder the divisor's sign.
            let (quotient, remainder) = a.quotientAndRemainder(dividingBy: b)
            let isBelow = remainder != 0 && (remainder < 0) != (b < 0)
            return .int(
                symbol == "//" ? (isBelow ? quotient - 1 : quotient) : (isBelow ? remainder + b : remainder))
        }
        guard !result.overflow else { throw failure("the number is too large", line) }
        return .int(result.partialValue)
    }

    private static func power(_ base: Double, _ exponent: Double) -> Double {
        guard exponent == exponent.rounded(), exponent.magnitude < 4096 else { return .nan }
        var value = 1.0
        for _ in 0..<Int(exponent.magnitude) { value *= base }
        return exponent < 0 ? 1 / value : value
    }

    private func compare(
        _ symbol: String, _ left: JinjaValue, _ right: JinjaValue, _ line: Int
    ) throws(UserError) -> Bool {
        switch symbol {
        case "==": return left == right
        case "!=": return left != right
        case "in": return try contains(right, left, line)
        case "not in": return !(try contains(right, left, line))
        default:
            guard let order = Self.order(left, right) else {
                throw failure("\(left.kind) \(symbol) \(right.kind) has no meaning", line)
            }
            switch symbol {
            case "<": return order < 0
            case "<=": return order <= 0
            case ">": return order > 0
            default: return order >= 0
            }
        }
    }

    /// Negative, zero or positive as `a` comes before, with or after `b`; nil where they have no order.
    static func order(_ a: JinjaValue, _ b: JinjaValue) -> Int? {
        if let a = a.number, let b = b.number { return a < b ? -1 : a > b ? 1 : 0 }
        switch (a.plain, b.plain) {
        case (.string(let a), .string(let b)):
            if a.utf8.lexicographicallyPrecedes(b.utf8) { return -1 }
            return b.utf8.lexicographicallyPrecedes(a.utf8) ? 1 : 0
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            for (a, b) in zip(a, b) {
                guard let order = order(a, b) else { return nil }
                if order != 0 { return order }
            }
            return a.count - b.count
        default: return nil
        }
    }

    func contains(_ container: JinjaValue, _ element: JinjaValue, _ line: Int) throws(UserError) -> Bool {
        switch container.plain {
        case .list(let elements), .tuple(let elements), .view(_, let elements):
            return elements.contains(element)
        case .generator(let generator):
            while let next = generator.next() { if next == element { return true } }
            return false
        case .dict(let dict): return dict[element] != nil
        case .string(let text):
            guard case .string(let part) = element.plain else {
                throw failure("\(element.kind) cannot be in a string", line)
            }
            return Scalars.find(part, in: text) != nil
        case .namespace(let namespace): return namespace.fields[element.text] != nil
        case .undefined: return false
        default: throw failure("\(container.kind) holds nothing", line)
        }
    }
}
