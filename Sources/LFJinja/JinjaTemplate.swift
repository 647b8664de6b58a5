public import LFDiagnostics
public import LFJSON

#if canImport(Glibc)
    import Glibc
#endif

/// A Jinja template, as models carry them to say how a chat becomes text.
///
/// Understood is what Jinja 3 understands with the settings of transformers' `apply_chat_template` (`trim_blocks`,
/// `lstrip_blocks`, loop controls, `tojson`, `raise_exception`, `strftime_now`, `generation` blocks), except other
/// files (`include`, `import`, `extends`), which are refused by name.
public struct JinjaTemplate: Sendable {
    private let statements: [Statement]
    private let name: String
    /// Whether the template marks what a model is to learn (`{% generation %}`).
    package let marksGeneration: Bool

    /// - Parameter name: Names the template in errors.
    /// - Throws: A `UserError` with the line of what cannot be read.
    public init(_ source: String, name: String) throws(UserError) {
        var parser = try JinjaParser(source, name: name)
        statements = try parser.template()
        self.name = name
        marksGeneration = parser.marksGeneration
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
        try rendering(variables, formatTime: formatTime).text
    }

    /// A text, and the ranges in it that `{% generation %}` blocks wrote, in Unicode scalars, as Python counts.
    package struct Rendering: Sendable, Equatable {
        package var text: String
        package var generated: [Range<Int>]
    }

    /// As `render`, with what the template marks as written by the model.
    package func rendering(
        _ variables: JSONObject,
        formatTime: @escaping @Sendable (_ format: String) -> String = Self.formatNow
    ) throws(UserError) -> Rendering {
        let interpreter = Interpreter(name: name, formatTime: formatTime)
        let text = try interpreter.render(statements, variables)
        return Rendering(text: text, generated: interpreter.generated)
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
