import Foundation
import LFCheckpoint
import LFDiagnostics
import LFJSON
import LFTorch
import Testing

@Suite struct TrainingCheckpointTests {
    let folder = ScratchFolder()

    private func path(_ step: Int) -> String { folder.path + "/" + TrainingCheckpoint.name(step: step) }

    /// Writes a checkpoint with a weight file, a file in a folder of its own, and, unless told otherwise, a state.
    private func write(_ step: Int, holdsState: Bool = true) throws {
        let state = TrainingState(
            optimizer: [("w.exp_avg", try Tensor([Float(step), 2]))], scheduler: ["step": .int(Int64(step))],
            generators: [("data", try Generator(seed: UInt64(step)).state())])
        try TrainingCheckpoint.write(to: path(step), state: holdsState ? state : nil) { temporary in
            try writeSafetensors([("w", Tensor([1, 2, 3] as [Float]))], to: temporary + "/model.safetensors")
            try createDirectories(at: temporary + "/tokenizer")
            try writeFileAtomically("{}", to: temporary + "/tokenizer/tokenizer.json")
        }
    }

    private static let files = [
        "model.safetensors", "optimizer.safetensors", "rng_state.safetensors", "scheduler.json",
        "tokenizer/tokenizer.json",
    ]

    @Test func whatIsWrittenIsRead() throws {
        try write(40)
        #expect(folder.names == ["checkpoint-40"])
        let manifest = try JSONValue.read(path: path(40) + "/manifest.json")
        #expect(manifest["files"]?.object?.keys == Self.files)
        // `printf '{}' | sha256sum`
        #expect(
            manifest["files"]?["tokenizer/tokenizer.json"] == [
                "size": 2, "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            ])
        let state = try TrainingCheckpoint(path: path(40) + "/").state()
        #expect(state.scheduler == ["step": 40])
        #expect(state.optimizer.map(\.name) == ["w.exp_avg"])
        #expect(try state.optimizer[0].tensor.floats() == [40, 2])
        let generator = try Generator(seed: 1)
        try generator.restore(state.generators[0].tensor)
        #expect(try generator.permutation(50) == Generator(seed: 40).permutation(50))
    }

    /// A state that two processes have written: each a file of its own, read as one; without one of them it is damaged.
    @Test func sharesOfAStateAreReadAsOne() throws {
        try TrainingCheckpoint.write(to: path(7)) { temporary in
            for rank in [1, 0] {
                try TrainingCheckpoint.writeShare(
                    [("w\(rank).exp_avg", try Tensor([Float(rank)]))], of: rank, among: 2, into: temporary)
            }
            return TrainingState(
                optimizer: [], shares: 2, scheduler: ["step": 7],
                generators: [("data", try Generator(seed: 7).state())])
        }
        let state = try TrainingCheckpoint(path: path(7)).state()
        #expect(state.optimizer.map(\.name) == ["w0.exp_avg", "w1.exp_avg"])
        #expect(try state.optimizer.map { try $0.tensor.item() } == [0, 1])
        let share = path(7) + "/optimizer-00002-of-00002.safetensors"
        #expect(FileManager.default.fileExists(atPath: share))
        #expect(!FileManager.default.fileExists(atPath: path(7) + "/optimizer.safetensors"))
        try FileManager.default.removeItem(atPath: share)
        let error = try #require(throws: UserError.self) { try TrainingCheckpoint(path: path(7)) }
        #expect(error.problem == "optimizer-00002-of-00002.safetensors is missing.")
    }

    @Test func everyChangeOfAFileIsRefusedByName() throws {
        func problem() throws -> String {
            let error = try #require(throws: UserError.self) { try TrainingCheckpoint(path: path(40)) }
            #expect(error.location == path(40))
            return error.problem
        }
        for file in Self.files {
            try write(40)
            let name = "checkpoint-40/" + file
            let whole = try folder.bytes(name)
            var flipped = whole
            flipped[whole.count - 1] ^= 1
            try folder.write(name, flipped)
            #expect(try problem() == "\(file) does not match its recorded checksum.")
            try folder.write(name, Array(whole.dropLast()))
            #expect(try problem() == "\(file) has \(whole.count - 1) bytes instead of \(whole.count).")
            removeTree(path(40) + "/" + file)
            #expect(try problem() == "\(file) is missing.")
            try folder.write(name, whole)
            #expect(throws: Never.self) { try TrainingCheckpoint(path: path(40)) }
        }
        try folder.write("checkpoint-40/tokenizer/notes.txt", "x")
        #expect(
            try problem() == "tokenizer/notes.txt is there, but was not when the checkpoint was written.")
        removeTree(path(40) + "/tokenizer/notes.txt")
        removeTree(path(40) + "/manifest.json")
        #expect(try problem().hasPrefix("has no manifest.json"))
        try folder.write("checkpoint-40/manifest.json", #"{"version":1,"files":{"a":3}}"#)
        #expect(throws: UserError.self) { try TrainingCheckpoint(path: path(40)) }
    }

    @Test func aDamagedNewestFallsBackToTheOneBefore() throws {
        for step in [5, 20, 100] { try write(step) }
        #expect(checkpoints(in: folder.path).map(\.step) == [5, 20, 100])
        #expect(newestUsableCheckpoint(in: folder.path).checkpoint?.path == path(100))
        try folder.write("checkpoint-100/scheduler.json", "{}")
        try write(20, holdsState: false)
        let found = newestUsableCheckpoint(in: folder.path)
        #expect(found.checkpoint?.path == path(5))
        #expect(found.refused.map(\.location) == [path(100), path(20)])
        #expect(found.refused[1].problem.hasPrefix("holds weights only (save_only_model)"))
        #expect(throws: UserError.self) { try TrainingCheckpoint(path: path(20)).state() }
    }

    @Test func aFolderWithoutCheckpointsHasNone() throws {
        try folder.write("checkpoint-7", "a file")
        try createDirectories(at: folder.path + "/checkpoint-9.tmp-1-a")
        let found = newestUsableCheckpoint(in: folder.path)
        #expect(found.checkpoint == nil && found.refused.isEmpty)
        #expect(newestUsableCheckpoint(in: "/nowhere").checkpoint == nil)
        #expect(throws: UserError.file("/nowhere", notBe: "read", errorNumber: ENOENT)) {
            try TrainingCheckpoint(path: "/nowhere")
        }
        #expect(throws: UserError.file(path(7), notBe: "read", errorNumber: ENOTDIR)) {
            try TrainingCheckpoint(path: path(7))
        }
    }

    @Test func aFailedWriteLeavesWhatWasThere() throws {
        try write(3)
        struct Failure: Error {}
        #expect(throws: Failure.self) {
            try TrainingCheckpoint.write(to: path(3), state: nil) { _ in throw Failure() }
        }
        #expect(folder.names == ["checkpoint-3"])
        #expect(throws: Never.self) { try TrainingCheckpoint(path: path(3)).state() }
    }

    // MARK: Rotation

    private func makeEmpty(_ steps: [Int]) throws {
        for step in steps { try createDirectories(at: path(step)) }
    }

    private func rotated(_ steps: [Int], keeping limit: Int?, best: Int? = nil) throws -> [String] {
        try makeEmpty(steps)
        rotateCheckpoints(
            in: folder.path, keeping: limit, protecting: best.map { "elsewhere/checkpoint-\($0)/" })
        return checkpoints(in: folder.path).map { String($0.step) }
    }

    @Test func theOldestGoFirst() throws {
        #expect(try rotated([5, 10, 15, 20], keeping: 2) == ["15", "20"])
    }

    @Test func noLimitKeepsAll() throws {
        #expect(try rotated([5, 10], keeping: nil) == ["5", "10"])
        #expect(try rotated([5, 10], keeping: 0) == ["5", "10"])
        #expect(try rotated([5, 10], keeping: 3) == ["5", "10"])
    }

    @Test func theBestAndTheNewestStay() throws {
        #expect(try rotated([5, 10, 15, 20], keeping: 2, best: 5) == ["5", "20"])
        #expect(try rotated([5, 20], keeping: 1, best: 5) == ["5", "20"])
        #expect(try rotated([5, 20], keeping: 1, best: 20) == ["20"])
    }

    @Test func theOneJustWrittenStaysHoweverFewItsSteps() throws {
        try makeEmpty([10, 500])
        #expect(rotateCheckpoints(in: folder.path, keeping: 1, newest: path(10)) == [path(500)])
        #expect(checkpoints(in: folder.path).map(\.step) == [10])
    }

    @Test func aNewRunsCheckpointOutlivesALongerEarlierRuns() throws {
        try makeEmpty([10, 500])
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -60)], ofItemAtPath: path(500))
        #expect(rotateCheckpoints(in: folder.path, keeping: 1) == [path(500)])
        #expect(checkpoints(in: folder.path).map(\.step) == [10])
    }
}
