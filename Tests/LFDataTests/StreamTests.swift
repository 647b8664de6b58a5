import Foundation
import LFConfig
import LFData
import LFJSON
import LFStream
import LFTemplate
import LFTokenizer
import Testing

/// Streams that hold texts, one row each.
struct StreamedTexts: ~Copyable {
    let folder: DataFolder

    /// The numbers from 0 through datasets `d0`, `d1`, … of these lengths, one to a row.
    init(numbered lengths: [Int]) throws {
        var start = 0
        var files: [String: String] = [:]
        for (index, length) in lengths.enumerated() {
            files["\(index).jsonl"] = (start..<start + length).map { "{\"text\": \"\($0)\"}\n" }.joined()
            start += length
        }
        let entries = lengths.indices.map {
            #""d\#($0)": {"file_name": "\#($0).jsonl", "columns": {"prompt": "text"}}"#
        }
        folder = try DataFolder(info: "{\(entries.joined(separator: ","))}", files: files)
    }

    borrowing func load(datasets count: Int, _ overrides: [String] = []) throws -> (DatasetModule, Tokenizer)
    {
        let model = TrainingGolden.folder + "/models/tiny_llama"
        let names = (0..<count).map { "d\($0)" }.joined(separator: ",")
        let arguments = [
            "model_name_or_path=\(model)", "stage=pt", "do_train=true", "finetuning_type=full",
            "packing=false", "streaming=true", "max_steps=9", "dataset=\(names)",
            "dataset_dir=\(folder.path)", "output_dir=\(folder.path)/out", "cutoff_len=64",
        ]
        let config = try resolveConfig(arguments: arguments + overrides)
        let setup = try TemplateSetup(
            config.data, tokenizer: Tokenizer.load(directory: model), rendersConversations: false)
        let module = try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
        return (module, setup.tokenizer)
    }

    /// The texts of the next examples, to the end of the pass.
    static func texts(_ cursor: ExampleStream.Cursor, _ tokenizer: Tokenizer) throws -> [String] {
        var texts: [String] = []
        while let example = try cursor.next() { texts.append(text(example, tokenizer)) }
        return texts
    }

    static func text(_ example: Example, _ tokenizer: Tokenizer) -> String {
        tokenizer.decode(example.sequences[0].inputIDs, skipSpecialTokens: true)
    }
}

@Suite struct StreamOrderTests {
    /// `streaming.json` holds what `IterableDataset` of datasets 4.0 handed out (`Tools/datasets/record_stream_orders.py`).
    static let recorded =
        (try? JSONValue.read(path: TrainingGolden.folder + "/../streaming.json"))?["cases"]?.array ?? []

