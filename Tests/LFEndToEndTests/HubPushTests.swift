import Foundation
import LFTestSupport
import Synchronization
import Testing

/// `push_to_hub` and `export_hub_model_id` against a hub on loopback.
@Suite struct HubPushTests {
    private func environment(_ hub: UploadHub, token: String = UploadHub.token) -> [String: String] {
        ["HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token]
    }

    private let settings = shortRun.with([
        "max_steps": "4", "save_steps": "2", "push_to_hub": "true", "hub_model_id": "team/tides",
        "hub_always_push": "true",
    ])

    @Test(arguments: ["every_save", "end", "checkpoint", "all_checkpoints"])
    func theRunArrives(_ strategy: String) throws {
        let hub = UploadHub(), workplace = try Workplace()
        let outcome = try workplace.train(
            settings.with(["hub_strategy": strategy, "hub_private_repo": "true"]),
            environment: environment(hub))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(hub.now.privateRepositories == ["team/tides"])
        let files = hub.files("team/tides")
        for name in ["adapter_model.safetensors", "adapter_config.json", "README.md", "trainer_state.json"] {
            #expect(try files[name] == Array(workplace.bytes("out/\(name)")), "\(name)")
        }
        let saves = strategy == "end" ? [] : ["Training in progress, step 2", "Training in progress, step 4"]
        #expect(hub.now.commits == saves + ["End of training"])
        let folders = Set(files.keys.filter { $0.contains("/") }.map { $0.split(separator: "/")[0] })
        switch strategy {
        case "checkpoint":
            #expect(folders == ["last-checkpoint"])
            #expect(
                try files["last-checkpoint/optimizer.safetensors"]
                    == Array(workplace.bytes("out/checkpoint-4/optimizer.safetensors")))
        case "all_checkpoints": #expect(folders == ["checkpoint-2", "checkpoint-4"])
        default: #expect(folders.isEmpty && files["optimizer.safetensors"] == nil)
        }
        #expect(!workplace.exists("out/.hub-upload") && !files.keys.contains { $0.hasPrefix(".hub") })
        #expect(files.values.allSatisfy { !String(decoding: $0, as: UTF8.self).contains(UploadHub.token) })
    }

