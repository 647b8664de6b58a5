package import LFJSON

/// What keeps a published model from being trained here; nil where nothing does.
///
/// - Parameter architectures: The `model_type`s that can be loaded.
package func obstacle(to model: PublishedModel, architectures: Set<String>) -> String? {
    if model.isMultimodal { return "images or sound" }
    if model.isQuantized { return "quantized weights" }
    return architectures.contains(model.architecture) ? nil : "architecture"
}

/// The published models as a table, one line for each under a line of headings.
///
/// - Parameters:
///   - words: Only lines that hold all of them, whatever their case.
///   - architectures: The `model_type`s that can be loaded.
package func modelLines(holding words: [String] = [], architectures: Set<String>) -> [String] {
    let headings = ["model", "repository", "template", "architecture", "works"]
    return tableLines(headings, rows(architectures).map(\.cells), holding: words)
}

/// The same lines as JSON objects, with all repositories.
package func modelObjects(holding words: [String] = [], architectures: Set<String>) -> [JSONValue] {
    rows(architectures).filter { holds($0.cells.joined(separator: "  "), words) }.map { model, _ in
        let why = obstacle(to: model, architectures: architectures)
        func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
        return .object([
            "name": .string(model.name), "template": text(model.template),
            "group_template": text(model.groupTemplate), "architecture": .string(model.architecture),
            "multimodal": .bool(model.isMultimodal), "quantized": .bool(model.isQuantized),
            "works": .bool(why == nil), "missing": text(why),
            "repositories": .object([
                "huggingface": .string(model.huggingFace), "modelscope": text(model.modelScope),
                "openmind": text(model.openMind),
            ]),
        ])
    }
}

private func rows(_ architectures: Set<String>) -> [(model: PublishedModel, cells: [String])] {
    PublishedModels.all.map { model in
        let works = obstacle(to: model, architectures: architectures).map { "no: \($0)" } ?? "yes"
        return (model, [model.name, model.huggingFace, model.template ?? "", model.architecture, works])
    }
}
