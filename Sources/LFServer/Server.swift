import UnixSignals
import Dispatch
import Hummingbird
package import LFConfig
import LFDiagnostics
import LFGeneration
import LFModels
import LFWorkflows
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// An OpenAI-compatible server of one model (upstream `api/app.py`).
package struct Server: Sendable {
    private let context: ServerContext
    private let settings: ServerSettings
    private let logger: Logger

    /// Loads the model.
    ///
    /// - Throws: `UserError` for whatever a person can mend.
    package init(_ config: ResolvedConfig, _ settings: ServerSettings) throws {
        let logger = Logger(label: "llamafactory.server")
        var settings = settings
        settings.adapterNames = config.model.loraModules.map(\.name)
        if settings.adapterNames.contains(settings.modelName) {
            throw UserError(
                .configuration,
                "lora_modules calls an adapter \"\(settings.modelName)\", which is the model's own name.",
                remedy: "Give it another one, or set API_MODEL_NAME.")
        }
        let loaded = try AnsweringModel(config, label: "llamafactory.server")
        var answers: AnswerService?, scores: ScoreService?
        let metrics = ServerMetrics()
        let vocabSize = loaded.model.config.vocabSize
        let format = loaded.format, threads = loaded.threads
        if let scorer = loaded.scorer {
            // From here on its thread alone uses the model.
            nonisolated(unsafe) let scorer = scorer
            scores = ScoreService(scorer, queueLimit: settings.queueLimit, threads: threads)
        } else {
            guard format.options.beamCount <= settings.concurrentAnswers else {
                throw UserError(
                    .configuration,
                    "num_beams is \(format.options.beamCount), and MAX_CONCURRENT allows \(settings.concurrentAnswers) answers at once.",
                    remedy: "Lower num_beams, or raise MAX_CONCURRENT.")
            }
            var limits = EngineLimits()
            limits.concurrentSequences = settings.concurrentAnswers
            limits.prefillTokensPerStep = 1024
            limits.room = .halfOfFreeMemory
            nonisolated(unsafe) let engine = try GenerationEngine(
                loaded.model, tokenizer: format.tokenizer, limits: limits)
            answers = AnswerService(
                engine, queueLimit: settings.queueLimit, metrics: metrics, threads: threads)
        }
        self.settings = settings
        self.logger = logger
        context = ServerContext(
            settings, format, answers: answers, scores: scores, metrics: metrics, logger: logger,
            vocabSize: vocabSize)
    }

    /// Serves until the process is asked to end, and then finishes what runs.
    ///
    /// - Parameter onListening: Receives the port.
    /// - Throws: `UserError` when the address cannot be listened on.
    package func run(onListening: @escaping @Sendable (Int) -> Void = { _ in }) async throws {
        let (settings, logger) = (settings, logger)
        var quiet = logger
        quiet.logLevel = .error
        let app = Application(
            router: Routes(context).router(),
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [
                        StalledReader(patience: .milliseconds(Int64(settings.readerPatience * 1000)))
                    ], idleTimeout: .seconds(30))),
            configuration: .init(address: .hostname(settings.host, port: settings.port)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? settings.port
                logger.info(
                    "Visit http://\(settings.host):\(port)/v1/models; chats go to /v1/chat/completions.")
                onListening(port)
            }, logger: quiet)
        defer { context.stop() }
        do {
            try await ServiceGroup(
                configuration: .init(
                    services: [app], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
            ).run()
        } catch let error as IOError {
            throw UserError(
                .failedRun,
                "\(settings.host):\(settings.port) cannot be listened on: \(String(cString: strerror(error.errnoCode))).",
                remedy: "Set API_HOST and API_PORT to an address that is free.")
        }
    }

    /// The same for callers that are not asynchronous.
    package func runBlocking() throws {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<Void, any Error>>(.success(()))
        Task {
            do { try await run() } catch { outcome.withLock { $0 = .failure(error) } }
            done.signal()
        }
        done.wait()
        try outcome.withLock { $0 }.get()
    }
}
