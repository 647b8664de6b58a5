import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFTemplate
import LFTokenizer
import Testing

/// A hundred damaged rows of each format and stage: none is learned from, and each is named with its file and line.
@Suite struct DamagedRowTests {
    enum Format: String, Sendable, CaseIterable { case alpaca, sharegpt, openai }

    struct Kind: Sendable, CustomTestStringConvertible {
        var format: Format
        var stage: String
        var testDescription: String { "\(format.rawValue), \(stage)" }

        var isChat: Bool { format != .alpaca }
        private var tags: (role: String, content: String, user: String, model: String) {
            format == .openai
                ? ("role", "content", "user", "assistant") : ("from", "value", "human", "gpt")
        }

        var info: String {
            var columns =
                isChat
                ? #""messages": "m", "system": "s", "tools": "t""#
                : #""prompt": "q", "query": "x", "response": "a", "history": "h", "system": "s""#
            if stage == "dpo" { columns += #", "chosen": "c", "rejected": "r""# }
            if stage == "kto" { columns += #", "kto_tag": "k""# }
            let tags =
                format == .openai
                ? #", "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}"#
                : ""
            return
                #"{"d": {"file_name": "d.jsonl", "formatting": "\#(format.rawValue)", "ranking": \#(stage == "dpo"), "columns": {\#(columns)}\#(tags)}}"#
        }

        func message(_ role: String, _ text: String) -> JSONValue {
            .object([tags.role: .string(role), tags.content: .string(text)])
        }

        /// A row with nothing wrong.
        var good: JSONValue {
            var row: JSONObject = [:]
            if isChat {
                var messages = [
                    message(tags.user, "one"), message(tags.model, "two"), message(tags.user, "three"),
                ]
                if stage != "dpo" { messages.append(message(tags.model, "four")) }
                row["m"] = .array(messages)
                row["t"] = .string("[]")
                row["c"] = message(tags.model, "five")
                row["r"] = message(tags.model, "six")
            } else {
                row["q"] = .string("one")
                row["x"] = .string("two")
                row["a"] = .string("three")
                row["h"] = .array([.array([.string("four"), .string("five")])])
                row["c"] = .string("six")
                row["r"] = .string("seven")
            }
            row["s"] = .string("eight")
            row["k"] = .bool(true)
            if stage != "dpo" { (row["c"], row["r"]) = (nil, nil) }
            if stage != "kto" { row["k"] = nil }
            return .object(row)
        }

        /// Ways to a value that the row cannot do without, and what is wrong there.
        private var damages: [(path: [String], values: [JSONValue?])] {
            let numbers: [JSONValue?] = [
                .int(5), .double(0.5), .bool(true), .bigInteger("123456789012345678901"),
            ]
            let lists: [JSONValue?] = [
                .array([]), .array([.string("a")]), .object([:]), .object(["a": .int(1)]),
            ]
            let notText = numbers + lists
            let noVerdict: [JSONValue?] =
                [nil, .null, .int(1), .int(0), .double(1), .string("true"), .string("")] + lists
            guard isChat else {
                var all: [([String], [JSONValue?])] = [
                    (["q"], notText), (["x"], notText), (["s"], notText),
                    (["h"], numbers + [.string("a"), .object([:]), .array([.string("a")])]),
                    (["h", "0"], numbers + [.string("a"), .null, .array([]), .array([.string("a")])]),
                    (["h", "0", "1"], notText + [.null]),
                ]
                switch stage {
                case "sft": all.append((["a"], notText + [nil, .null]))
                case "dpo": all += [(["c"], notText + [nil, .null]), (["r"], notText + [nil, .null])]
                case "kto": all += [(["a"], notText + [nil, .null]), (["k"], noVerdict)]
                default: break
                }
                return all
            }
            let notMessage: [JSONValue?] = numbers + [.null, .string("a"), .array([]), .object([:])]
            let notContent: [JSONValue?] = notText + [nil, .null]
            let notRole: [JSONValue?] =
                notText + [nil, .null, .string(""), .string("bot"), .string("USER"), .string(" gpt")]
            let notWeight: [JSONValue?] = [.double(0.5), .int(2), .int(-1), .string("0")] + lists
            var all: [([String], [JSONValue?])] = [
                (["m"], numbers + [nil, .null, .string("a"), .array([]), .object([:])]), (["s"], notText),
                (["t"], [.int(1), .bool(true), .double(2)]), (["m", "1", "weight"], notWeight),
                (["m", "1", "loss"], notWeight),
            ]
            for index in ["0", "1", "2"] {
                all += [
                    (["m", index], notMessage), (["m", index, tags.content], notContent),
                    (["m", index, tags.role], notRole + [.string("system")]),
                ]
            }
            if stage == "dpo" {
                for column in ["c", "r"] {
                    all += [
                        ([column], notMessage + [nil]), ([column, tags.content], notContent),
                        ([column, tags.role], notRole + [.string(tags.user), .string("system")]),
                    ]
                }
            }
            if stage == "kto" { all.append((["k"], noVerdict)) }
            return all
        }

        /// A hundred damaged rows: wrong values in their places, then lines that are no JSON.
        var rows: [String] {
            let good = good
            var rows: [String] = []
            for (path, values) in damages {
                for value in values {
                    rows.append(good.replacing(path[...], by: value).serialized(ensureASCII: false))
                }
            }
            if isChat {
                let messages = good["m"]?.array ?? []
                let wrong: [[JSONValue]] = [
                    Array(messages.dropLast()), messages + [messages[0]], Array(messages.dropFirst()),
                    [messages[0], messages[0]] + messages.dropFirst(2), [messages[1]],
                    messages + messages.suffix(1),
                ]
                for list in wrong {
                    rows.append(good.replacing(["m"], by: .array(list)).serialized(ensureASCII: false))
                }
            }
            rows += ["5", "null", "\"a\"", "[1]", "true", #"{"q": "a", "q": "b"}"#]
            // Every damage counts once; of lines that are cut there are as many as are missing.
            var seen: Set<String> = []
            rows = rows.filter { seen.insert($0).inserted }
            let text = good.serialized(ensureASCII: false)
            for length in stride(from: 1, to: text.count, by: max(1, text.count / 60)) {
                rows.append(String(text.prefix(length)))
            }
            return Array(rows.prefix(max(100, rows.count - 60)))
        }
    }

    static let kinds = Format.allCases.flatMap { format in
        ["sft", "dpo", "kto", "pt"].map { Kind(format: format, stage: $0) }
    }

    private static let model = TrainingGolden.folder + "/models/tiny_llama"
    private static let setup = try? TemplateSetup(
        resolveConfig(arguments: arguments("sft", "/tmp")).data,
        tokenizer: Tokenizer.load(directory: model))

    private static func arguments(_ stage: String, _ path: String) -> [String] {
        [
            "model_name_or_path=\(model)", "stage=\(stage)", "do_train=true", "finetuning_type=full",
            "template=llama3", "dataset=d", "dataset_dir=\(path)", "output_dir=\(path)/out", "cutoff_len=64",
            "packing=false",
        ]
    }

    @Test(arguments: kinds) func eachIsNamedWithItsFileAndLine(kind: Kind) throws {
        let setup = try #require(Self.setup)
        let rows = kind.rows
        #expect(rows.count >= 100, "\(rows.count)")
        let good = kind.good.serialized(ensureASCII: false)
        let folder = try DataFolder(info: kind.info, files: [:])
        let path = folder.path + "/d.jsonl"
        let arguments = Self.arguments(kind.stage, folder.path)
        let whole = try resolveConfig(arguments: arguments)
        let streamed = try resolveConfig(
            arguments: arguments + ["streaming=true", "max_steps=1", "buffer_size=1"])
        for (index, row) in rows.enumerated() {
            let line = index % 3 + 2
            var lines = Array(repeating: good, count: 5)
            lines[line - 1] = row
            try folder.write("d.jsonl", Data(lines.joined(separator: "\n").utf8))
            let config = index % 4 == 3 ? streamed : whole
            var said: [String] = []
            var learned = 0
            do {
                let module = try processDatasets(
                    config: config, tokenizer: setup.tokenizer, template: setup.template)
                learned = try (module.train ?? module.stream?.firstExamples() ?? []).count
                said = module.warnings
            } catch let error as UserError {
                said = [error.description]
                learned = 4
            }
            #expect(learned == 4, "\(row): \(learned) rows are learned")
            let places = ["\(path): line \(line):", "\(path):\(line):"]
            #expect(
                said.contains { sentence in
                    places.contains { sentence.hasPrefix($0) }
                        || (sentence.hasPrefix("\(path): dropped 1 of 5 rows")
                            && sentence.hasSuffix(": line \(line)."))
                }, "\(row): \(said)")
        }
    }
}

extension JSONValue {
    /// The value with another one, or none, at a path of keys and indices.
    fileprivate func replacing(_ path: ArraySlice<String>, by value: JSONValue?) -> JSONValue {
        guard let first = path.first else { return value ?? .null }
        let rest = path.dropFirst()
        switch self {
        case .object(var members):
            members[first] =
                rest.isEmpty ? value : (members[first] ?? .null).replacing(rest, by: value)
            return .object(members)
        case .array(var elements):
            guard let index = Int(first), elements.indices.contains(index) else { return self }
            elements[index] = elements[index].replacing(rest, by: value)
            return .array(elements)
        default: return self
        }
    }
}
