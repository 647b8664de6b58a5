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
            if let repository = try RemoteFolder(config) {
                return try DatasetFile.paths(at: repository.path(of: name))
            }
            return try DatasetFile.paths(
                at: name.hasPrefix("/") ? name : config.data.datasetDir + "/" + name)
        case .hub(let dataset):
            let environment = ProcessInfo.processInfo.environment
            let hub: any Hub
            switch dataset.service {
            case .huggingFace:
                hub = HuggingFaceHub(
                    HubSettings(
                        environment: environment, cacheDirectory: config.model.cacheDir,
                        token: config.model.hubToken))
            case .modelScope:
                hub = ModelScopeHub(
                    HubSettings(
                        modelScope: environment, cacheDirectory: config.model.cacheDir,
                        token: config.model.modelScopeToken))
            case .modelers:
                throw UserError(
                    .configuration,
                    "The dataset \"\(name)\" is to be downloaded from Modelers, which is not supported.",
                    remedy:
                        "Unset USE_OPENMIND_HUB and name a repository in hf_hub_url or ms_hub_url, or a file in file_name."
                )
            }
            return try downloads.withLock { downloads in
                let key = "\(hub.settings.endpoint) \(hub.settings.cacheDirectory) \(dataset)"
                if let paths = downloads[key] { return paths }
                let found = try hub.datasetFiles(
                    dataset.repository, subset: dataset.subset, split: dataset.split, folder: dataset.folder,
                    type: DatasetFile.typeName)
                downloads[key] = found
                return found
            }
        }
    }
}

/// `dataset_dir: REMOTE:owner/name`: a folder of data that is a dataset's repository on the Hugging Face hub.
struct RemoteFolder {
    private let repository: String
    private let settings: HubSettings

    /// Nil for other folders.
    ///
    /// - Throws: A `UserError` for names that no repository can have.
    init?(_ config: ResolvedConfig) throws(UserError) {
        let prefix = "REMOTE:"
        guard config.data.datasetDir.hasPrefix(prefix) else { return nil }
        repository = String(config.data.datasetDir.dropFirst(prefix.count))
        guard isDatasetName(repository) else {
            throw UserError(
                .configuration, "dataset_dir is \"\(config.data.datasetDir)\".",
                remedy: "Write REMOTE: and a dataset's name on the Hugging Face hub (owner/name).")
        }
        settings = HubSettings(
            environment: ProcessInfo.processInfo.environment, cacheDirectory: config.model.cacheDir,
            token: config.model.hubToken)
    }

    /// Where a file of the repository lies, downloaded once in a run.
    ///
    /// - Throws: A `UserError` when there is none or it cannot be downloaded.
    func path(of name: String) throws -> String {
        try downloads.withLock { downloads in
            let key = "\(settings.endpoint) \(settings.cacheDirectory) \(repository) file \(name)"
            if let paths = downloads[key] { return paths[0] }
            let path = try HuggingFaceHub(settings).datasetFile(name, of: repository)
            downloads[key] = [path]
            return path
        }
    }
}

/// Files of datasets that this process has downloaded.
private let downloads = Mutex<[String: [String]]>([:])

extension DatasetEntry.HubDataset {
    /// - Throws: A `UserError` for names that no repository, split or folder can have.
    func check(key: String, at place: String) throws(UserError) {
        guard isDatasetName(repository, on: service) else {
            throw UserError(
                .failedRun, "\(key) is \"\(repository)\".", at: place,
                remedy: "Give a dataset's name on the \(service.name) hub (owner/name).")
        }
        guard !split.isEmpty, split.allSatisfy({ $0.isLetter || $0.isNumber || "_-.".contains($0) }) else {
            throw UserError(
                .failedRun, "split is \"\(split)\".", at: place,
                remedy: "Name one whole split; parts and sums of splits are not supported.")
        }
    }
}
