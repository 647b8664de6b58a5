import Foundation
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFHTTP
import LFHub
import LFReport
import Logging
import Synchronization

/// Keeps a repository of the Hugging Face hub up with a run (`push_to_hub`; transformers `Trainer._push_from_checkpoint` and
/// `push_to_hub`).
///
/// Checkpoints are uploaded in the background, from links that outlive them; the run's folder is uploaded when all is done.
final class HubPusher {
    private let arguments: HubPushArguments
    private let outputDir: String
    private let logger = Logger(label: "llamafactory.hub")
    private let queue = DispatchQueue(label: "llamafactory.hub")
    private let backlog = Backlog()
    private var upload: HubUpload
    /// `owner/name`; empty before `begin`.
    private var repository = ""

    /// What the run and its uploads tell each other.
    private final class Backlog: Sendable {
        private let state = Mutex((pending: 0, isGivenUp: false))

        /// Set once; from then on transfers end.
        var isGivenUp: Bool { state.withLock { $0.isGivenUp } }
        func giveUp() { state.withLock { $0.isGivenUp = true } }

        /// Counts an upload, unless another one waits or goes on and this one may be left out.
        func add(evenIfBusy: Bool) -> Bool {
            state.withLock { state in
                guard state.pending == 0 || evenIfBusy else { return false }
                state.pending += 1
                return true
            }
        }
        func remove() { state.withLock { $0.pending -= 1 } }
    }

    /// What a run needs to go on, which is no part of the model.
    private static let resumeFiles: Set = [
        "optimizer.safetensors", "scheduler.json", "rng_state.safetensors", "manifest.json",
        "reference_scores.safetensors", "trainer_state.json",
    ]
    /// Holds the links; hidden, so that no upload takes it for a part of the run.
    private static let linkFolder = "/.hub-upload"

    /// - Returns: nil where nothing is to be uploaded.
    /// - Throws: `UserError` where it could not be.
    init?(_ config: ResolvedConfig, environment: [String: String]) throws {
        guard config.training.doTrain, let arguments = config.training.hubPush else { return nil }
        self.arguments = arguments
        outputDir = config.training.outputDir
        let settings = try uploadSettings(
            environment, token: arguments.token, repository: arguments.repository,
            key: "hub_model_id", asking: "push_to_hub")
        upload = HubUpload(settings, keys: .training)
        upload.isCancelled = { [backlog] in backlog.isGivenUp }
    }

    private var revision: String { arguments.revision ?? "main" }

    /// Makes the repository, and the branch where one is named.
    ///
    /// - Throws: `UserError` saying why the hub refused.
    func begin() throws {
        try explainingBreaks("The repository \(arguments.repository) could not be made") {
            repository = try upload.makeRepository(arguments.repository, isPrivate: arguments.isPrivate)
            if let revision = arguments.revision { try upload.makeBranch(revision, in: repository) }
        }
        removeTree(outputDir + Self.linkFolder)
        logger.info("The model goes to \(upload.settings.endpoint)/\(repository)")
    }

    /// Uploads what a checkpoint holds, in the background; a failure is a warning, since the end of the run uploads again.
    func checkpointSaved(_ folder: String, step: Int) {
        guard arguments.strategy != .end else { return }
        guard backlog.add(evenIfBusy: arguments.alwaysPushes) else {
            logger.info("The last upload still goes on: step \(step) is not uploaded.")
            return
        }
        let links = "\(outputDir)\(Self.linkFolder)/\(step)"
        let files: [RepositoryFile]
        do {
            files = try link(checkpoint: folder, into: links)
        } catch {
            logger.warning("Step \(step) is not uploaded: \(error)")
            backlog.remove()
            return
        }
        queue.async { [upload, repository, revision, logger, backlog] in
            defer {
                removeTree(links)
                backlog.remove()
            }
            do {
                try upload.commit(
                    files, to: repository, revision: revision, summary: "Training in progress, step \(step)")
            } catch is CancelledTransfer {
            } catch {
                logger.warning("Step \(step) could not be uploaded: \(sentence(error))")
            }
        }
    }

    /// Uploads the run's folder and waits for it.
    ///
    /// - Throws: `UserError` saying what failed; the folder is complete then.
    func finish() throws {
        queue.sync {}
        removeTree(outputDir + Self.linkFolder)
        let files = runFiles()
        logger.info("Uploading \(files.count) files to \(repository)")
        try explainingBreaks("The model is saved in \(outputDir), but could not be uploaded to \(repository)")
        {
            if let address = try upload.commit(
                files, to: repository, revision: revision, summary: "End of training")
            {
                logger.info("Uploaded: \(address)")
            } else {
                logger.info("\(repository) holds these files already.")
            }
        }
    }

