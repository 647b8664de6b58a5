import LFConfig
import LFDiagnostics
import Testing

@Suite struct MLflowSettingsTests {
    private let server = ["MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/"]

    @Test func theEnvironmentNamesTheRun() throws {
        let settings = try #require(
            try MLflowSettings(
                server.merging([
                    "MLFLOW_EXPERIMENT_NAME": "tides", "MLFLOW_RUN_ID": "a1", "MLFLOW_FLATTEN_PARAMS": "TRUE",
                    "MLFLOW_MAX_LOG_PARAMS": "7", "MLFLOW_TAGS": #"{"a": "b", "n": 3}"#,
                    "MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p",
                ]) { $1 }, runName: "high"))
        #expect(
            settings.server == "http://127.0.0.1:5000" && settings.experiment == "tides"
                && settings.runID == "a1" && settings.name == "high" && settings.flattensParameters
                && settings.maxParameters == 7 && settings.credentials == .user("u", password: "p")
                && settings.tags.map(\.name) == ["a", "n"] && settings.tags.map(\.value) == ["b", "3"])
        let plain = try #require(try MLflowSettings(server, runName: nil))
        #expect(plain.experiment == "Default" && plain.credentials == nil && plain.name == nil)
        #expect(
            try MLflowSettings(["DISABLE_MLFLOW_INTEGRATION": "TRUE"], runName: nil) == nil,
            "Switched off, no address is missed.")
    }

    @Test(arguments: [
        ([:], "MLFLOW_TRACKING_URI is unset"), (["MLFLOW_TRACKING_URI": "./mlruns"], "a folder"),
        (["MLFLOW_TRACKING_URI": "postgresql://me:secret@host/runs"], "(postgresql)"),
        (["MLFLOW_TRACKING_URI": "sqlite:///x"], "sqlite"),
        (["MLFLOW_TRACKING_URI": "http://me:secret@host"], "MLFLOW_TRACKING_PASSWORD"),
        (["MLFLOW_TRACKING_URI": "http://"], "scheme, host"),
        (["MLFLOW_NESTED_RUN": "1"], "MLFLOW_NESTED_RUN"),
        (["HF_MLFLOW_LOG_ARTIFACTS": "YES"], "HF_MLFLOW_LOG_ARTIFACTS"),
        (["MLFLOW_TRACKING_INSECURE_TLS": "true"], "certificates"),
        (["MLFLOW_MAX_LOG_PARAMS": "few"], "few"), (["MLFLOW_TAGS": "a=b"], "a=b"),
    ])
    func whatCannotBeIsRefused(_ environment: [String: String], _ words: String) {
        let all = environment.isEmpty ? [:] : server.merging(environment) { $1 }
        let error = #expect(throws: UserError.self) { try MLflowSettings(all, runName: nil) }
        #expect(error?.description.contains(words) == true, "\(String(describing: error))")
        #expect(error?.description.contains("secret") == false)
    }

    /// `all` means what is there; a name means what is asked for.
    @Test func allReportsToAServerThatIsNamed() throws {
        func mlflow(_ trackers: String, _ environment: [String: String]) throws -> MLflowSettings? {
            try resolveConfig(
                arguments: [
                    "model_name_or_path=m", "do_train=true", "dataset=d", "template=llama3", "output_dir=o",
                    "report_to=\(trackers)", "run_name=r",
                ], environment: environment
            ).training.mlflow
        }
        #expect(try mlflow("all", [:]) == nil && mlflow("tensorboard", server) == nil)
        #expect(try mlflow("all", server)?.name == "r" && mlflow("[mlflow, tensorboard]", server) != nil)
        #expect(throws: (any Error).self) { try mlflow("mlflow", [:]) }
        #expect(try mlflow("all", ["MLFLOW_TRACKING_URI": "sqlite:///runs"]) == nil)
    }
}