    /// While the folder is uploaded no other run may write to it, and what trackers write there is complete.
    @Test func theFolderIsHeldAndItsTrackersAreClosed() throws {
        let hub = UploadHub(), workplace = try Workplace()
        let seen = Mutex<(isHeld: Bool, records: [String: Data])?>(nil)
        let path = workplace.path
        @Sendable func records() -> [String: Data] {
            let names =
                FileManager.default.enumerator(atPath: path + "/out")?.compactMap { $0 as? String } ?? []
            return names.filter { $0.hasSuffix(".wandb") || $0.contains("tfevents") }.reduce(into: [:]) {
                $0[$1] = FileManager.default.contents(atPath: path + "/out/" + $1)
            }
        }
        hub.change { state in
            state.onCommit = { summary in
                guard summary == "End of training" else { return }
                let folder = open(path + "/out", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                defer { close(folder) }
                let isHeld = flock(folder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
                seen.withLock { $0 = (isHeld, records()) }
            }
        }
        let outcome = try workplace.train(
            settings.with(["report_to": "[tensorboard, wandb]"]),
            environment: environment(hub).merging(["WANDB_DIR": "out", "WANDB_MODE": "offline"]) { $1 })
        #expect(outcome.status == 0, "\(outcome.log)")
        let found = try #require(seen.withLock { $0 })
        #expect(found.isHeld)
        #expect(found.records.keys.contains { $0.hasSuffix(".wandb") } && found.records.count == 2)
        #expect(found.records == records())
    }

    @Test func aRunWithoutANameTakesItsFoldersAndABranchIsMade() throws {
        let hub = UploadHub(), workplace = try Workplace()
        let outcome = try workplace.train(
            settings.with(["hub_model_id": nil, "hub_revision": "trial"]), environment: environment(hub))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(hub.files("me/out", "trial")["adapter_model.safetensors"] != nil)
        #expect(hub.files("me/out")["adapter_model.safetensors"] == nil)
    }

    /// Nothing is loaded or written where the upload could not be.
    @Test(arguments: [
        (["HF_HUB_OFFLINE": "1"], "HF_HUB_OFFLINE"), (["USE_MODELSCOPE_HUB": "1"], "ModelScope"),
        (["HF_TOKEN": ""], "needs a token"),
    ])
    func whatCannotBeUploadedIsRefusedFirst(_ more: [String: String], _ reason: String) throws {
        let hub = UploadHub(), workplace = try Workplace()
        let outcome = try workplace.train(
            settings,
            environment: environment(hub).merging(more) { $1 }.merging(["HF_HOME": workplace.path]) { $1 })
        #expect(outcome.status == 64 && outcome.log.contains(reason), "\(outcome.log)")
        #expect(!workplace.exists("out") && hub.now.requests.isEmpty)
    }

    @Test func aHubThatFailsCostsNoRun() throws {
        let hub = UploadHub(), workplace = try Workplace()
        let refused = try workplace.train(settings, environment: environment(hub, token: "hf_wrong"))
        #expect(refused.status != 0 && refused.log.contains("does not accept the token"), "\(refused.log)")
        #expect(!workplace.exists("out/adapter_model.safetensors"), "Said before the first step.")

        let outcome = try workplace.train(
            settings.with(["hub_strategy": "end", "output_dir": "second"]),
            environment: ["HF_ENDPOINT": "http://127.0.0.1:1", "HF_TOKEN": "x"])
        #expect(outcome.status != 0 && outcome.log.contains("could not be made"), "\(outcome.log)")
    }

    /// What fails on the way is a warning, since the end uploads all.
    @Test func aFailedUploadOnTheWayIsMadeUpFor() throws {
        let hub = UploadHub(), workplace = try Workplace()
        hub.change { $0.commitStatuses = [403] }
        let outcome = try workplace.train(settings, environment: environment(hub))
        #expect(outcome.status == 0 && outcome.log.contains("Step 2 could not be uploaded"), "\(outcome.log)")
        #expect(hub.now.commits == ["Training in progress, step 4", "End of training"])
        #expect(
            try hub.files("team/tides")["adapter_model.safetensors"]
                == Array(workplace.bytes("out/adapter_model.safetensors")))
    }

    @Test func aSaveDuringAnUploadIsLeftOut() throws {
        let hub = UploadHub(), workplace = try Workplace()
        hub.change { $0.commitPause = 2 }
        let outcome = try workplace.train(
            settings.with(["hub_always_push": nil]), environment: environment(hub))
        #expect(outcome.status == 0 && outcome.log.contains("step 4 is not uploaded"), "\(outcome.log)")
        #expect(hub.now.commits == ["Training in progress, step 2", "End of training"])
    }

    @Test func aFailedUploadAtTheEndLeavesTheModel() throws {
        let hub = UploadHub(), workplace = try Workplace()
        hub.change { $0.commitStatuses = [200, 200, 403] }
        let outcome = try workplace.train(settings, environment: environment(hub))
        #expect(
            outcome.status != 0 && outcome.log.contains("refuses to write to team/tides"), "\(outcome.log)")
        #expect(workplace.exists("out/adapter_model.safetensors") && !workplace.exists("out/.hub-upload"))
    }

    /// Ctrl-C does not wait for the transfer.
    @Test func anInterruptedRunEndsItsUploads() throws {
        let hub = UploadHub(), workplace = try Workplace()
        let outcome = try workplace.train(
            settings.with(["max_steps": "4000", "save_steps": "2"]), environment: environment(hub),
            stop: .init(signal: SIGINT) { !hub.now.commits.isEmpty })
        #expect(outcome.status != 0 && !workplace.exists("out/.hub-upload"), "\(outcome.log)")
        #expect(!hub.now.commits.contains("End of training"))
    }

    @Test func anExportArrives() throws {
        let hub = UploadHub(), workplace = try Workplace()
        let outcome = try workplace.run(
            "export",
            [
                "model_name_or_path": "models/tiny_llama", "template": "llama3", "export_dir": "whole",
                "export_hub_model_id": "tides", "hf_hub_token": UploadHub.token,
            ], environment: ["HF_ENDPOINT": hub.endpoint])
        #expect(outcome.status == 0, "\(outcome.log)")
        let files = hub.files("me/tides")
        #expect(files.keys.filter { $0 != ".gitattributes" }.sorted() == workplace.names(in: "whole"))
        #expect(try files["model.safetensors"] == Array(workplace.bytes("whole/model.safetensors")))
    }
}
