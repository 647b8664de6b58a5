import LFJSON

/// The fields of a request's body, or of an object in it, each read once; what nobody reads, or the body's schema lacks, is refused.
struct RequestFields {
    private let object: JSONObject
    /// What errors write before a field's name.
    private let prefix: String
    private var read: Set<String> = []

    /// - Throws: `APIError` for a body that is not a JSON object, or that has a field which the schema does not have.
    init(_ body: [UInt8], of schema: BodySchema) throws(APIError) {
        guard let value = try? JSONValue.parse(body, source: "body") else {
            throw .invalid(nil, "The body is not valid JSON.")
        }
        guard let object = value.object else {
            throw .invalid(nil, "The body must be a JSON object, got \(value.kind).")
        }
        self.init(object)
        if let field = object.keys.first(where: { !schema.has($0) }) { throw unknown(field) }
    }

    /// - Parameter place: The field whose value the object is.
    init(_ object: JSONObject, under place: String? = nil) {
        self.object = object
        prefix = place.map { $0 + "." } ?? ""
    }

    /// A field's value; nil where it is left out or null.
    mutating func value(_ name: String) -> JSONValue? {
        read.insert(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    /// Reads a field that changes nothing here.
    mutating func accept(_ names: String...) { read.formUnion(names) }

    mutating func string(_ name: String) throws(APIError) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw wrong(name, "a string", value) }
        return text
    }

    mutating func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else { throw wrong(name, "true or false", value) }
        return flag
    }

    mutating func int(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = value(name) else { return nil }
        guard let number = value.int ?? value.double.flatMap({ Int(exactly: $0) }) else {
            throw wrong(name, "an integer", value)
        }
        guard range.contains(number) else {
            let bounds =
                range.upperBound == .max
                ? "at least \(range.lowerBound)" : "between \(range.lowerBound) and \(range.upperBound)"
            throw .invalid(prefix + name, "`\(prefix)\(name)` must be \(bounds), got \(number).")
        }
        return number
    }

    mutating func double(_ name: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.double, number.isFinite else { throw wrong(name, "a number", value) }
        guard range.contains(number) else {
            throw .invalid(
                prefix + name,
                "`\(prefix)\(name)` must be between \(range.lowerBound) and \(range.upperBound), got \(number)."
            )
        }
        return number
    }

    mutating func list(_ name: String) throws(APIError) -> [JSONValue]? {
        guard let value = value(name) else { return nil }
        guard let list = value.array else { throw wrong(name, "a list", value) }
        return list
    }

    /// A field that must be left out, null, or one of `harmless`.
    mutating func refuse(_ name: String, unless harmless: [JSONValue] = [], _ remedy: String) throws(APIError)
    {
        guard let value = value(name), !harmless.contains(where: { $0 == value }) else { return }
        throw .unsupported(prefix + name, "`\(prefix)\(name)` is not supported. \(remedy)")
    }

    /// - Throws: `APIError` naming a field that was not read.
    func finish() throws(APIError) {
        if let field = object.keys.first(where: { !read.contains($0) }) { throw unknown(field) }
    }

    private func unknown(_ name: String) -> APIError {
        .invalid(prefix + name, "Unknown field `\(prefix)\(name)`.", code: "unknown_parameter")
    }

    private func wrong(_ name: String, _ wanted: String, _ value: JSONValue) -> APIError {
        .invalid(prefix + name, "`\(prefix)\(name)` must be \(wanted), got \(value.kind).")
    }
}