    /// Ends what goes on, where the run was interrupted or failed.
    func giveUp() {
        backlog.giveUp()
        queue.sync {}
        removeTree(outputDir + Self.linkFolder)
    }

    // MARK: Files

    /// The files of a checkpoint that go into the repository, linked to outlive the checkpoint.
    private func link(checkpoint folder: String, into links: String) throws -> [RepositoryFile] {
        let name = folder.split(separator: "/").last.map(String.init) ?? ""
        let whole: String? =
            switch arguments.strategy {
            case .checkpoint: "last-checkpoint"
            case .allCheckpoints: name
            case .end, .everySave: nil
            }
        try createDirectories(at: links)
        var files: [RepositoryFile] = []
        for file in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
            let target = "\(links)/\(file)"
            guard Glibc.link("\(folder)/\(file)", target) == 0 || copy("\(folder)/\(file)", to: target) else {
                throw UserError.file(target, notBe: "written", errorNumber: errno)
            }
            let isShare = file.hasPrefix("optimizer-")
            if !isShare, !Self.resumeFiles.contains(file) {
                files.append(RepositoryFile(name: file, path: target))
            }
            if let whole { files.append(RepositoryFile(name: "\(whole)/\(file)", path: target)) }
        }
        return files
    }

    private func copy(_ path: String, to target: String) -> Bool {
        (try? FileManager.default.copyItem(atPath: path, toPath: target)) != nil
    }

    /// The run's files without checkpoints, names that begin with `_`, and hidden ones.
    private func runFiles() -> [RepositoryFile] {
        var files: [RepositoryFile] = []
        guard let walk = FileManager.default.enumerator(atPath: outputDir) else { return [] }
        while let name = walk.nextObject() as? String {
            let isFolder = walk.fileAttributes?[.type] as? FileAttributeType == .typeDirectory
            let top = name.split(separator: "/")[0]
            let isLeftOut =
                name.split(separator: "/").contains { $0.hasPrefix(".") } || top.hasPrefix("_")
                || top.hasPrefix("checkpoint-") || top.hasPrefix("earlier-run-")
            if isFolder {
                if isLeftOut { walk.skipDescendants() }
            } else if !isLeftOut, isRegularFile("\(outputDir)/\(name)") {
                files.append(RepositoryFile(name: name, path: "\(outputDir)/\(name)"))
            }
        }
        return files.sorted { $0.name < $1.name }
    }
}

/// Whether a path leads to a file: a link to a folder, such as the one to the newest run of Weights & Biases, does not.
private func isRegularFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// The hub that files are uploaded to.
///
/// - Parameters:
///   - key: The argument that names the repository.
///   - asking: The argument that asks for the upload.
/// - Throws: `UserError` where nothing can be uploaded: another hub, no network wanted, no token, no such name.
func uploadSettings(
    _ environment: [String: String], token: String?, repository: String, key: String, asking: String
) throws -> HubSettings {
    let service = HubService(environment: environment)
    guard service == .huggingFace else {
        throw UserError(
            .configuration,
            "`\(asking)` uploads to the Hugging Face hub, but the environment asks for \(service.name).",
            remedy: "Unset USE_MODELSCOPE_HUB and USE_OPENMIND_HUB, or remove `\(asking)`.")
    }
    guard isRepositoryName(repository) || isRepositoryName("owner/" + repository) else {
        throw UserError(
            .configuration, "\(key) is not a repository's name: \"\(repository)\".",
            remedy: "Write `\(key): owner/name`, of letters, digits, `-`, `_` and `.`.")
    }
    let settings = HubSettings(environment: environment, token: token)
    guard !settings.isOffline else {
        throw UserError(
            .configuration, "`\(asking)` needs the hub, and HF_HUB_OFFLINE is set.",
            remedy: "Unset HF_HUB_OFFLINE, or remove `\(asking)`.")
    }
    guard settings.token != nil else {
        throw UserError(
            .configuration, "`\(asking)` needs a token that may write to the hub.",
            remedy: "Set HF_TOKEN, or hub_token (train) or hf_hub_token (export).")
    }
    return settings
}

/// Turns a transfer that broke into a sentence.
func explainingBreaks(_ what: String, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch let broken as BrokenTransfer {
        throw UserError(
            .failedRun, "\(what): \(broken.reason).",
            remedy:
                "Check the network and HF_ENDPOINT, then upload the folder, or run the same command again.")
    }
}

private func sentence(_ error: any Error) -> String { (error as? BrokenTransfer)?.reason ?? "\(error)" }

extension HubPusher: RunObserver {
    func receive(_ event: RunEvent) {
        if case .checkpointSaved(let folder, let step) = event { checkpointSaved(folder, step: step) }
    }
}
