import LFDiagnostics

/// The arguments after reading and typing: one value for each name of the table, with where it came from and what was wrong.
///
/// A value that could not be read is replaced by its default and remembered as unusable, so that checks of several
/// arguments can leave it out.
struct ArgumentValues {
    private(set) var values: [String: ArgumentValue] = [:]
    private(set) var locations: [String: String] = [:]
    private(set) var given: Set<String> = []
    private var unusable: Set<String> = []
    private(set) var problems: [UserError]
    private(set) var warnings: [String] = []
    let file: String?
    /// The content of `new_special_tokens_config`, in its order.
    var describedTokens: [ModelArguments.TokenDescription]?

    /// The ZeRO stage that `deepspeed` or `fsdp` asks for; nil without them.
    var zeroStage: Int?
    /// What a DeepSpeed file says of losses in float16.
    var lossScaling = LossScaling()
    /// How many processes train together.
    var processCount = 1

    init(_ sources: ArgumentSources, allowsUnknown: Bool) {
        file = sources.file
        problems = sources.problems
        // The last assignment of a name counts; problems keep the order in which the arguments were written.
        var last: [String: Int] = [:]
        for (index, assignment) in sources.assignments.enumerated() { last[assignment.name] = index }
        for (index, assignment) in sources.assignments.enumerated() where last[assignment.name] == index {
            guard let definition = ArgumentCatalogue.byName[assignment.name] else {
                unknown(assignment, isError: !allowsUnknown)
                continue
            }
            given.insert(definition.name)
            locations[definition.name] = assignment.location
            take(assignment, definition)
        }
        for definition in ArgumentCatalogue.all where values[definition.name] == nil {
            values[definition.name] = definition.defaultValue
        }
    }

    subscript(name: String) -> ArgumentValue { values[name] ?? .null }

    mutating func set(_ name: String, _ value: ArgumentValue) { values[name] = value }

    /// Whether the argument was written by the user and could be read.
    func isGiven(_ name: String) -> Bool { given.contains(name) && !unusable.contains(name) }
    func isUsable(_ name: String) -> Bool { !unusable.contains(name) }
    /// Whether the user gave it another value than the default.
    func isChanged(_ name: String) -> Bool {
        isGiven(name) && self[name] != ArgumentCatalogue.byName[name]?.defaultValue
    }

    /// Where the argument was written.
    func location(of name: String) -> String? { locations[name] ?? file }

    mutating func report(_ problem: String, at names: [String], remedy: String) {
        let location = names.compactMap { locations[$0] }.first ?? file
        problems.append(UserError(.configuration, problem, at: location, remedy: remedy))
    }

    mutating func report(_ problem: UserError) { problems.append(problem) }

    mutating func warn(_ message: String) {
        if !warnings.contains(message) { warnings.append(message) }
    }

    private mutating func take(_ assignment: ArgumentAssignment, _ definition: ArgumentDefinition) {
        switch coerce(assignment.value, to: definition) {
        case .success(let value):
            values[definition.name] = value
            if let refusal = refusal(of: value, definition) {
                problems.append(
                    UserError(
                        .configuration, refusal.problem, at: assignment.location, remedy: refusal.remedy))
                if definition.kind == .choice { return }
                values[definition.name] = definition.defaultValue
                unusable.insert(definition.name)
            }
        case .failure(let failure):
            unusable.insert(definition.name)
            let problem =
                definition.isSecret
                ? "\(definition.name) has the wrong type." : "\(definition.name) \(failure.problem)."
            problems.append(
                UserError(
                    .configuration, problem, at: assignment.location,
                    remedy: failure.remedy ?? remedy(definition)))
        }
    }

    private func remedy(_ definition: ArgumentDefinition) -> String {
        definition.defaultValue == .null
            ? "Correct it, or remove the line."
            : "Correct it, or remove it for the default, \(rendered(definition.defaultValue))."
    }

    private func refusal(
        of value: ArgumentValue, _ definition: ArgumentDefinition
    ) -> (problem: String, remedy: String)? {
        if definition.kind == .choice {
            guard case .string(let choice) = value, definition.refusedChoices.contains(choice) else {
                return nil
            }
            let accepted = definition.acceptedChoices
            return (
                "`\(definition.name): \(choice)` is not supported yet.",
                accepted.isEmpty ? "Remove it." : "Use \(spokenList(accepted))."
            )
        }
        guard case .refused(let remedy) = definition.support, !definition.harmlessValues.contains(value)
        else {
            return nil
        }
        let isSwitch = [.null, .bool(false)].contains(definition.defaultValue) || definition.isSecret
        let spelling = isSwitch ? definition.name : "\(definition.name): \(rendered(value))"
        return ("`\(spelling)` is not supported yet.", remedy ?? "Remove it.")
    }

    private mutating func unknown(_ assignment: ArgumentAssignment, isError: Bool) {
        let name = assignment.name
        var remedy = "See `llamafactory-cli train --help` for all arguments."
        if let present = ArgumentCatalogue.formerNames[name] {
            remedy = "It is called \"\(present)\"."
        } else if let near = nearestName(to: name, among: ArgumentCatalogue.all.lazy.map(\.name)) {
            remedy = "Did you mean \"\(near)\"?"
        }
        let error = UserError(
            .configuration, "unknown key \(quoted(name)).", at: assignment.location, remedy: remedy)
        if isError {
            problems.append(error)
        } else {
            warn(
                "\(error.description.dropLast(remedy.count + 1)) It is left out, as ALLOW_EXTRA_ARGS is set.")
        }
    }
}

extension ArgumentValues {
    func bool(_ name: String) -> Bool { if case .bool(let flag) = self[name] { flag } else { false } }
    func optionalBool(_ name: String) -> Bool? { if case .bool(let flag) = self[name] { flag } else { nil } }
    func optionalInt(_ name: String) -> Int? { if case .int(let number) = self[name] { number } else { nil } }
    func int(_ name: String) -> Int { optionalInt(name) ?? 0 }
    func optionalDouble(_ name: String) -> Double? {
        switch self[name] {
        case .double(let number): number
        case .int(let number): Double(number)
        default: nil
        }
    }
    func double(_ name: String) -> Double { optionalDouble(name) ?? 0 }
    func optionalString(_ name: String) -> String? {
        if case .string(let text) = self[name] { text } else { nil }
    }
    func string(_ name: String) -> String { optionalString(name) ?? "" }
    func names(_ name: String) -> [String] {
        guard case .list(let items) = self[name] else { return [] }
        return items.compactMap { if case .string(let text) = $0 { text } else { nil } }
    }
    func numbers(_ name: String) -> [Double] {
        guard case .list(let items) = self[name] else { return [] }
        return items.compactMap { if case .double(let number) = $0 { number } else { nil } }
    }
    func isNull(_ name: String) -> Bool { self[name] == .null }

    /// The case of a closed set; the first argument's table row admits only its raw values.
    func choice<Choice: RawRepresentable>(_ name: String, default fallback: Choice) -> Choice
    where Choice.RawValue == String {
        optionalString(name).flatMap(Choice.init(rawValue:)) ?? fallback
    }
}
