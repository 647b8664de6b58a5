/// One argument of the flat namespace: its name, type, default, choices, meaning and whether this program can do it.
///
/// The parser, validation, `--help` and `docs/arguments.md` are all derived from these.
package struct ArgumentDefinition: Sendable {
    /// What a value may look like.
    package enum Kind: Sendable, Equatable {
        case bool
        case int
        case float
        /// A name or path.
        case string
        /// Prose, taken literally: `none` is a word like any other here.
        case text
        /// Several names, written with commas or as a YAML list.
        case names
        /// Several numbers, written with commas or as a YAML list.
        case numbers
        case choice
        /// A mapping, written in YAML, or as JSON text starting with `{`.
        case mapping
        /// A mapping or the path of a file that holds one.
        case mappingOrString
        /// `true`, `false` or a path.
        case boolOrString
    }

    package enum Support: Sendable, Equatable {
        case supported
        /// Accepted, and nothing depends on it here; the help says why.
        case withoutEffect
        /// Refused unless it has its default or another harmless value; the remedy when there is more to say than "Remove it."
        case refused(remedy: String?)
    }

    /// Which of the five argument groups upstream keeps it in, or one that only other commands read.
    package enum Group: String, Sendable, CaseIterable {
        case model, data, finetuning, training, generating, megatron, evaluation
    }

    package var name: String
    package var group: Group
    package var section: String
    package var kind: Kind
    /// Whether `null` is a value.
    package var isOptional: Bool
    package var defaultValue: ArgumentValue
    /// Values that a refused argument may still have, because they ask for what happens anyway.
    package var harmlessValues: [ArgumentValue]
    /// All values of a closed set in upstream's order, those refused included.
    package var choices: [String]
    package var refusedChoices: Set<String>
    package var bounds: NumericBounds
    package var support: Support
    package var help: String

    /// Whether a value must never be printed.
    package var isSecret: Bool {
        name.hasSuffix("_token") || name.hasSuffix("api_key") || name.hasSuffix("_secret")
            || name.hasSuffix("webhook_url")
    }
    /// Whether its items are names of modules, which hold no spaces.
    var namesModules: Bool { name.hasSuffix("_target") || name.hasSuffix("_modules") }
    package var acceptedChoices: [String] { choices.filter { !refusedChoices.contains($0) } }
}

/// The range that a number must lie in.
package struct NumericBounds: Sendable, Equatable {
    package var minimum: Double?
    package var minimumIsExcluded = false
    package var maximum: Double?
    package var maximumIsExcluded = false

    /// Steps, counts and sizes beyond 32 bits are typing errors, and would overflow products of two of them.
    static let largestCount = 2_147_483_647.0

    package init() {}

    package func contains(_ number: Double) -> Bool {
        if let minimum, minimumIsExcluded ? !(number > minimum) : !(number >= minimum) { return false }
        if let maximum, maximumIsExcluded ? !(number < maximum) : !(number <= maximum) { return false }
        return true
    }

    /// "greater than 0", "at least 0 and below 1"; nil without bounds.
    package var phrase: String? {
        var parts: [String] = []
        if let minimum {
            parts.append((minimumIsExcluded ? "greater than " : "at least ") + spelled(minimum))
        }
        if let maximum { parts.append((maximumIsExcluded ? "below " : "at most ") + spelled(maximum)) }
        return parts.isEmpty ? nil : parts.joined(separator: " and ")
    }
}

/// A number as a person writes it: `5e-05`, `0.1`, `3`.
func spelled(_ number: Double) -> String {
    if number == number.rounded(), abs(number) < 1e15 { return String(Int(number)) }
    return String(number)
}
