/// The catalogue as a table, one line for each template under a line of headings.
///
/// - Parameter words: Only lines that hold all of them, whatever their case.
package func templateLines(holding words: [String] = []) -> [String] {
    func row(_ template: Template) -> [String] {
        let system = template.defaultSystem.isEmpty ? "" : "default system text"
        let media = template.media == nil ? "" : "media"
        let thinks =
            template.isReasoning
            ? "thinking"
            : TemplateCatalogue.template(named: template.name.withoutSuffix("_nothink")).map {
                $0.isReasoning && $0.name != template.name ? "no thinking" : ""
            } ?? ""
        let tools = template.toolJSON == nil ? template.toolFormat.rawValue : "JSON"
        let end = template.usesEfficientEOS ? "one end token" : ""
        let notes = [end, system, media].filter { !$0.isEmpty }.joined(separator: ", ")
        return [template.name, tools, thinks, notes]
    }
    let headings = ["template", "tool format", "thoughts", "notes"]
    let rows = TemplateCatalogue.all.map(row)
    return tableLines(headings, rows, holding: words)
}

extension String {
    fileprivate func withoutSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
