import LFDiagnostics

/// An adapter that requests of the server choose by its name.
public struct LoRAModule: Sendable, Equatable {
    public var name: String
    /// Its folder, or its repository on a hub.
    public var path: String

    public init(name: String, path: String) {
        self.name = name
        self.path = path
    }
}

/// Checks `lora_modules`, vLLM's `--lora-modules`: `{name: folder, …}` or `name=folder,name=folder`.
func checkLoRAModules(_ arguments: inout ArgumentValues) {
    do {
        _ = try LoRAModule.all(of: arguments["lora_modules"])
    } catch {
        arguments.report(error.problem, at: ["lora_modules"], remedy: error.remedy)
    }
}

extension LoRAModule {
    /// - Throws: `UserError` naming the entry that cannot be meant.
    static func all(of value: ArgumentValue) throws(UserError) -> [LoRAModule] {
        var modules: [LoRAModule] = []
        switch value {
        case .mapping(let pairs):
            for (name, path) in pairs {
                guard case .string(let path) = path else {
                    throw wrong("gives \(quoted(name)) the value \(rendered(path)), not a folder")
                }
                modules.append(LoRAModule(name: name.trimmingSpaces(), path: path.trimmingSpaces()))
            }
        case .string(let text):
            for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
                let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else {
                    throw wrong("holds \(quoted(entry.trimmingSpaces())), which is not a name with a folder")
                }
                modules.append(
                    LoRAModule(name: parts[0].trimmingSpaces(), path: parts[1].trimmingSpaces()))
            }
        default: return []
        }
        var names: Set<String> = []
        for (index, module) in modules.enumerated() {
            if module.name.isEmpty { throw wrong("has an entry without a name") }
            if module.path.isEmpty { throw wrong("gives \(quoted(module.name)) no folder") }
            if module.path.lowercased().hasSuffix(".gguf") {
                throw UserError(
                    .configuration,
                    "lora_modules names the GGUF file \(quoted(module.path)): adapters are not read from such files.",
                    remedy: "Name the PEFT folder that the file was made of.")
            }
            guard names.insert(module.name).inserted else {
                throw wrong("has the name \(quoted(module.name)) twice")
            }
            modules[index].path = expandingHome(module.path)
        }
        return modules
    }

    private static func wrong(_ problem: String) -> UserError {
        UserError(
            .configuration, "lora_modules \(problem).",
            remedy: "Write `lora_modules: {name: folder, other: folder}`.")
    }
}
