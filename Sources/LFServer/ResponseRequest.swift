import LFGeneration
import LFJSON
import LFWorkflows

/// The body of `/v1/responses` in its plain form: text in, text out. It is read as that of a chat.
struct ResponseRequest: Sendable {
    let chat: ChatRequest
    /// What the response repeats of its request.
    let echoed: JSONObject

    /// Fields that chats have by the same name.
    private static let shared = [
        "model", "temperature", "top_p", "stream", "store", "service_tier", "metadata", "user",
        "safety_identifier",
        "prompt_cache_key", "seed", "stop", "do_sample", "top_k", "min_p", "repetition_penalty",
    ]
    /// How chats call what has another name here.
    private static let renamed = [
        ("response_format.json_schema", "text.format"), ("response_format", "text.format"),
        ("max_completion_tokens", "max_output_tokens"), ("messages", "input"),
    ]

    init(_ body: [UInt8], _ format: ChatFormat, _ settings: ServerSettings) throws {
        var fields = try RequestFields(body, of: .response)
        let instructions = try fields.string("instructions")
        var messages = try Self.messages(&fields)
        if let instructions {
            messages.insert(["role": "system", "content": .string(instructions)], at: 0)
        }
        var chat: JSONObject = ["messages": .array(messages)]
        let most = try fields.int("max_output_tokens", 1...Int.max)
        if let most { chat["max_completion_tokens"] = .int(Int64(most)) }
        let text = try Self.textFormat(&fields)
        if let text { chat["response_format"] = Self.chatFormat(text) }
        for name in Self.shared { if let value = fields.value(name) { chat[name] = value } }
        try Self.refuseOthers(&fields)
        try fields.finish()
        do {
            self.chat = try ChatRequest(RequestFields(chat), format, settings)
        } catch {
            throw Self.inWordsOfResponses(APIError(error), isInstructed: instructions != nil)
        }
        let options = self.chat.sampling.options
        echoed = [
            "instructions": instructions.map { .string($0) } ?? .null,
            "max_output_tokens": most.map { .int(Int64($0)) } ?? .null, "metadata": chat["metadata"] ?? [:],
            "parallel_tool_calls": true, "previous_response_id": .null, "store": false,
            "temperature": .double(options.temperature), "text": ["format": text ?? ["type": "text"]],
            "tool_choice": "auto", "tools": [], "top_p": .double(options.topP), "truncation": "disabled",
            "user": chat["user"] ?? .null,
        ]
    }

    /// The conversation as chats have it.
    private static func messages(_ fields: inout RequestFields) throws(APIError) -> [JSONValue] {
        guard let input = fields.value("input") else {
            throw .invalid("input", "`input` is missing.")
        }
        if input.string != nil { return [["role": "user", "content": input]] }
        guard let items = input.array else {
            throw .invalid("input", "`input` must be a string or a list of messages, got \(input.kind).")
        }
        var messages: [JSONValue] = []
        for (index, item) in items.enumerated() {
            guard let members = item.object, members["type"]?.string ?? "message" == "message" else {
                throw .unsupported("input[\(index)]", "`input[\(index)]` must be a message.")
            }
            var message = JSONObject(members.filter { !["type", "id", "status"].contains($0.key) })
            if let parts = members["content"]?.array {
                message["content"] = .array(parts.map(Self.part))
            }
            messages.append(.object(message))
        }
        return messages
    }

    /// A part of a message; kinds other than text are left for the chat to refuse.
    private static func part(_ part: JSONValue) -> JSONValue {
        guard ["input_text", "output_text"].contains(part["type"]?.string ?? ""), let text = part["text"]
        else { return part }
        return ["type": "text", "text": text]
    }

    private static func textFormat(_ fields: inout RequestFields) throws(APIError) -> JSONValue? {
        guard let value = fields.value("text") else { return nil }
        guard let object = value.object else {
            throw .invalid("text", "`text` must be an object, got \(value.kind).")
        }
        var text = RequestFields(object, under: "text")
        let format = text.value("format")
        try text.refuse("verbosity", unless: ["medium"], "Leave it out.")
        try text.finish()
        return format
    }

    /// A schema lies directly in the format here.
    private static func chatFormat(_ format: JSONValue) -> JSONValue {
        guard format["type"]?.string == "json_schema", var members = format.object else { return format }
        members.removeValue(forKey: "type")
        return ["type": "json_schema", "json_schema": .object(members)]
    }

    private static func refuseOthers(_ fields: inout RequestFields) throws(APIError) {
        try fields.refuse("tools", unless: [[]], "Use /v1/chat/completions.")
        try fields.refuse("tool_choice", unless: ["auto", "none"], "Use /v1/chat/completions.")
        try fields.refuse("previous_response_id", "Send the conversation as `input`: nothing is stored.")
        try fields.refuse("conversation", "Send the conversation as `input`: nothing is stored.")
        try fields.refuse("include", unless: [[]], "Leave it out.")
        try fields.refuse("background", unless: [false], "Leave it out.")
        try fields.refuse("truncation", unless: ["disabled"], "Shorten the input.")
        try fields.refuse("top_logprobs", unless: [0], "Use /v1/chat/completions.")
        try fields.refuse("reasoning", "Set `enable_thinking` in the configuration of the server.")
        try fields.refuse("prompt", "Send the text as `input`.")
        _ = try fields.bool("parallel_tool_calls")
    }

    /// - Parameter isInstructed: Whether the instructions stand before the messages of `input`.
    private static func inWordsOfResponses(_ error: APIError, isInstructed: Bool) -> APIError {
        var error = error
        if isInstructed {
            error.message = messagesCountedDown(error.message)
            error.parameter = error.parameter.map(messagesCountedDown)
        }
        for (chat, own) in renamed {
            error.message = error.message.split(separator: chat, omittingEmptySubsequences: false)
                .joined(separator: own)
            if let parameter = error.parameter, parameter.hasPrefix(chat) {
                error.parameter = own + parameter.dropFirst(chat.count)
                break
            }
        }
        return error
    }

    /// A text in which `messages[2]` is `messages[1]`.
    private static func messagesCountedDown(_ text: String) -> String {
        let mark = "messages["
        let parts = text.split(separator: mark, omittingEmptySubsequences: false).map(String.init)
        return parts.enumerated().map { index, part in
            let digits = part.prefix { $0.isNumber }
            guard index > 0, let place = Int(digits), place > 0 else { return part }
            return String(place - 1) + part.dropFirst(digits.count)
        }.joined(separator: mark)
    }
}
