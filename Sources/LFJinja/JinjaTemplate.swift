public import LFDiagnostics
public import LFJSON

#if canImport(Glibc)
    import Glibc
#endif

/// A Jinja template, as models carry them to say how a chat becomes text.
///
/// Understood is what Jinja 3 understands with the settings of transformers' `apply_chat_template` (`trim_blocks`,
/// `lstrip_blocks`, loop controls, `tojson`, `raise_exception`, `strftime_now`, `generation` blocks), except other
/// files (`include`, `import`, `extends`) and recursive loops, which are refused by name.
public struct JinjaTemplate: Sendable {
    private let statements: [Statement]
    private let name: String

    /// - Parameter name: Names the template in errors.
    /// - Throws: A `UserError` with the line of what cannot be read.
    public init(_ source: String, name: String) throws(UserError) {
        var parser = try JinjaParser(source, name: name)
        statements = try parser.template()
        self.name = name
    }

    /// The text that the template makes of some variables.
    ///
    /// - Parameters:
    ///   - variables: What the template's names stand for.
    ///   - formatTime: What `strftime_now` gives for a format; the present time by default.
    /// - Throws: A `UserError` with the line where rendering failed; the text of `raise_exception` if the template
    ///   called that.
    public func render(
        _ variables: JSONObject, formatTime: @escaping @Sendable (_ format: String) -> String = Self.formatNow
    ) throws(UserError) -> String {
        let interpreter = Interpreter(name: name, formatTime: formatTime)
        return try interpreter.render(statements, variables)
    }

    /// The present local time in a format of `strftime`.
    public static func formatNow(_ format: String) -> String {
        var now = time(nil)
        var parts = tm()
        guard !format.isEmpty, localtime_r(&now, &parts) != nil else { return "" }
        var buffer = [CChar](repeating: 0, count: format.utf8.count * 16 + 64)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
