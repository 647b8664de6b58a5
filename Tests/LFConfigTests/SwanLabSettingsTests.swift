import LFConfig
import LFDiagnostics
import Testing

@Suite struct SwanLabSettingsTests {
    private func swanlab(
        _ arguments: [String], _ environment: [String: String] = [:]
    ) throws -> SwanLabSettings? {
        try resolveConfig(
            arguments: [
                "model_name_or_path=m", "do_train=true", "dataset=d", "template=llama3", "output_dir=o",
            ] + arguments, environment: environment
        ).training.swanlab
    }

    @Test func argumentsAndEnvironmentNameTheRun() throws {
        let named = try #require(
            try swanlab(
                ["use_swanlab=true", "swanlab_project=tides", "swanlab_run_name=a", "swanlab_logdir=/runs"],
                [
                    "SWANLAB_PROJECT": "no", "SWANLAB_EXP_NAME": "no", "SWANLAB_LOG_DIR": "no",
                    "SWANLAB_WORKSPACE": "harbour", "SWANLAB_GROUP": "g", "SWANLAB_JOB_TYPE": "j",
                    "SWANLAB_DESCRIPTION": "d", "SWANLAB_API_KEY": "secret", "SWANLAB_PUBLIC": "true",
                ]))
        #expect(named.project == "tides" && named.name == "a" && named.folder == "/runs")
        #expect(named.workspace == "harbour" && named.group == "g" && named.jobType == "j")
        #expect(named.description == "d" && named.isPublic)
        let listed = try #require(
            try swanlab(
                ["report_to=[swanlab, tensorboard]", "run_name=b"],
                ["SWANLAB_PROJECT": "sea", "SWANLAB_LOG_DIR": "logs"]))
        #expect(listed.project == "sea" && listed.name == "b" && listed.folder == "logs")
        #expect(try swanlab(["use_swanlab=true"]) == swanlab(["report_to=swanlab"]))
        #expect(try swanlab(["use_swanlab=true"])?.project == "llamafactory")
    }

    @Test func isOffUnlessAskedFor() throws {
        #expect(try swanlab(["report_to=none"]) == nil)
        #expect(try swanlab(["report_to=all"]) == nil)
        #expect(try swanlab(["use_swanlab=true"], ["SWANLAB_MODE": "disabled"]) == nil)
        #expect(try swanlab(["use_swanlab=true"], ["SWANLAB_MODE": "offline"]) != nil)
    }

    @Test func settingsOfARunThatDoesNotReportThereAreNamed() throws {
        let config = try resolveConfig(
            arguments: [
                "model_name_or_path=m", "do_train=true", "dataset=d", "template=llama3", "output_dir=o",
                "swanlab_mode=local", "swanlab_project=tides",
            ], environment: [:])
        #expect(
            config.warnings.contains {
                $0.contains("swanlab_project") && $0.contains("use_swanlab is not set")
            })
    }

    @Test(
        arguments: [
            (["use_swanlab=true", "swanlab_mode=local"], [:], "`swanlab_mode: local` is not supported"),
            (["use_swanlab=true"], ["SWANLAB_MODE": "local"], "SWANLAB_MODE=local asks for more"),
            (["use_swanlab=true"], ["SWANLAB_RESUME": "must"], "SWANLAB_RESUME=must"),
            (["use_swanlab=true"], ["SWANLAB_RUN_ID": "a/b"], "SWANLAB_RUN_ID is not a run's id: a/b"),
            (["use_swanlab=true", "swanlab_api_key=k"], [:], "`swanlab sync` asks for the key"),
            (["report_to=trackio"], [:], "whose files `trackio.import_tf_events` reads"),
        ] as [([String], [String: String], String)])
    func whatIsNotRecordedIsRefused(
        _ arguments: [String], _ environment: [String: String], _ message: String
    ) throws {
        let error = try #require(throws: UserErrors.self) { try swanlab(arguments, environment) }
        #expect(error.description.contains(message), "\(error)")
    }
}
