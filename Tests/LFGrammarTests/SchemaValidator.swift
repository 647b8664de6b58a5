import Foundation
import LFJSON

/// Says whether a value obeys a schema, straight from the words of the specification (JSON Schema 2020-12), for the keywords that the tests use.
struct SchemaValidator {
    let root: JSONValue

    func isValid(_ value: JSONValue) -> Bool { isValid(value, root) }

    private func isValid(_ value: JSONValue, _ schema: JSONValue) -> Bool {
        if let flag = schema.bool { return flag }
        guard let object = schema.object else { return false }
        return object.allSatisfy { holds($0.key, $0.value, object, value) }
    }

    private func holds(_ word: String, _ rule: JSONValue, _ schema: JSONObject, _ value: JSONValue) -> Bool {
        let number = value.string == nil ? value.double : nil
        switch word {
        case "type": return (rule.array ?? [rule]).contains { isOf($0.string ?? "", value) }
        case "enum": return rule.array?.contains { $0 == value } ?? false
        case "const": return rule == value
        case "$ref": return isValid(value, target(rule.string ?? ""))
        case "allOf": return rule.array?.allSatisfy { isValid(value, $0) } ?? false
        case "anyOf": return rule.array?.contains { isValid(value, $0) } ?? false
        case "oneOf": return rule.array?.filter { isValid(value, $0) }.count == 1
        case "minimum": return number.map { $0 >= rule.double ?? .nan } ?? true
        case "maximum": return number.map { $0 <= rule.double ?? .nan } ?? true
        case "exclusiveMinimum": return number.map { $0 > rule.double ?? .nan } ?? true
        case "exclusiveMaximum": return number.map { $0 < rule.double ?? .nan } ?? true
        case "minLength": return value.string.map { $0.unicodeScalars.count >= rule.int ?? 0 } ?? true
        case "maxLength": return value.string.map { $0.unicodeScalars.count <= rule.int ?? 0 } ?? true
        case "pattern": return value.string.map { matches($0, rule.string ?? "") } ?? true
        case "format": return value.string.map { isFormatted($0, rule.string ?? "") } ?? true
        case "minItems": return value.array.map { $0.count >= rule.int ?? 0 } ?? true
        case "maxItems": return value.array.map { $0.count <= rule.int ?? 0 } ?? true
        case "prefixItems":
            return value.array.map { zip($0, rule.array ?? []).allSatisfy { isValid($0, $1) } } ?? true
        case "items":
            let count = schema["prefixItems"]?.array?.count ?? 0
            return value.array.map { $0.dropFirst(count).allSatisfy { isValid($0, rule) } } ?? true
        case "required":
            return value.object.map { found in
                rule.array?.allSatisfy { found[$0.string ?? ""] != nil } ?? false
            } ?? true
        case "properties":
            return value.object?.allSatisfy { key, member in
                rule[key].map { isValid(member, $0) } ?? true
            } ?? true
        case "additionalProperties":
            return value.object?.allSatisfy { key, member in
                schema["properties"]?[key] != nil || isValid(member, rule)
            } ?? true
        default: return true
        }
    }

    private func isOf(_ type: String, _ value: JSONValue) -> Bool {
        switch (type, value) {
        case ("null", .null), ("boolean", .bool), ("string", .string), ("array", .array),
            ("object", .object), ("number", .int), ("number", .double), ("integer", .int):
            true
        case ("integer", .double(let number)): number.rounded() == number
        default: false
        }
    }

    private func target(_ reference: String) -> JSONValue {
        var value = root
        for word in reference.dropFirst(2).split(separator: "/") {
            value = value.array != nil ? value[Int(word) ?? -1] ?? false : value[String(word)] ?? false
        }
        return value
    }

    private func matches(_ text: String, _ pattern: String) -> Bool {
        let range = NSRange(text.startIndex..., in: text)
        return (try? NSRegularExpression(pattern: pattern))?.firstMatch(in: text, range: range) != nil
    }

    private func isFormatted(_ text: String, _ format: String) -> Bool {
        switch format {
        case "date":
            let formatter = DateFormatter()
            formatter.locale = Locale(identifier: "en_US_POSIX")
            formatter.timeZone = TimeZone(secondsFromGMT: 0)
            formatter.dateFormat = "yyyy-MM-dd"
            return formatter.date(from: text).map { formatter.string(from: $0) } == text
        case "uuid": return UUID(uuidString: text) != nil
        case "ipv4":
            let parts = text.split(separator: ".")
            return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
        default: return true
        }
    }
}
