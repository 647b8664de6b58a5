import Foundation
import LFConfig
import LFDiagnostics
import LFServer

let serverUsage = """
    Usage: llamafactory-cli api CONFIG.yaml [key=value …]

    Serves a model over HTTP as OpenAI's API: /v1/models, /v1/chat/completions, /v1/completions, /v1/responses,
    /v1/embeddings, /health, /metrics, /openapi.json; a reward model (`stage: rm`) /v1/score/evaluation. Ctrl-C or SIGTERM ends it when what runs is answered.

    The file says what `chat` reads: model, adapters, template, and how answers are generated unless a request says so.
    `lora_modules: {name: folder, other: folder}` serves adapters side by side, each for the requests whose `model` is its name.

      API_HOST         address to listen on; 0.0.0.0
      API_PORT         port; 8000
      API_KEY          what clients must send as bearer; everybody is let in without it
      API_MODEL_NAME   what the model is called; gpt-3.5-turbo
      API_VERBOSE      whether requests are logged; 1
      MAX_CONCURRENT   answers that are written at once; 64
      API_QUEUE_SIZE   requests that may wait for their first token, beyond which status 429 is sent; 256
      API_MAX_BODY     largest body of a request in bytes; 16777216
    """

/// Serves a model (upstream `run_api`).
func runServer(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(serverUsage)
        return 0
    }
    signal(SIGPIPE, SIG_IGN)
    let settings = try ServerSettings(environment: ProcessInfo.processInfo.environment)
    try Server(resolveConfig(arguments: arguments, for: .api), settings).runBlocking()
    return 0
}
