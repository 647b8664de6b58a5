import LFDiagnostics

/// Reads `new_special_tokens_config`, and checks the tokens that are to be added.
func readNewTokens(_ arguments: inout ArgumentValues) {
    if let path = arguments.optionalString("new_special_tokens_config") {
        do {
            let (tokens, problems) = try describedTokens(
                path: expandingHome(path),
                needsDescriptions: arguments.string("init_special_tokens") != "noise_init")
            for problem in problems { arguments.report(problem) }
            arguments.describedTokens = tokens
            if !arguments.isNull("add_special_tokens") {
                arguments.warn(
                    "The tokens of `new_special_tokens_config` take the place of `add_special_tokens`. Keep one of them."
                )
            }
        } catch {
            arguments.report(error)
        }
    } else if arguments.string("init_special_tokens") != "noise_init" {
        arguments.warn(
            "`init_special_tokens: \(arguments.string("init_special_tokens"))` needs `new_special_tokens_config`: without it `noise_init` is used."
        )
        arguments.set("init_special_tokens", .string("noise_init"))
    }
    reportRepeats(&arguments)
}

/// Reports tokens that are named more than once.
private func reportRepeats(_ arguments: inout ArgumentValues) {
    let special = arguments.describedTokens?.map(\.token) ?? arguments.names("add_special_tokens")
    // By bytes: strings that only look alike are different tokens.
    var seen: [[UInt8]: String] = [:]
    for (name, tokens) in [("add_tokens", arguments.names("add_tokens")), ("add_special_tokens", special)] {
        let place =
            name == "add_tokens" || arguments.describedTokens == nil ? name : "new_special_tokens_config"
        for token in tokens {
            guard let earlier = seen.updateValue(place, forKey: Array(token.utf8)) else { continue }
            arguments.report(
                earlier == place
                    ? "\(place) names the token \(quoted(token)) twice."
                    : "The token \(quoted(token)) is in both \(earlier) and \(place).",
                at: [place, earlier], remedy: "Name it once.")
        }
    }
}

/// The tokens of a file with what they mean, and what is wrong with single ones.
///
/// - Parameter needsDescriptions: Whether a token without a description is an error.
/// - Throws: `UserError` when the file cannot be read or is not a mapping.
private func describedTokens(
    path: String, needsDescriptions: Bool
) throws(UserError) -> (tokens: [ModelArguments.TokenDescription], problems: [UserError]) {
    let advice = "Write one token and its description per line, such as `\"<think>\": begins a thought`."
    let file = try ConfigurationFile(
        path: path,
        content: .init(
            subject: "The new_special_tokens_config", advice: advice, emptyFileAdvice: advice,
            entries: "tokens"))
    var tokens: [ModelArguments.TokenDescription] = []
    var problems = file.problems
    for entry in file.entries {
        let location = entry.value.line.map { "\(path):\($0)" } ?? path
        func report(_ problem: String) {
            problems.append(UserError(.configuration, problem, at: location, remedy: advice))
        }
        guard !entry.name.isEmpty else {
            report("The token is empty.")
            continue
        }
        guard case .scalar(let text, let isPlain) = entry.value.content else {
            report(
                "The description of \(quoted(entry.name)) must be text, got \(entry.value.spelling).")
            continue
        }
        let isMissing = isPlain && resolvePlainScalar(text) == .null || text.trimmingSpaces().isEmpty
        if isMissing, needsDescriptions { report("The token \(quoted(entry.name)) has no description.") }
        tokens.append(.init(token: entry.name, text: isMissing ? "" : text))
    }
    return (tokens, problems)
}
