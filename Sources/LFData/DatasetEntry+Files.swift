import Foundation
import LFConfig
import LFDiagnostics
import LFHub
import Synchronization

extension DatasetEntry {
    /// The dataset's files; those of a hub are downloaded, once in a run, so that it sees one state of a repository.
    ///
    /// - Throws: A `UserError` when there are none or they cannot be downloaded.
    func paths(_ config: ResolvedConfig) throws -> [String] {
        switch source {
        case .file(let name):
            return try DatasetFile.paths(
                at: name.hasPrefix("/") ? name : config.data.datasetDir + "/" + name)
        case .hub(let dataset):
            let environment = ProcessInfo.processInfo.environment
            for (variable, hub) in [("USE_MODELSCOPE_HUB", "ModelScope"), ("USE_OPENMIND_HUB", "Modelers")]
            where ["1", "true", "y"].contains(environment[variable]?.lowercased()) {
                throw UserError(
                    .configuration,
                    "The dataset \"\(name)\" is on a hub, and \(variable) asks for \(hub), which is not supported yet.",
                    remedy: "Unset \(variable) to use the Hugging Face hub, or name a file in file_name.")
            }
            let settings = HubSettings(
                environment: environment, cacheDirectory: config.model.cacheDir, token: config.model.hubToken)
            return try downloads.withLock { downloads in
                let key = "\(settings.endpoint) \(settings.cacheDirectory) \(dataset)"
                if let paths = downloads[key] { return paths }
                let found = try HuggingFaceHub(settings).datasetFiles(
                    dataset.repository, subset: dataset.subset, split: dataset.split, folder: dataset.folder,
                    type: DatasetFile.typeName)
                downloads[key] = found
                return found
            }
        }
    }
}

/// Files of datasets that this process has downloaded.
private let downloads = Mutex<[String: [String]]>([:])

extension DatasetEntry.HubDataset {
    /// - Throws: A `UserError` for names that no repository, split or folder can have.
    func check(at place: String) throws(UserError) {
        guard HuggingFaceHub.isDatasetName(repository) else {
            throw UserError(
                .failedRun, "hf_hub_url is \"\(repository)\".", at: place,
                remedy: "Give a dataset's name on the Hugging Face hub (owner/name).")
        }
        guard !split.isEmpty, split.allSatisfy({ $0.isLetter || $0.isNumber || "_-.".contains($0) }) else {
            throw UserError(
                .failedRun, "split is \"\(split)\".", at: place,
                remedy: "Name one whole split; parts and sums of splits are not supported.")
        }
    }
}
