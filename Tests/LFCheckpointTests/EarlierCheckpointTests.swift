import LFCheckpoint
import LFDiagnostics
import Testing

/// Checkpoints of an earlier run, and folders that are none.
@Suite struct EarlierCheckpointTests {
    let folder = ScratchFolder()

    private func make(_ steps: Int..., in parent: String = "") throws {
        for step in steps { try createDirectories(at: "\(folder.path)/\(parent)checkpoint-\(step)") }
    }

    private func names(_ name: String) -> [String] { directoryEntries(folder.path + "/" + name) }

    @Test func theyMoveTogetherIntoAFolderOfTheirOwn() throws {
        #expect(try setCheckpointsAside(in: folder.path) == nil)
        try make(5, 20, 100)
        try folder.write("model.safetensors", "x")
        try folder.write("checkpoint-7", "a file")
        let aside = try #require(try setCheckpointsAside(in: folder.path))
        #expect(aside.folder == folder.path + "/earlier-run-1" && aside.count == 3)
        #expect(names("") == ["checkpoint-7", "earlier-run-1", "model.safetensors"])
        #expect(names("earlier-run-1") == ["checkpoint-100", "checkpoint-20", "checkpoint-5"])
        #expect(checkpoints(in: folder.path).isEmpty)
        #expect(try setCheckpointsAside(in: folder.path) == nil)
        try make(5)
        #expect(try setCheckpointsAside(in: folder.path)?.folder == folder.path + "/earlier-run-2")
        #expect(names("earlier-run-1").count == 3)
    }

    @Test func thoseBeforeAStepStay() throws {
        try make(5, 20, 100)
        #expect(try setCheckpointsAside(in: folder.path, from: 101) == nil)
        #expect(try setCheckpointsAside(in: folder.path, from: 20)?.count == 2)
        #expect(checkpoints(in: folder.path).map(\.step) == [5])
        #expect(names("earlier-run-1") == ["checkpoint-100", "checkpoint-20"])
    }

    @Test func aMoveThatWasCutShortIsCompleted() throws {
        try make(5, 20, 100)
        try make(40, in: "earlier-run-3.moving-from-20/")
        try finishSettingCheckpointsAside(in: folder.path)
        #expect(names("") == ["checkpoint-5", "earlier-run-3"])
        #expect(names("earlier-run-3") == ["checkpoint-100", "checkpoint-20", "checkpoint-40"])
        try finishSettingCheckpointsAside(in: folder.path)
        #expect(names("earlier-run-3").count == 3)
        try finishSettingCheckpointsAside(in: "/nowhere")
    }

    /// Names that only look like such a folder are nobody's business.
    @Test(arguments: [
        "earlier-run-", "earlier-run-x", "earlier-run-1x", "earlier-run-1.moving-from-",
        "earlier-run-1.moving",
        "earlier-run--1", "earlier-run-1.moving-from-x",
    ])
    func otherFoldersStay(_ name: String) throws {
        try make(5)
        try createDirectories(at: folder.path + "/" + name)
        try finishSettingCheckpointsAside(in: folder.path)
        #expect(checkpoints(in: folder.path).map(\.step) == [5])
        #expect(names("").contains(name))
        #expect(try setCheckpointsAside(in: folder.path)?.count == 1)
    }

    @Test(
        arguments: [
            (["optimizer.pt", "adapter_config.json"], "the Python program wrote", "adapter_name_or_path."),
            (["rng_state_0.pth", "model.safetensors"], "the Python program wrote", "model_name_or_path."),
            (["scheduler.pt"], "the Python program wrote", "model_name_or_path."),
            (
                ["optimizer.safetensors", "model.safetensors"], "so its files cannot be checked",
                "is damaged."
            ),
            (["model.safetensors", "config.json"], "(model.safetensors)", "model_name_or_path."),
            (
                ["adapter_model.safetensors", "adapter_config.json"], "(adapter_model.safetensors)",
                "adapter_name_or_path."
            ),
            (["adapter_model.bin", "adapter_config.json"], "(adapter_model.bin)", "adapter_name_or_path."),
            (["pytorch_model.bin.index.json"], "(pytorch_model.bin.index.json)", "model_name_or_path."),
            (["notes.txt"], "is not a checkpoint of this program", "or the folder of its run."),
            ([], "is not a checkpoint of this program", "or the folder of its run."),
        ] as [([String], String, String)])
    func aFolderWithoutAManifestIsCalledWhatItIs(
        _ files: [String], _ words: String, _ remedy: String
    ) throws {
        try make(3)
        for name in files { try folder.write("checkpoint-3/" + name, "{}") }
        let error = try #require(throws: UserError.self) {
            try TrainingCheckpoint(path: folder.path + "/checkpoint-3")
        }
        #expect(error.problem.hasPrefix("has no manifest.json") && error.problem.contains(words))
        #expect(error.remedy.hasSuffix(remedy))
    }
}
