/// Which of the served models a request asks for: the model itself, or an adapter on it.
struct ServedModel: Sendable {
    let name: String
    /// The named adapter that acts; nil for the model itself.
    let adapter: String?

    /// Reads `model`. One model alone answers to every name, as upstream's server does.
    ///
    /// - Throws: `APIError` where adapters are served and none has the name.
    init(_ fields: inout RequestFields, _ settings: ServerSettings) throws(APIError) {
        if settings.adapterNames.isEmpty {
            fields.accept("model")
            (name, adapter) = (settings.modelName, nil)
        } else {
            self = try ServedModel(named: fields.string("model") ?? settings.modelName, settings)
        }
    }

    /// - Throws: `APIError` for a name that nothing has.
    init(named name: String, _ settings: ServerSettings) throws(APIError) {
        guard name == settings.modelName || settings.adapterNames.contains(name) else {
            throw APIError(
                404, "The model `\(name)` does not exist; /v1/models lists those that do.",
                parameter: "model", code: "model_not_found")
        }
        self.name = name
        adapter = name == settings.modelName ? nil : name
    }
}
