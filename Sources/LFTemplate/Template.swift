/// A chat format as data: what stands around the messages of each role, and what it asks of the tokenizer.
public struct Template: Sendable, Equatable {
    /// How messages are put together.
    public enum Kind: Sendable, Equatable {
        /// System text in a turn of its own.
        case plain
        /// System text inside the first user turn (upstream `Llama2Template`).
        case systemInUser
        /// Answers carry a thought, an empty one where there is none (upstream `ReasoningTemplate`).
        case reasoning
        /// As `reasoning`; an empty thought is the closing word only (upstream `Glm47ReasoningTemplate`).
        case reasoningClosingWord
        /// As `plain`; a tool description without system text before it loses its leading line feeds (upstream
        /// `MossVLTemplate`).
        case plainTrimmedTools
    }

    /// A pair of markers around a thought or a tool call.
    public struct Markers: Sendable, Equatable {
        public var opening: String
        public var closing: String

        public init(_ opening: String, _ closing: String) {
            self.opening = opening
            self.closing = closing
        }
    }

    /// What stands around and between the answers of several tools where the observation has one.
    public struct ParallelAnswers: Sendable, Equatable, ExpressibleByStringLiteral {
        public var opening = ""
        public var separator: String
        public var closing = ""

        public init(opening: String, separator: String, closing: String) {
            self.opening = opening
            self.separator = separator
            self.closing = closing
        }

        public init(stringLiteral separator: String) { self.separator = separator }
    }

    public var name: String
    public var kind: Kind
    /// Before everything else.
    public var prefix: Slots
    public var system: Slots
    /// A user's turn with the start of the answer.
    public var user: Slots
    public var assistant: Slots
    /// A tool's answer with the start of the model's.
    public var observation: Slots
    /// How the answers of several tools, called in one turn, are given; nil where the format has no words for that.
    public var parallelAnswers: ParallelAnswers?
    /// A turn that calls tools.
    public var function: Slots
    /// How tools are described and their calls written.
    public var toolFormat: ToolFormat
    /// What stands around the tools' JSON where it is given to the model as it is; nil where it is described.
    public var toolJSON: Slots?
    /// System text when a conversation has none.
    public var defaultSystem: String
    /// Tokens that end an answer besides the end-of-sequence token.
    public var stopWords: [String]
    public var thoughtWords: Markers
    public var toolCallWords: Markers
    /// One end-of-sequence token behind the whole conversation instead of one per answer.
    public var usesEfficientEOS: Bool
    /// The first stop word becomes the end-of-sequence token.
    public var replacesEOS: Bool
    /// The tokenizer's own chat template is replaced by this one.
    public var replacesChatTemplate: Bool
    /// What the format does with images, videos and sounds; nil where it knows text only.
    public var media: MediaPlugin?
    /// Whether a missing thought is learned (true), or given (false, nil); false removes thoughts too.
    public var enableThinking: Bool? = true
    /// Keeps the thoughts of earlier turns.
    public var preservesThinking = false
    /// The day that prompts name as today; nil for the day of rendering.
    public var today: PromptDate?
    /// The model's own Jinja template, which then renders in place of the slots.
    package var own: OwnTemplate?

    /// A catalogue entry; what is left out takes upstream's defaults.
    ///
    /// - Parameters:
    ///   - assistant: By default the answer and an end-of-sequence token, or with `efficientEOS` the answer alone.
    ///   - observation: By default the user's slots.
    ///   - function: By default the assistant's slots.
    public init(
        _ name: String, _ kind: Kind = .plain, prefix: Slots = [], system: Slots = "{{content}}",
        user: Slots = "{{content}}", assistant: Slots? = nil, observation: Slots? = nil,
        parallelAnswers: ParallelAnswers? = nil, function: Slots? = nil,
        tools: ToolFormat = .default, toolJSON: Slots? = nil, defaultSystem: String = "",
        stopWords: [String] = [],
        thoughtWords: Markers = Markers("<think>\n", "\n</think>\n\n"),
        toolCallWords: Markers = Markers("<tool_call>", "</tool_call>"), efficientEOS: Bool = false,
        replacesEOS: Bool = false, replacesChatTemplate: Bool = false, media: MediaPlugin? = nil
    ) {
        let assistant = assistant ?? Self.defaultAnswer(efficientEOS: efficientEOS)
        self.name = name
        self.kind = kind
        self.prefix = prefix
        self.system = system
        self.user = user
        self.assistant = assistant
        self.observation = observation ?? user
        self.parallelAnswers = parallelAnswers
        self.function = function ?? assistant
        self.toolFormat = tools
        self.toolJSON = toolJSON
        self.defaultSystem = defaultSystem
        self.stopWords = stopWords
        self.thoughtWords = thoughtWords
        self.toolCallWords = toolCallWords
        self.usesEfficientEOS = efficientEOS
        self.replacesEOS = replacesEOS
        self.replacesChatTemplate = replacesChatTemplate
        self.media = media
    }

    /// What stands around an answer unless a template says otherwise.
    static func defaultAnswer(efficientEOS: Bool) -> Slots {
        efficientEOS ? "{{content}}" : ["{{content}}", .eos]
    }

    public var isReasoning: Bool { kind == .reasoning || kind == .reasoningClosingWord }

    /// A thought without content.
    public var emptyThought: String {
        kind == .reasoningClosingWord ? thoughtWords.closing : thoughtWords.opening + thoughtWords.closing
    }
}
