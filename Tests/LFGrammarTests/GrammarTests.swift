import Foundation
import LFGrammar
import LFJSON
import Testing

/// Texts and schemas, by hand.
@Suite struct GrammarTests {
    /// Whatever is drawn, token by token, is JSON that obeys the schema.
    @Test(arguments: [
        #"{"type": "object"}"#, #"{}"#, #"true"#, #"{"type": ["string", "null"]}"#,
        #"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]}"#,
        #"{"type": "object", "properties": {"a": {"type": "boolean"}, "ab": {"type": "null"}}, "additionalProperties": {"type": "number"}}"#,
        #"{"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}}"#,
        #"{"type": "object", "required": ["x", "y"], "properties": {"y": {"enum": ["a", "ab", "b", 1, 12, null]}}}"#,
        #"{"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 5}"#,
        #"{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "boolean"}, "minItems": 1}"#,
        #"{"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": false}"#,
        #"{"type": "string", "minLength": 2, "maxLength": 4}"#, #"{"type": "string", "maxLength": 0}"#,
        #"{"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}"#, #"{"type": "string", "pattern": "^x?b+c"}"#,
        #"{"type": "string", "pattern": "^(?:\"\\\\|[^a-z\\s])*$|^x?y$"}"#,
        #"{"type": "string", "format": "date"}"#, #"{"type": "string", "format": "uuid"}"#,
        #"{"type": "string", "format": "ipv4"}"#,
        #"{"type": "integer", "minimum": -12, "maximum": 205}"#,
        #"{"type": "integer", "exclusiveMinimum": 99}"#,
        #"{"type": "number", "minimum": 0, "maximum": 1}"#,
        #"{"type": "number", "exclusiveMinimum": -2.5, "exclusiveMaximum": 10.25}"#,
        #"{"const": {"a": [1, {"b": "\n\""}], "c": 1.5}}"#, #"{"enum": ["red", "réd", [], {"x": null}]}"#,
        #"{"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"k": {"const": "v"}}, "required": ["k"]}]}"#,
        #"{"oneOf": [{"type": "object", "properties": {"t": {"const": "a"}, "v": {"type": "integer"}}, "required": ["t", "v"]}, {"type": "object", "properties": {"t": {"enum": ["b", "c"]}}, "required": ["t"]}, {"type": "null"}]}"#,
        #"{"allOf": [{"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 3}, "b": {"type": "string"}}, "required": ["b"]}]}"#,
        ##"{"$defs": {"node": {"type": "object", "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}, "required": ["value"], "additionalProperties": false}}, "$ref": "#/$defs/node"}"##,
        ##"{"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}"##,
        ##"{"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"type": "boolean"}, {"$ref": "#"}]}}}"##,
        #"{"type": "object", "properties": {"x": {"type": "integer"}}, "anyOf": [{"required": ["x"]}, {"required": ["y"], "properties": {"y": {"type": "string"}}}]}"#,
        #"{"oneOf": [{"const": "auto"}, {"type": "object"}, {"enum": [1, 2.5]}, {"type": "null"}]}"#,
        #"{"type": "object", "oneOf": [{"properties": {"k": {"const": 1}}, "required": ["k"]}, {"properties": {"k": {"const": 2}}, "required": ["k"]}]}"#,
        #"{"properties": {"\u00e9": {"type": "integer"}, "e\u0301": {"type": "null"}}, "required": ["e\u0301"], "additionalProperties": {"type": "string"}}"#,
        #"{"properties": {"quote\"d": {"type": "integer"}, "日": {"type": "integer"}}, "additionalProperties": {"type": "string"}}"#,
    ]) func drawnTextsAreValid(_ schema: String) throws {
        let validator = SchemaValidator(root: try json(schema))
        let automaton = GrammarAutomaton(try grammar(schema), TokenBytes(vocabulary))
        var random = SeededNumbers(state: UInt64(schema.utf8.count))
        var texts: Set<String> = []
        for _ in 0..<40 {
            guard let bytes = try drawn(automaton, &random) else { continue }
            let text = try #require(String(validating: bytes, as: UTF8.self))
            let value = try JSONValue.parse(text, source: "drawn")
            #expect(validator.isValid(value), "\(text)")
            texts.insert(text)
        }
        #expect(!texts.isEmpty)
    }

