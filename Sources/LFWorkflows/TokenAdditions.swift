import LFConfig
import LFDiagnostics
import LFModels
import LFTemplate
import LFTokenizer
import Logging

/// A model's tokenizer with the tokens that the arguments add (upstream `load_tokenizer` and `patch_tokenizer`).
struct TokenAdditions {
    let tokenizer: Tokenizer
    /// What was done, for the log.
    private(set) var notes: [String] = []
    /// What a user should know before training.
    private(set) var warnings: [String] = []

    private let arguments: ModelArguments
    /// Whether the models' embeddings must follow the tokenizer.
    private let resizesVocabulary: Bool
    /// Ids that the model's own tokenizer does not have.
    private let newIDs: Set<Int32>

    /// Reads the tokenizer of a folder and adds the arguments' tokens.
    ///
    /// - Throws: `UserError` when the tokenizer cannot be read.
    init(_ arguments: ModelArguments, folder: String) throws {
        self.arguments = arguments
        let known = try Tokenizer.load(directory: folder, splitSpecialTokens: arguments.splitSpecialTokens)
        var tokenizer = known
        var resizes = arguments.resizeVocab
        for (tokens, isSpecial) in [(arguments.addTokens, false), (arguments.addSpecialTokens, true)]
        where !tokens.isEmpty {
            let kind = isSpecial ? "special tokens" : "tokens"
            notes.append("Add \(kind) \(tokens.joined(separator: ",")) to tokenizer's vocabulary.")
            let added = tokens.filter { !tokenizer.hasAddedToken($0, special: isSpecial) }
            let old = added.filter { tokenizer.id(of: $0) != nil }
            if !old.isEmpty {
                let kind = isSpecial ? "special" : "added"
                warnings.append(
                    old.count == 1
                        ? "The tokenizer has the token \(old[0]) already: it keeps its id and is now \(isSpecial ? "a" : "an") \(kind) token."
                        : "The tokenizer has the tokens \(old.joined(separator: ", ")) already: they keep their ids and are now \(kind) tokens."
                )
            }
            tokenizer = try tokenizer.addingTokens(tokens, special: isSpecial)
            if !added.isEmpty, !resizes {
                resizes = true
                warnings.append("New \(kind) have been added, changed `resize_vocab` to True.")
            }
        }
        self.tokenizer = tokenizer
        resizesVocabulary = resizes
        newIDs = Set(
            (arguments.addTokens + arguments.addSpecialTokens).filter { known.id(of: $0) == nil }
                .compactMap { tokenizer.id(of: $0) })
    }

    /// What models need room for, and where the new embeddings start; nil where the vocabulary is left as it is.
    ///
    /// - Parameter tokenizer: This tokenizer with what a template added.
    /// - Throws: `UserError` when a description cannot be tokenized.
    func newTokens(of tokenizer: Tokenizer) throws -> (tokens: NewTokens?, warnings: [String]) {
        guard resizesVocabulary else { return (nil, []) }
        var tokens = NewTokens(idEnd: tokenizer.idEnd, count: newIDs.count)
        guard arguments.newTokenStart != .noise else { return (tokens, []) }
        tokens.addsNoise = arguments.newTokenStart == .descriptionWithNoise
        var descriptions: [NewTokens.Description] = []
        var undescribable: [String] = []
        for description in arguments.tokenDescriptions {
            guard let id = tokenizer.id(of: description.token), newIDs.contains(id) else { continue }
            let words = try tokenizer.encode(description.text).filter { !newIDs.contains($0) }
            if words.isEmpty { undescribable.append(description.token) }
            descriptions.append(.init(id: Int(id), words: words.map { Int($0) }))
        }
        tokens.descriptions = descriptions
        guard !undescribable.isEmpty else { return (tokens, []) }
        let warning =
            "The description of \(undescribable.joined(separator: ", ")) holds no known token: the mean of all embeddings is used."
        return (tokens, [warning])
    }
}

extension ModelLoader {
    /// The template of a run, and its tokenizer; the loader learns of new tokens. What is to be said is logged.
    ///
    /// - Parameters:
    ///   - folder: The model's.
    ///   - rendersConversations: Whether messages are rendered at all; pre-training has texts only.
    mutating func templateSetup(
        folder: String, today: PromptDate, rendersConversations: Bool = true, _ logger: Logger
    ) throws -> TemplateSetup {
        let additions = try TokenAdditions(config.model, folder: folder)
        let setup = try TemplateSetup(
            config.data, tokenizer: additions.tokenizer, model: config.model.modelNameOrPath, today: today,
            rendersConversations: rendersConversations)
        for note in additions.notes + setup.notes { logger.info("\(note)") }
        for warning in additions.warnings + setup.warnings { logger.warning("\(warning)") }
        let growth = try additions.newTokens(of: setup.tokenizer)
        for warning in growth.warnings { logger.warning("\(warning)") }
        newTokens = growth.tokens
        tokenizer = setup.tokenizer
        templateTokens = setup.tokenizer.addedTokens.filter { additions.tokenizer.token(of: $0.id) == nil }
        return setup
    }
}
