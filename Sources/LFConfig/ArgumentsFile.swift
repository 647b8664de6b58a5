package import LFJSON

extension ResolvedConfig {
    /// The resolved arguments as YAML that this program and upstream read back, in table order.
    ///
    /// Values at their default are left out, as upstream leaves them out, unless `includingDefaults`. Secrets are never
    /// written: a masked `<HUB_TOKEN>` takes their place.
    public func argumentsYAML(includingDefaults: Bool = false) -> String {
        var text = ""
        for (name, value) in values {
            guard let definition = ArgumentCatalogue.byName[name] else { continue }
            if !includingDefaults, value == definition.defaultValue { continue }
            if definition.isSecret, value != .null {
                text += "\(name): <\(name.uppercased())>\n"
            } else {
                text += "\(name): \(inYAML(value))\n"
            }
        }
        return text
    }
}

extension ArgumentValue {
    /// The value on one line of YAML.
    package var yaml: String { inYAML(self) }

    /// The value as JSON; an infinity, which JSON lacks, becomes text.
    package var json: JSONValue {
        switch self {
        case .null: .null
        case .bool(let value): .bool(value)
        case .int(let value): .int(Int64(value))
        case .double(let value): value.isFinite ? .double(value) : .string(spelledPrecisely(value))
        case .string(let value): .string(value)
        case .list(let items): .array(items.map(\.json))
        case .mapping(let pairs): .object(JSONObject(pairs.map { (key: $0.0, value: $0.1.json) }))
        }
    }
}

extension ResolvedConfig {
    /// The resolved arguments of a group as JSON, in table order; secrets are masked as in `argumentsYAML`.
    package func argumentsJSON(of group: ArgumentDefinition.Group) -> JSONObject {
        var object = JSONObject()
        for (name, value) in values {
            guard let definition = ArgumentCatalogue.byName[name], definition.group == group else { continue }
            object[name] =
                definition.isSecret && value != .null ? .string("<\(name.uppercased())>") : value.json
        }
        return object
    }
}

/// A value on one line of YAML, quoted where a plain spelling would mean something else.
private func inYAML(_ value: ArgumentValue) -> String {
    switch value {
    case .null, .bool, .int: rendered(value)
    case .double(let number): yamlNumber(number)
    case .string(let text): yamlText(text)
    case .list(let items): commaList(items) ?? "[" + items.map(inYAML).joined(separator: ", ") + "]"
    case .mapping(let pairs):
        "{" + pairs.map { "\(yamlText($0.0)): \(inYAML($0.1))" }.joined(separator: ", ") + "}"
    }
}

/// Names as upstream splits them; nil where one holds a comma.
private func commaList(_ items: [ArgumentValue]) -> String? {
    var names: [String] = []
    for item in items {
        guard case .string(let name) = item, !name.contains(",") else { return nil }
        names.append(name)
    }
    return names.isEmpty ? nil : yamlText(names.joined(separator: ","), allowsComma: true)
}

/// YAML 1.1 takes `1e-05` for text: a float with an exponent needs its dot.
private func yamlNumber(_ number: Double) -> String {
    if number == number.rounded(), abs(number) < 1e15 { return String(Int(number)) }
    let text = spelledPrecisely(number)
    guard let exponent = text.firstIndex(of: "e"), !text.contains(".") else { return text }
    return text[..<exponent] + ".0" + text[exponent...]
}

private func yamlText(_ text: String, allowsComma: Bool = false) -> String {
    let isSafe = text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x2F, 0x5F, 0x2D: true
        case 0x2C: allowsComma
        default: false
        }
    }
    if isSafe, text.utf8.first != 0x2D, case .string = resolvePlainScalar(text) { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": quoted += "\\\""
        case "\\": quoted += "\\\\"
        case "\n": quoted += "\\n"
        case "\t": quoted += "\\t"
        case "\r": quoted += "\\r"
        default:
            if scalar.value < 0x20 || scalar.value == 0x7F {
                let hex = String(scalar.value, radix: 16)
                quoted += "\\x" + String(repeating: "0", count: 2 - hex.count) + hex
            } else {
                quoted.unicodeScalars.append(scalar)
            }
        }
    }
    return quoted + "\""
}
