import LFDiagnostics
import LFJSON

extension ConversationConverter {
    /// Types of parts that hold text, in OpenAI's two interfaces.
    private static let textTypes: Set = ["text", "input_text", "output_text"]
    /// Words that tell types of parts with media: `image_url`, `input_audio`, `video`, `file`.
    private static let mediaWords = ["image", "video", "audio", "file"]

    /// The text of a message in parts (`[{"type": "text", "text": …}]`): one behind the other, with nothing between them, as
    /// upstream's API server and most chat templates put them together.
    ///
    /// - Throws: A `UserError` without location when a part is not text.
    func text(ofParts parts: [JSONValue], at place: MessagePlace) throws(UserError) -> String {
        var text = ""
        for (index, part) in parts.enumerated() {
            let owner = "part \(index + 1) of \(place)"
            let remedy = #"Write {"type": "text", "text": …}, or the text alone."#
            guard part.object != nil else {
                throw UserError(
                    .failedRun, "\(owner) is \(part.kind) instead of an object.".capitalizedStart,
                    remedy: remedy)
            }
            guard let type = part["type"]?.string else {
                throw UserError(.failedRun, "\(owner) has no \"type\".".capitalizedStart, remedy: remedy)
            }
            guard Self.textTypes.contains(type) else {
                let isMedium = Self.mediaWords.contains { type.contains($0) }
                throw UserError(
                    .failedRun,
                    "\(owner) has the type \"\(type)\", and models here take text only.".capitalizedStart,
                    remedy: isMedium ? "Choose text data, or take the row out." : remedy)
            }
            guard let piece = part["text"]?.string else {
                let found = part["text"].map { "\($0.kind) instead of text" } ?? "nothing"
                throw UserError(
                    .failedRun, "\"text\" of \(owner) holds \(found).", remedy: remedy)
            }
            text += piece
        }
        return text
    }
}

extension String {
    /// The sentence with a capital letter at its start.
    fileprivate var capitalizedStart: String { prefix(1).uppercased() + dropFirst() }
}
