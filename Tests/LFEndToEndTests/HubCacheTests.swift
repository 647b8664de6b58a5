import Foundation
import LFJSON
import Testing

/// Models and data by their names on a hub, out of caches as Python leaves them behind, without a network.
@Suite struct HubCacheTests {
    private static let commit = String(repeating: "0123456789", count: 4)
    private static let row = #"{"instruction": "a", "input": "", "output": "b"}"#

    /// A work place with both hubs' caches: `team/tiny` is the tiny model, `team/rows` a dataset with its own list.
    private static func makePlace() throws -> (workplace: Workplace, environment: [String: String]) {
        let workplace = try Workplace()
        let huggingFace = workplace.path + "/hf/hub", modelScope = workplace.path + "/ms"
        for folder in [
            "\(huggingFace)/datasets--team--rows/snapshots/\(commit)",
            "\(huggingFace)/datasets--team--rows/refs",
            "\(huggingFace)/models--team--tiny/snapshots", "\(huggingFace)/models--team--tiny/refs",
            "\(modelScope)/datasets/team--rows/snapshots/master", "\(modelScope)/models/team--tiny/snapshots",
        ] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        for kind in ["datasets--team--rows", "models--team--tiny"] {
            try workplace.write(commit, to: "hf/hub/\(kind)/refs/main")
        }
        for folder in [
            "\(huggingFace)/models--team--tiny/snapshots/\(commit)",
            "\(modelScope)/models/team--tiny/snapshots/master",
        ] {
            try FileManager.default.createSymbolicLink(
                atPath: folder, withDestinationPath: Workplace.fixtures + "/models/tiny_llama")
        }
        for (folder, count) in [
            ("hf/hub/datasets--team--rows/snapshots/\(commit)", 2),
            ("ms/datasets/team--rows/snapshots/master", 3),
        ] {
            try workplace.write(
                Array(repeating: row, count: count).joined(separator: "\n"), to: folder + "/train.jsonl")
            try workplace.write(row, to: folder + "/extra.jsonl")
            try workplace.write(
                #"{"own": {"file_name": "extra.jsonl"}, "all": {"hf_hub_url": "team/rows"}}"#,
                to: folder + "/dataset_info.json")
        }
        try workplace.write(
            #"{"both": {"hf_hub_url": "team/rows", "ms_hub_url": "team/rows"}, "ms": {"ms_hub_url": "team/rows"}}"#,
            to: "data/dataset_info.json")
        return (
            workplace,
            [
                "HF_HOME": workplace.path + "/hf", "MODELSCOPE_CACHE": modelScope, "HF_HUB_OFFLINE": "1",
                "LLAMAFACTORY_CACHE": "",
            ]
        )
    }

    @Test(arguments: [
        ("ONLINE", "team/rows", "0", 2), ("ONLINE", "team/rows", "1", 3), ("data", "both", "0", 2),
        ("data", "both", "1", 3), ("data", "ms", "0", 3), ("REMOTE:team/rows", "own", "0", 1),
        ("REMOTE:team/rows", "all", "0", 2),
    ])
    func namesLeadToTheCaches(folder: String, dataset: String, usesModelScope: String, count: Int) throws {
        let (workplace, environment) = try Self.makePlace()
        try workplace.configure(
            shortRun.with(["model_name_or_path": "team/tiny", "dataset": dataset, "dataset_dir": folder]))
        let outcome = try Program.run(
            ["preview", "config.yaml", "--json", "--examples", "9"], in: workplace.path,
            environment: environment.merging(["USE_MODELSCOPE_HUB": usesModelScope]) { $1 })
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.split(separator: "\n").count == count)
    }

    @Test func whatIsNotThereIsNamed() throws {
        let (workplace, environment) = try Self.makePlace()
        func problem(_ settings: [String: String?], _ variables: [String: String] = [:]) throws -> String {
            let outcome = try workplace.train(
                shortRun.with(settings), environment: environment.merging(variables) { $1 })
            #expect(outcome.status != 0)
            return outcome.problems.joined(separator: "\n")
        }
        #expect(
            try problem(["dataset": "gone", "dataset_dir": "REMOTE:team/none"]).contains(
                "dataset_info.json of the dataset team/none is not in the cache"))
        #expect(
            try problem(["model_name_or_path": "team/none"], ["USE_MODELSCOPE_HUB": "1"]).contains(
                "team/none at revision master is not in the cache"))
        #expect(
            try problem(["model_name_or_path": "team/tiny"], ["USE_OPENMIND_HUB": "1"]).contains(
                "USE_OPENMIND_HUB asks for a download from Modelers, which is not supported."))
        #expect(
            try problem(["dataset": "team/rows", "dataset_dir": "ONLINE"], ["USE_OPENMIND_HUB": "1"])
                .contains(
                    "The dataset \"team/rows\" is to be downloaded from Modelers, which is not supported."))
    }
}
