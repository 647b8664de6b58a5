import Foundation
import Synchronization
import Testing

/// Several runs tokenize the same data into the same cache at once, and one of them is killed in the middle of it.
@Suite struct SharedCacheTests {
    /// When the one run dies.
    enum Moment: Sendable, CaseIterable {
        /// It has begun, and written nothing yet.
        case reading
        /// Part of its file is on disk.
        case writing
    }

    /// How each run ended, by its number.
    private final class Ended: Sendable {
        let values = Mutex<[Int: Program.Outcome]>([:])
    }

    /// A folder of data, large enough to be cached, and of the cache.
    private static func makeSource() throws -> Workplace {
        let source = try Workplace()
        let rows = (0..<20_000).map { row in
            #"{"instruction": "Question \#(row) of \#(row * 7919 % 10_007)", "input": "", "output": "\#(String(repeating: "answer \(row % 97) ", count: 8))"}"#
        }
        try source.write(rows.joined(separator: "\n"), to: "data/many.jsonl")
        try source.write(#"{"many": {"file_name": "many.jsonl"}}"#, to: "data/dataset_info.json")
        return source
    }

    private static func settings(_ source: Workplace) -> [String: String?] {
        shortRun.with([
            "dataset": "many", "dataset_dir": source.path + "/data", "max_samples": nil, "max_steps": "1",
            "overwrite_cache": nil,
        ])
    }

    private static func cached(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder + "/datasets")) ?? []).sorted()
    }

    /// The process that works in a folder and writes, if there is one.
    private static func isWriting(from place: String, into folder: String) -> Bool {
        cached(in: folder).contains { name in
            guard let marker = name.range(of: ".tmp-"),
                let process = name[marker.upperBound...].split(separator: "-").first
            else { return false }
            let found = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd")
            return found == place
        }
    }

    @Test(arguments: Moment.allCases)
    func aKilledRunHarmsNeitherTheOthersNorTheCache(_ moment: Moment) throws {
        let source = try Self.makeSource()
        let settings = Self.settings(source)
        let alone = try Workplace()
        let expected = try alone.train(settings, environment: ["LLAMAFACTORY_CACHE": source.path + "/alone"])
        #expect(expected.status == 0, "\(expected.log)")
        let files = Self.cached(in: source.path + "/alone")
        let file = try #require(files.first)
        #expect(files.count == 1 && file.hasSuffix(".tokens"))
        let content = try source.bytes("alone/datasets/" + file)

        // The moment of writing is short: a run that got past it gives the test another try.
        var wasKilled = false
        for attempt in 0..<10 where !wasKilled {
            let cache = "\(source.path)/shared-\(attempt)"
            let environment = ["LLAMAFACTORY_CACHE": cache]
            let workplaces = try (0..<3).map { _ in try Workplace() }
            for workplace in workplaces { try workplace.configure(settings) }
            let outcomes = Ended()
            let done = DispatchGroup()
            for (index, place) in workplaces.map(\.path).enumerated() {
                done.enter()
                Thread.detachNewThread {
                    defer { done.leave() }
                    let begin = Date()
                    let stop = Program.Stop(signal: SIGKILL) {
                        switch moment {
                        case .reading: Date().timeIntervalSince(begin) > 0.2 + 0.05 * Double(attempt)
                        case .writing: Self.isWriting(from: place, into: cache)
                        }
                    }
                    let outcome = try? Program.run(
                        ["train", "config.yaml"], in: place, environment: environment,
                        stop: index == 0 ? stop : nil)
                    outcomes.values.withLock { $0[index] = outcome }
                }
            }
            done.wait()
            let ended = outcomes.values.withLock { $0 }
            wasKilled = ended[0]?.signal == SIGKILL
            for index in 1..<3 {
                #expect(ended[index]?.status == 0, "\(ended[index]?.log ?? "")")
                #expect(
                    try workplaces[index].tensors("out/adapter_model.safetensors")
                        == alone.tensors("out/adapter_model.safetensors"))
            }
            #expect(Self.cached(in: cache).filter { $0.hasSuffix(".tokens") } == [file])
            #expect(try source.bytes("shared-\(attempt)/datasets/" + file) == content)

            let later = try workplaces[0].train(
                settings.with(["output_dir": "later"]), environment: environment)
            #expect(
                later.status == 0 && later.log.contains("The tokenized data is taken from"), "\(later.log)")
            // What the killed run left goes when something is written next.
            let other = try workplaces[0].train(
                settings.with(["output_dir": "other", "cutoff_len": "40"]), environment: environment)
            #expect(other.status == 0)
            let left = Self.cached(in: cache)
            #expect(left.count == 2 && left.allSatisfy { $0.hasSuffix(".tokens") }, "\(left)")
        }
        #expect(wasKilled)
    }
}
