import LFConfig
import LFDiagnostics
import LFJSON
import LFWorkflows

let planUsage = """
    Usage: llamafactory-cli plan CONFIG.yaml [key=value …] [options]

    Says what a training will take before anything is trained: parameters, tokens and what sharing saves of them, steps, the
    time of a step and of all, the peak of memory, the largest batch that fits, and what to look at. It reads the data, and
    measures for some seconds: steps of the same kind on few of the model's blocks, with drawn weights.

      --answer-tokens N   how many tokens PPO's answers are taken to have; max_new_tokens by default, the most
      --json              the numbers as one JSON object
    """

/// Says what a training will take.
func runPlan(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(planUsage)
        return 0
    }
    var writesJSON = false
    var answerTokens: Int?
    var configuration: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
        switch argument {
        case "--json": writesJSON = true
        case "--answer-tokens":
            guard let number = rest.popFirst().flatMap({ Int($0) }), number > 0 else {
                throw UserError(
                    .configuration, "--answer-tokens needs a number above 0.",
                    remedy: "Write --answer-tokens 128, for example.")
            }
            answerTokens = number
        default:
            try refuseUnknownOption(argument, of: "plan", ["--answer-tokens", "--json", "--help"])
            configuration.append(argument)
        }
    }
    guard !configuration.isEmpty else {
        throw UserError(
            .configuration, "plan needs a configuration.",
            remedy: "Write: llamafactory-cli plan config.yaml")
    }
    let config = try resolveConfig(arguments: configuration)
    if answerTokens != nil, config.finetuning.stage != .ppo {
        throw UserError(
            .configuration,
            "--answer-tokens is about PPO's answers, and stage is \(config.finetuning.stage.rawValue).",
            remedy: "Remove it.")
    }
    let plan = try RunPlan(config, answerTokens: answerTokens)
    if writesJSON {
        Console.standard.writeLine(JSONValue.object(plan.json).serialized())
    } else {
        for line in plan.lines { Console.standard.writeLine(line) }
    }
    return 0
}