    /// A mask has the tokens whose bytes can be read, and no others, along whole texts.
    @Test func masksAreWhatCanBeRead() throws {
        let schema =
            #"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}, "n": {"type": "integer"}}, "required": ["name"]}"#
        let automaton = GrammarAutomaton(try grammar(schema), TokenBytes(vocabulary))
        for text in [#"{"name": "é日😀", "n": -12}"#, #"{"name":"\u00e9\"a"}"#] {
            var matcher = try GrammarMatcher(automaton)
            for byte in text.utf8 {
                let mask = try matcher.mask()
                for (id, bytes) in vocabulary.enumerated() {
                    var other = matcher
                    let isAllowed = mask[id / 64] & (1 << UInt64(id % 64)) != 0
                    #expect(try isAllowed == (!bytes.isEmpty && other.read(bytes)), "\(bytes)")
                }
                #expect(try matcher.read([byte]))
            }
            #expect(matcher.isOver)
        }
    }

    @Test func textsAreTakenOrNot() throws {
        let person =
            #"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}}, "required": ["name"], "additionalProperties": false}"#
        let open =
            #"{"type": "object", "properties": {"ab": {"type": "integer"}}, "additionalProperties": {"type": "null"}}"#
        let cases: [(String, [String], [String])] = [
            (
                person,
                [
                    #"{"name": "x"}"#, #"{"name":"x","age":0}"#, "{\n  \"name\": \"x\",\n  \"age\": 12\n}",
                    #" {"name": "\ud83d\ude00 \\ \u0041"}"#,
                ],
                [
                    #"{}"#, #"{"age": 1}"#, #"{"name": "x", "age": -1}"#, #"{"name": "x", "other": 1}"#,
                    #"{"name": "x",}"#, #"{"name": "x"} "#, #"{"name": "\ud83d"}"#, #"{"name": "\x"}"#,
                    "{\"name\": \"a\nb\"}", #"{"name": "x", "age": 01}"#, #"{"name": "x", "name": "y"}"#,
                ]
            ),
            (
                open,
                [#"{}"#, #"{"ab": 1}"#, #"{"a": null, "abc": null, "": null}"#, #"{"ab": 1, "x\n": null}"#],
                [#"{"ab": null}"#, #"{"a": 1}"#, #"{"\u0061b": null}"#, #"{"x": null, "ab": 1}"#]
            ),
            (
                "{\"type\": \"number\"}", ["0", "-0.5", "1e9", "12.25E-3"],
                ["", "01", ".5", "1.", "+1", "1e", "1e999"]
            ),
            (
                #"{"type": "integer", "maximum": 120, "exclusiveMinimum": 8}"#, ["9", "10", "99", "120"],
                ["8", "121", "09", "-9", "1000", "9.0"]
            ),
            (
                #"{"minimum": 0.25, "type": "number", "exclusiveMaximum": 10}"#,
                ["0.25", "0.3", "9.999", "1"], ["0.2", "0.24999", "10", "10.0", "-1", "0"]
            ),
            (
                #"{"type": "string", "pattern": "^a.c$"}"#, [#""abc""#, #""a\"c""#, #""a日c""#],
                [#""ac""#, #""abcd""#, #""a\nc""#]
            ),
            (
                #"{"type": "string", "format": "date-time"}"#, [#""2024-02-29T23:59:59Z""#],
                [#""2023-02-29T23:59:59Z""#, #""2024-04-31T00:00:00Z""#, #""2024-01-01""#]
            ),
            (#"{"type": "string", "format": "email"}"#, [#""a.b@c-d.org""#], [#""a@b""#, #""@c.org""#]),
            (#"{"enum": [1, 12, "1"]}"#, ["1", "12", "\"1\""], ["2", "121", "\"12\""]),
        ]
        for (schema, good, bad) in cases {
            let grammar = try grammar(schema)
            for text in good { #expect(try takes(grammar, text), "\(text) in \(schema)") }
            for text in bad { #expect(try !takes(grammar, text), "\(text) in \(schema)") }
        }
        let object = try AnswerGrammar([.object], thought: nil).grammar()
        #expect(try takes(object, #"{"a": [1, {"b": null}], "c": "d"}"#) && !takes(object, "[1]"))
    }

    /// What cannot be kept to is named with its place.
    @Test func whatCannotBeKeptToIsRefused() throws {
        let cases: [(String, String, String)] = [
            (
                #"{"type": "object", "properties": {"a": {"multipleOf": 3}}}"#, "properties.a.multipleOf",
                "not supported"
            ),
            (#"{"not": {"type": "null"}}"#, "not", "not supported"),
            (##"{"$defs": {"x": {"if": true}}, "$ref": "#/$defs/x"}"##, "$defs.x.if", "not supported"),
            (#"{"type": "array", "uniqueItems": true}"#, "uniqueItems", "not supported"),
            (#"{"type": "object", "patternProperties": {"a": {}}}"#, "patternProperties", "not supported"),
            (##"{"$ref": "https://example.com/x"}"##, "$ref", "#/"),
            (##"{"$ref": "#/$defs/x"}"##, "$ref", "not in"),
            (#"false"#, "", "no value"),
            (##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##, "", "no value"),
            (#"{"type": "integer", "minimum": 3, "maximum": 2}"#, "", "no value"),
            (#"{"type": "array", "minItems": 3, "maxItems": 2}"#, "maxItems", "less than"),
            (#"{"type": "string", "minLength": -1}"#, "minLength", "between"),
            (#"{"type": "text"}"#, "type", "type of JSON"), (#"{"enum": []}"#, "enum", "not empty"),
            (#"{"anyOf": []}"#, "anyOf", "not empty"),
            (#"{"type": "string", "pattern": "(?=a)"}"#, "pattern", "looks around"),
            (#"{"type": "string", "pattern": "(a"}"#, "pattern", "not closed"),
            (#"{"type": "string", "pattern": "a**"}"#, "pattern", "repetition"),
            (#"{"type": "string", "pattern": "\\bx"}"#, "pattern", "not supported"),
            (#"{"type": "string", "pattern": "a", "maxLength": 3}"#, "pattern", "beside"),
            (#"{"type": "string", "format": "hostname"}"#, "format", "uuid"),
            (#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#, "oneOf", "anyOf"),
            // Keywords of another type forbid nothing: a text obeys both.
            (
                #"{"oneOf": [{"properties": {"k": {"const": 1}}, "required": ["k"]}, {"type": "string"}]}"#,
                "oneOf", "anyOf"
            ), (#"{"type": "string", "oneOf": [{"minimum": 3}, {"minLength": 2}]}"#, "oneOf", "anyOf"),
            (#"{"oneOf": [{"const": "a"}, {"type": "string"}]}"#, "oneOf", "anyOf"),
            (#"{"type": "string", "pattern": "a{2}{3}"}"#, "pattern", "repetition"),
            (#"{"enum": ["a"], "minLength": 3}"#, "minLength", "beside enum"),
            (#"{"properties": 3}"#, "properties", "an object"),
            (#"{"required": "a"}"#, "required", "strings"),
            (#"{"minimum": "a"}"#, "minimum", "number"),
            (#"{"items": 3}"#, "items", "an object or a boolean"),
            (
                String(repeating: #"{"items": "#, count: 200) + "true" + String(repeating: "}", count: 200),
                "", "deep"
            ),
        ]
        for (schema, path, words) in cases {
            let error = #expect(throws: SchemaError.self, "\(schema)") { try grammar(schema) }
            #expect(
                error?.path == path && error?.problem.contains(words) == true, "\(String(describing: error))")
        }
    }

    /// A thought comes first, whole, whatever it holds; the schema begins behind it.
    @Test func thoughtsComeFirst() throws {
        let schema = #"{"type": "integer"}"#
        let open = try grammar(schema, thought: .init(opening: "<think>", closing: "</think>", isOpen: true))
        let maybe = try grammar(
            schema, thought: .init(opening: "<think>", closing: "</think>", isOpen: false))
        for text in ["7</think>\n\n12", "<</<</think></think>3"] where text.hasPrefix("7") {
            #expect(try takes(open, text))
        }
        #expect(try takes(open, "{\"a\" </thin</think>5") && !takes(open, "12") && !takes(open, "a</think>b"))
        #expect(
            try takes(maybe, "12") && takes(maybe, "<think>hm</think>12") && !takes(maybe, "hm</think>12"))
    }

    /// Values between the words of a call.
    @Test func framesStandAroundValues() throws {
        let framed = try AnswerGrammar(
            [
                .framed(
                    "<call>f ", try json(#"{"type": "object", "properties": {"a": {"type": "integer"}}}"#),
                    "</call>", place: []),
                .framed(
                    "<call>g ",
                    try json(
                        #"{"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]}"#),
                    "</call>", place: []),
            ], thought: nil
        ).grammar()
        for text in [#"<call>f {}</call>"#, #"<call>f {"a": 1}</call>"#, #"<call>g {"b": null}</call>"#] {
            #expect(try takes(framed, text))
        }
        for text in [#"<call>f {"b": null}</call>"#, #"<call>g {}</call>"#, #"{}"#] {
            #expect(try !takes(framed, text))
        }
    }

    /// However large a schema is, or however long its ways are, it is made or refused.
    @Test func sizesHaveBounds() throws {
        let chain = (0..<2000).map {
            ##""a\##($0)": {"properties": {"x": {"$ref": "#/$defs/a\##($0 + 1)"}}}"##
        }
        let choices = (0..<12).map { _ in
            #"{"anyOf": [{"minLength": 1}, {"minLength": 2}, {"minLength": 3}]}"#
        }
        let long = String(repeating: "n", count: 5000)
        let schemas = [
            ##"{"$ref": "#/$defs/a0", "$defs": {\##(chain.joined(separator: ", ")), "a2000": {}}}"##,
            #"{"enum": ["\#(String(repeating: "e", count: 200_000))"]}"#,
            #"{"type": "string", "allOf": [\#(choices.joined(separator: ", "))]}"#,
            #"{"properties": {"\#(long)": {}}, "additionalProperties": true}"#,
            #"{"oneOf": [\#(Array(repeating: #"{"type": "null"}"#, count: 65).joined(separator: ", "))]}"#,
        ]
        for schema in schemas { #expect(throws: SchemaError.self) { try grammar(schema) } }
        let many = Array(repeating: "{}", count: 12_000).joined(separator: ", ")
        let combined =
            ##"{"oneOf": [{"allOf": [\##(many)]}, {"type": "null"}], "allOf": [{"$ref": "#/oneOf/0"}, {"anyOf": [{}, {}, {}, {}, {}]}]}"##
        #expect(throws: SchemaError.self) { try grammar(combined) }
        // Sets of many characters cost what they hold.
        let letters = String(
            String.UnicodeScalarView((0..<5_000).compactMap { Unicode.Scalar(0x4E00 + 2 * $0) }))
        #expect(try takes(grammar(#"{"type": "string", "pattern": "^[\#(letters)]$"}"#), "\"一\""))
        #expect(try !takes(grammar(#"{"type": "string", "pattern": "^[^\#(letters)]$"}"#), "\"一\""))
        #expect(
            try takes(
                grammar(#"{"required": ["\#(long)"], "properties": {"\#(long)": {}}}"#), "{\"\(long)\": 1}"))
    }

    /// Tables that are full are left, and the text goes on where it was.
    @Test func fullTablesAreLeft() throws {
        let automaton = GrammarAutomaton(
            try grammar(#"{"type": "array", "items": {"type": "string", "maxLength": 30000}}"#),
            TokenBytes(vocabulary))
        var matcher = try GrammarMatcher(automaton)
        #expect(try matcher.read("[\"".utf8))
        for _ in 0..<25_000 { #expect(try matcher.read("a".utf8)) }
        #expect(automaton.isFull)
        #expect(try matcher.mask()[1] & (1 << UInt64(UInt8(ascii: "a") - 64)) != 0)
        #expect(try matcher.read("\", \"b\"]".utf8) && matcher.isOver)
    }

    /// Schemas that would take for ever end with a sentence.
    @Test func ambiguityHasBounds() throws {
        let grammar = try grammar(#"{"type": "string", "pattern": "^((a?){500}){500}$"}"#)
        #expect(throws: (any Error).self) { try takes(grammar, "\"" + String(repeating: "a", count: 600)) }
    }
}
