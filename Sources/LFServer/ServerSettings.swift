import LFDiagnostics

/// How a server is reached and what it takes; environment variables, upstream's names.
package struct ServerSettings: Sendable {
    package var host = "0.0.0.0"
    package var port = 8000
    /// What clients must show as bearer; nil lets everybody in.
    package var key: String?
    /// What the model is called.
    package var modelName = "gpt-3.5-turbo"
    /// What the adapters are called that requests may ask for instead (`lora_modules`).
    package internal(set) var adapterNames: [String] = []
    /// Whether requests are logged.
    package var isVerbose = true
    /// Answers that are written at once.
    package var concurrentAnswers = 64
    /// Requests that may wait for their first token.
    package var queueLimit = 256
    /// The greatest body of a request in bytes.
    package var greatestBody = 16 << 20
    /// Seconds that a client may take nothing of its answer before it counts as gone.
    package var readerPatience = 60.0

    package init() {}

    /// - Throws: `UserErrors` for values that cannot be meant.
    package init(environment: [String: String]) throws {
        var errors: [UserError] = []
        func number(_ name: String, _ range: ClosedRange<Int>, _ value: inout Int) {
            guard let text = environment[name], !text.isEmpty else { return }
            guard let number = Int(text), range.contains(number) else {
                errors.append(
                    UserError(
                        .configuration,
                        "\(name) must be between \(range.lowerBound) and \(range.upperBound), got \"\(text)\".",
                        remedy: "Change the environment variable, or unset it."))
                return
            }
            value = number
        }
        func text(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        host = text("API_HOST") ?? host
        number("API_PORT", 0...65535, &port)
        key = text("API_KEY")
        modelName = text("API_MODEL_NAME") ?? modelName
        if let verbose = text("API_VERBOSE")?.lowercased() {
            isVerbose = ["1", "true", "y", "yes"].contains(verbose)
        }
        number("MAX_CONCURRENT", 1...4096, &concurrentAnswers)
        number("API_QUEUE_SIZE", 1...1_000_000, &queueLimit)
        number("API_MAX_BODY", 1024...1 << 30, &greatestBody)
        if let path = text("FASTAPI_ROOT_PATH"), path != "/" {
            errors.append(
                UserError(
                    .configuration, "FASTAPI_ROOT_PATH is not supported, got \"\(path)\".",
                    remedy: "Unset it, and have the proxy strip the path."))
        }
        guard errors.isEmpty else { throw UserErrors(errors) }
    }
}
