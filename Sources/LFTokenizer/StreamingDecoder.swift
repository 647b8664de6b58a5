/// Turns ids into text one by one, for output that appears while a model writes.
///
/// What it hands out is made of whole characters: bytes that may yet become one are kept until they have. All of it
/// together is what `Tokenizer.decode` gives for all ids; only where `<0x..>` tokens spell invalid UTF-8 may characters
/// that were valid until then differ.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    /// Bytes of a character that is not complete.
    private var pending: [UInt8] = []
    /// The ids whose text is compared before and after each new one; unused for GPT-2's byte alphabet.
    private var window: [Int32] = []
    private var windowText = ""
    /// How many ids of the window have been handed out; those after it go on with their text.
    private var windowDone = 0

    /// - Parameter context: Ids that the text goes on from: a word's blank is then part of it, which SentencePiece leaves out where a text
    ///   begins. What both decode to together is the context's text with this one behind it.
    public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool, behind context: [Int32] = []) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = skipSpecialTokens
        guard !tokenizer.decodesBytes else { return }
        // A character that the context leaves half is not waited for: its text is over.
        window = Array(context.suffix(Self.contextLength))
        repeat {
            windowText = tokenizer.decode(window, skipSpecialTokens: skipSpecialTokens)
        } while windowText.unicodeScalars.last == "\u{FFFD}" && window.popLast() != nil
        windowDone = window.count
    }

    /// Ids of a context that may change how those behind it are written.
    private static let contextLength = 16

    /// Takes the next id and returns the text that it completes, which may be empty.
    public mutating func append(_ id: Int32) -> String {
        if tokenizer.decodesBytes {
            tokenizer.appendBytes(of: id, skipSpecialTokens: skipsSpecialTokens, to: &pending)
            let complete = pending.count - Self.incompleteCount(pending)
            defer { pending.removeSubrange(..<complete) }
            return String(decoding: pending[..<complete], as: UTF8.self)
        }
        window.append(id)
        let text = tokenizer.decode(window, skipSpecialTokens: skipsSpecialTokens)
        guard text.utf8.count > windowText.utf8.count,
            !text.unicodeScalars.reversed().starts(with: ["\u{FFFD}"]),
            text.utf8.starts(with: windowText.utf8)
        else { return "" }
        let new = String(decoding: text.utf8.dropFirst(windowText.utf8.count), as: UTF8.self)
        // The ids of the last piece stay: what comes next may depend on what is before it, as spaces do.
        window.removeSubrange(..<windowDone)
        windowDone = window.count
        windowText = tokenizer.decode(window, skipSpecialTokens: skipsSpecialTokens)
        return new
    }

    /// Returns what was kept at the end of the ids, with U+FFFD for what never became a character.
    public mutating func finish() -> String {
        defer {
            pending = []
            window = []
            windowText = ""
            windowDone = 0
        }
        if tokenizer.decodesBytes { return String(decoding: pending, as: UTF8.self) }
        let text = tokenizer.decode(window, skipSpecialTokens: skipsSpecialTokens)
        guard text.utf8.starts(with: windowText.utf8) else { return "" }
        return String(decoding: text.utf8.dropFirst(windowText.utf8.count), as: UTF8.self)
    }

    /// How many bytes at the end are the start of a character that more bytes may complete.
    static func incompleteCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let byte = bytes[bytes.count - count]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte < 0xC2 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 1
            guard length > count else { return 0 }
            // Some second bytes can never follow: then nothing is to be waited for.
            if count > 1 {
                let second = bytes[bytes.count - count + 1]
                switch byte {
                case 0xE0 where second < 0xA0, 0xED where second > 0x9F, 0xF0 where second < 0x90,
                    0xF4 where second > 0x8F:
                    return 0
                default: break
                }
            }
            return count
        }
        return 0
    }
}

/// Ends a text at the first of some strings, although it comes in pieces.
public struct StopStrings: Sendable {
    private let stops: [[UInt8]]
    /// The end of the text so far, which may be the start of a stop string.
    private var kept: [UInt8] = []
    /// Whether a stop string has come: the text is over.
    public private(set) var isStopped = false

    /// Empty strings never stop.
    public init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    /// Takes more text and returns what can be shown: nothing from a stop string on, and nothing that may become one.
    public mutating func append(_ text: String) -> String {
        guard !isStopped else { return "" }
        if stops.isEmpty { return text }
        kept += text.utf8
        if let start = firstStop {
            isStopped = true
            defer { kept = [] }
            return String(decoding: kept[..<start], as: UTF8.self)
        }
        let shown = kept.count - waitingCount
        defer { kept.removeSubrange(..<shown) }
        return String(decoding: kept[..<shown], as: UTF8.self)
    }

    /// Returns what was kept, as no stop string can come any more.
    public mutating func finish() -> String {
        defer { kept = [] }
        return String(decoding: kept, as: UTF8.self)
    }

    private var firstStop: Int? {
        kept.indices.first { start in stops.contains { kept[start...].starts(with: $0) } }
    }

    /// The length of the longest end of the text that a stop string starts with.
    private var waitingCount: Int {
        let longest = (stops.map(\.count).max() ?? 1) - 1
        for count in stride(from: min(longest, kept.count), to: 0, by: -1) {
            let end = kept.suffix(count)
            if stops.contains(where: { $0.count > count && $0.starts(with: end) }) { return count }
        }
        return 0
    }
}
