import LFDiagnostics

extension Interpreter {
    /// Whether `value is name(…)` holds.
    func test(_ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call) throws(UserError) -> Bool {
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none": return value.isNone
        case "true": if case .bool(true) = value { return true } else { return false }
        case "false": if case .bool(false) = value { return true } else { return false }
        case "boolean": if case .bool = value { return true } else { return false }
        case "string": return value.isString
        case "number": return value.number != nil
        case "integer":
            switch value {
            case .int, .bigInteger: return true
            default: return false
            }
        case "float": if case .double = value { return true } else { return false }
        case "mapping": if case .dict = value { return true } else { return false }
        case "callable": if case .function = value { return true } else { return false }
        case "sequence", "iterable":
            switch value {
            case .list, .tuple, .dict, .string, .markup: return true
            case .generator, .view: return name == "iterable"
            case .undefined: return true
            default: return false
            }
        case "lower": return value.text == value.text.lowercased() && value.text != value.text.uppercased()
        case "upper": return value.text == value.text.uppercased() && value.text != value.text.lowercased()
        case "escaped": return value.isMarkup
        case "filter": return Self.filters.contains(value.text)
        default: return try testOperand(name, value, call)
        }
    }

    private func testOperand(
        _ name: String, _ value: JinjaValue, _ call: JinjaFunction.Call
    ) throws(UserError) -> Bool {
        func integer(_ value: JinjaValue) throws(UserError) -> Int {
            guard let integer = value.integer else {
                throw failure("\(name) needs an integer, got \(value.kind)", call.line)
            }
            return integer
        }
        switch name {
        case "odd": return try integer(value) % 2 != 0
        case "even": return try integer(value) % 2 == 0
        default: break
        }
        guard let operand = call.positional.first else {
            throw failure("there is no test \"\(name)\", or it needs a value", call.line)
        }
        switch name {
        case "divisibleby":
            let divisor = try integer(operand)
            guard divisor != 0 else { throw failure("a division by zero", call.line) }
            return try integer(value) % divisor == 0
        case "eq", "equalto", "==": return value == operand
        case "sameas":
            switch (value, operand) {
            case (.none, .none): return true
            case (.bool(let a), .bool(let b)): return a == b
            case (.int(let a), .int(let b)): return a == b
            case (.string, .string), (.namespace, .namespace): return value == operand
            default: return false
            }
        case "ne", "!=": return value != operand
        case "in": return try contains(operand, value, call.line)
        case "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=":
            guard let order = Self.order(value, operand) else {
                throw failure("\(value.kind) and \(operand.kind) have no order", call.line)
            }
            switch name {
            case "lt", "lessthan", "<": return order < 0
            case "le", "<=": return order <= 0
            case "gt", "greaterthan", ">": return order > 0
            default: return order >= 0
            }
        default: throw failure("there is no test \"\(name)\"", call.line)
        }
    }
}