    @Test func thereAreCases() { #expect(Self.recorded.count == 18) }

    @Test(arguments: recorded.indices) func rowsComeAsRecorded(_ number: Int) throws {
        let recorded = Self.recorded[number]
        // Several files of one dataset change places only where they are a hub's.
        guard recorded["files"]?.bool == false else { return }
        let lengths = try integers(recorded["lengths"])
        let probabilities = try #require(recorded["probabilities"]?.array).compactMap(\.double)
        let heldOut = try #require(recorded["held_out"]?.int)
        var overrides = [
            "mix_strategy=\(try #require(recorded["strategy"]?.string))",
            "seed=\(try #require(recorded["seed"]?.int))",
            "buffer_size=\(try #require(recorded["buffer"]?.int))",
        ]
        if !probabilities.isEmpty {
            overrides.append(
                "interleave_probs=\(probabilities.map { "\($0)" }.joined(separator: ","))")
        }
        if heldOut > 0 { overrides.append("val_size=\(heldOut)") }
        let folder = try StreamedTexts(numbered: lengths)
        let (module, tokenizer) = try folder.load(datasets: lengths.count, overrides)
        if heldOut > 0 {
            let kept = module.eval[0].examples.map { Int(StreamedTexts.text($0, tokenizer)) }
            #expect(try kept == integers(recorded["validation"]))
        }
        let stream = try #require(module.stream)
        for pass in try #require(recorded["passes"]?.array) {
            let cursor = try stream.cursor(at: .init(pass: try #require(pass["pass"]?.int)))
            let order = try StreamedTexts.texts(cursor, tokenizer).map { try #require(Int($0)) }
            #expect(order.count == pass["count"]?.int)
            if pass["order"] != nil {
                #expect(try order == integers(pass["order"]))
            } else {
                #expect(try Array(order.prefix(16)) == integers(pass["first"]))
                #expect(try Array(order.suffix(16)) == integers(pass["last"]))
                let sum = order.enumerated().reduce(0) { $0 + $1.offset * $1.element }
                #expect(sum % 1_000_003 == pass["checksum"]?.int)
            }
        }
    }

    private func integers(_ value: JSONValue?) throws -> [Int] {
        try #require(value?.array).map { try #require($0.int) }
    }

    /// NumPy 2.4.6: `default_rng(42).integers(0, limit, size=n)`.
    @Test func integersAreNumPys() {
        var generator = NumPyGenerator(seed: 42)
        #expect(generator.integers(12, below: 10) == [0, 7, 6, 4, 4, 8, 0, 6, 2, 0, 5, 9])
        generator = NumPyGenerator(seed: 42)
        #expect(generator.integers(3, below: 1) == [0, 0, 0])
        #expect(generator.integers(5, below: 1_048_583) == [93587, 811557, 686372, 460200, 454052])
        var list = Array(0..<5)
        generator.shuffle(&list)
        #expect(list == [0, 3, 4, 1, 2])
    }

    @Test func eachOnceEndsWhenAllAreUsedUp() throws {
        let folder = try StreamedTexts(numbered: [2, 5, 3])
        let (module, tokenizer) = try folder.load(
            datasets: 3, ["mix_strategy=interleave_once", "buffer_size=1"])
        let cursor = try #require(module.stream).cursor()
        #expect(
            try StreamedTexts.texts(cursor, tokenizer)
                == ["0", "2", "7", "1", "3", "8", "4", "9", "5", "6"])
    }

    /// A later pass has another order, but never the rows of the validation set, wherever they stand.
    @Test func heldOutRowsStayOut() throws {
        let folder = try StreamedTexts(numbered: [40])
        let (module, tokenizer) = try folder.load(datasets: 1, ["val_size=10", "buffer_size=7"])
        let kept = Set(module.eval[0].examples.map { StreamedTexts.text($0, tokenizer) })
        let cursor = try #require(module.stream).cursor()
        var orders: [[String]] = []
        for _ in 0..<3 {
            orders.append(try StreamedTexts.texts(cursor, tokenizer))
            try cursor.startNextPass()
        }
        #expect(kept.count == 10 && Set(orders).count == 3)
        for order in orders {
            #expect(order.count == 30 && Set(order).isDisjoint(with: kept))
        }
    }

    /// From every point of two passes the rest comes as it would have.
    @Test func everyPositionGoesOnExactly() throws {
        let folder = try StreamedTexts(numbered: [17, 9])
        let (module, tokenizer) = try folder.load(
            datasets: 2,
            ["buffer_size=5", "preprocessing_batch_size=4", "val_size=3", "mix_strategy=interleave_over"])
        let stream = try #require(module.stream)
        let cursor = try stream.cursor()
        var visited: [(position: ExampleStream.Position, text: String?)] = []
        for _ in 0..<2 {
            while true {
                let position = cursor.position
                let example = try cursor.next()
                visited.append((position, example.map { StreamedTexts.text($0, tokenizer) }))
                if example == nil { break }
            }
            try cursor.startNextPass()
        }
        try #require(visited.count > 50)
        for (number, visit) in visited.enumerated() {
            let resumed = try stream.cursor(at: visit.position)
            for later in visited[number...] {
                let text = try resumed.next().map { StreamedTexts.text($0, tokenizer) }
                #expect(text == later.text)
                guard text != nil else { break }
            }
        }
    }
}
