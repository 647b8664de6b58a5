import LFConfig
import LFDiagnostics
import Testing

@Suite struct WandbSettingsTests {
    @Test func theEnvironmentNamesTheRun() throws {
        let settings = try #require(
            try WandbSettings(
                [
                    "WANDB_PROJECT": "tides", "WANDB_ENTITY": "harbour", "WANDB_NAME": "from the environment",
                    "WANDB_RUN_ID": "a-1", "WANDB_RUN_GROUP": "g", "WANDB_JOB_TYPE": "j", "WANDB_NOTES": "n",
                    "WANDB_TAGS": "a,b", "WANDB_DIR": "/runs", "WANDB_API_KEY": "secret",
                ], runName: nil))
        #expect(
            settings.project == "tides" && settings.entity == "harbour" && settings.id == "a-1"
                && settings.group == "g" && settings.jobType == "j" && settings.notes == "n"
                && settings.tags == ["a", "b"] && settings.folder == "/runs"
                && settings.name == "from the environment")
        let named = try #require(
            try WandbSettings(["WANDB_NAME": "x"], runName: "from the file"))
        #expect(named.name == "from the file" && named.project == "llamafactory")
    }

    @Test(arguments: [
        ["WANDB_MODE": "disabled"], ["WANDB_DISABLED": "true"],
        ["WANDB_DISABLED": "1", "WANDB_MODE": "offline"],
    ])
    func theEnvironmentSwitchesItOff(_ environment: [String: String]) throws {
        #expect(try WandbSettings(environment, runName: nil) == nil)
    }

    @Test(arguments: [
        [:], ["WANDB_MODE": "offline"], ["WANDB_MODE": "dryrun"], ["WANDB_MODE": ""],
        ["WANDB_WATCH": "false"],
        ["WANDB_LOG_MODEL": "false"], ["WANDB_RESUME": "allow", "WANDB_RUN_ID": "x"],
        ["WANDB_DISABLED": "false"],
    ])
    func harmlessVariablesAreTaken(_ environment: [String: String]) throws {
        #expect(try WandbSettings(environment, runName: nil) != nil)
    }

    @Test(arguments: [
        ("WANDB_MODE", "online"), ("WANDB_MODE", "shared"), ("WANDB_WATCH", "gradients"),
        ("WANDB_LOG_MODEL", "end"),
        ("WANDB_LOG_MODEL", "checkpoint"), ("WANDB_SWEEP_ID", "s1"), ("WANDB_RESUME", "must"),
        ("WANDB_RUN_ID", "a/b"),
        ("WANDB_RUN_ID", ".."),
    ])
    func variablesThatAskForMoreAreRefused(_ name: String, _ value: String) {
        let error = #expect(throws: UserError.self) { try WandbSettings([name: value], runName: nil) }
        #expect(error?.description.contains(name) == true && error?.description.contains(value) == true)
    }

    @Test func onlyRunsThatReportThereReadTheVariables() throws {
        let minimal = [
            "model_name_or_path=m", "do_train=true", "dataset=d", "template=llama3", "output_dir=o",
        ]
        func wandb(_ more: String...) throws -> WandbSettings? {
            try resolveConfig(arguments: minimal + more, environment: ["WANDB_MODE": "online"]).training.wandb
        }
        #expect(try wandb("report_to=none") == nil)
        #expect(try wandb("report_to=tensorboard") == nil)
        #expect(throws: UserErrors.self) { try wandb("report_to=wandb") }
        #expect(throws: UserErrors.self) { try wandb("report_to=all") }
    }
}
