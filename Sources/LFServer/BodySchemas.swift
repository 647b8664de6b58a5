import LFJSON

/// What the bodies of requests hold, in JSON Schema's words. Fields that may only have values that change nothing are named as `neutral`.
extension BodySchema {
    private static func integer(_ least: Int64, _ most: Int64? = nil) -> JSONValue {
        var schema: JSONObject = ["type": "integer", "minimum": .int(least)]
        if let most { schema["maximum"] = .int(most) }
        return .object(schema)
    }

    private static func number(_ least: Double, _ most: Double) -> JSONValue {
        ["type": "number", "minimum": .double(least), "maximum": .double(most)]
    }

    private static let text: JSONValue = ["type": "string"]
    private static let flag: JSONValue = ["type": "boolean"]
    private static let object: JSONValue = ["type": "object"]

    private static let who: [(name: String, schema: JSONValue)] = [
        ("model", text), ("user", text),
    ]

    /// What both kinds of completions are asked with (`SamplingFields`).
    private static let sampling: [(name: String, schema: JSONValue)] = [
        (
            "stop",
            [
                "anyOf": [
                    ["type": "string", "minLength": 1],
                    [
                        "type": "array", "items": ["type": "string", "minLength": 1],
                        "maxItems": .int(Int64(SamplingFields.stopLimits.count)),
                    ],
                ]
            ]
        ), ("n", integer(1, Int64(SamplingFields.greatestSampleCount))),
        ("seed", ["type": "integer", "minimum": .int(.min), "maximum": .int(.max)]), ("stream", flag),
        ("stream_options", ["type": "object", "properties": ["include_usage": flag]]),
        ("temperature", number(0, 100)), ("do_sample", flag), ("top_p", number(0, 1)),
        ("top_k", integer(-1)), ("min_p", number(0, 1)), ("repetition_penalty", number(0.01, 100)),
        ("metadata", object), ("safety_identifier", text), ("prompt_cache_key", text),
    ]

    private static let neutralSampling: Set = [
        "presence_penalty", "frequency_penalty", "logit_bias", "store", "service_tier",
    ]

    private static let message: JSONValue = [
        "type": "object",
        "properties": [
            "role": ["enum": ["system", "developer", "user", "assistant", "tool"]],
            "content": [
                "anyOf": [
                    text, ["type": "null"],
                    [
                        "type": "array",
                        "items": [
                            "type": "object", "properties": ["type": ["const": "text"], "text": text],
                            "required": ["type", "text"],
                        ],
                    ],
                ]
            ], "name": text, "tool_calls": ["type": "array", "items": object], "tool_call_id": text,
            "reasoning_content": text,
        ], "required": ["role"],
    ]

    static let chat = BodySchema(
        fields: [
            ("messages", ["type": "array", "items": message, "minItems": 1]),
            ("max_completion_tokens", integer(1)), ("max_tokens", integer(1)), ("logprobs", flag),
            ("top_logprobs", integer(0, 20)), ("tools", ["type": "array", "items": object]),
            (
                "tool_choice",
                ["anyOf": [["enum": ["none", "auto", "required"]], object]]
            ), ("parallel_tool_calls", flag),
            (
                "response_format",
                [
                    "type": "object",
                    "properties": [
                        "type": ["enum": ["text", "json_object", "json_schema"]], "json_schema": object,
                    ], "required": ["type"],
                ]
            ),
        ] + sampling + who,
        neutral: neutralSampling.union([
            "functions", "function_call", "modalities", "audio", "prediction", "reasoning_effort",
        ]), required: ["messages"])

    /// A text, tokens, or a list of either (`CompletionRequest.texts`).
    private static func texts(_ most: Int) -> JSONValue {
        let tokens: JSONValue = ["type": "array", "items": integer(0), "minItems": 1]
        let count = JSONValue.int(Int64(most))
        return [
            "anyOf": [
                text, tokens, ["type": "array", "items": text, "minItems": 1, "maxItems": count],
                ["type": "array", "items": tokens, "minItems": 1, "maxItems": count],
            ]
        ]
    }

    static let completion = BodySchema(
        fields: [
            ("prompt", texts(CompletionRequest.greatestPromptCount)), ("max_tokens", integer(0)),
            ("echo", flag), ("logprobs", integer(0, 20)),
            ("best_of", integer(1, Int64(SamplingFields.greatestSampleCount))),
        ] + sampling + who, neutral: neutralSampling.union(["suffix", "response_format"]),
        required: ["prompt"])

    static let response = BodySchema(
        fields: [
            ("input", ["anyOf": [text, ["type": "array", "items": message, "minItems": 1]]]),
            ("instructions", text), ("max_output_tokens", integer(1)),
            ("text", ["type": "object", "properties": ["format": object]]), ("parallel_tool_calls", flag),
        ] + sampling.filter { !["n", "stream_options"].contains($0.name) } + who,
        neutral: [
            "store", "service_tier", "tools", "tool_choice", "previous_response_id", "conversation",
            "include",
            "background", "truncation", "top_logprobs", "reasoning", "prompt",
        ], required: ["input"])

    static let embedding = BodySchema(
        fields: [
            ("input", texts(EmbeddingEndpoint.limits.texts)),
            ("encoding_format", ["enum": ["float", "base64"]]), ("dimensions", integer(1, 1 << 20)),
        ] + who, required: ["input"])

    static let score = BodySchema(
        fields: [
            (
                "messages",
                [
                    "type": "array", "items": ["type": "string", "minLength": 1], "minItems": 1,
                    "maxItems": .int(Int64(ScoreService.greatestTextCount)),
                ]
            ), ("max_length", integer(1)), ("model", text),
        ], required: ["messages"])
}
