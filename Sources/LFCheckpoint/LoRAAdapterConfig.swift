public import LFDiagnostics
import LFJSON

/// The settings of a LoRA adapter, as PEFT keeps them in `adapter_config.json`.
public struct LoRAAdapterConfig: Sendable, Equatable {
    public static let fileName = "adapter_config.json"

    /// The rank.
    public var r: Int
    public var loraAlpha: Double
    public var loraDropout: Double
    /// Ends of the names of the modules that are adapted, such as `q_proj`; a module's whole name counts too.
    public var targetModules: [String]
    /// Ends of the names of modules that are trained and saved whole.
    public var modulesToSave: [String]?
    /// What else the modules, their ranks and their α depend on.
    public var choice = LoRAModuleChoice()
    /// Whether the adapter's share is scaled by `α / √r` instead of `α / r` (Kalajdzievski 2023, arXiv 2312.03732).
    public var usesRSLoRA: Bool
    /// Whether each row of the weight also has a trained length (DoRA).
    public var usesDoRA: Bool
    public var baseModelNameOrPath: String?
    public var revision: String?
    public var taskType: String?

    public init(
        r: Int, loraAlpha: Double, loraDropout: Double = 0, targetModules: [String],
        modulesToSave: [String]? = nil, usesRSLoRA: Bool = false, usesDoRA: Bool = false,
        baseModelNameOrPath: String?,
        revision: String? = nil, taskType: String? = "CAUSAL_LM"
    ) {
        self.r = r
        self.loraAlpha = loraAlpha
        self.loraDropout = loraDropout
        self.targetModules = targetModules
        self.modulesToSave = modulesToSave
        self.usesRSLoRA = usesRSLoRA
        self.usesDoRA = usesDoRA
        self.baseModelNameOrPath = baseModelNameOrPath
        self.revision = revision
        self.taskType = taskType
    }

    /// What the product of the two matrices is multiplied by, unless `alpha_pattern` or `rank_pattern` names the module.
    public var scaling: Double { loraAlpha / (usesRSLoRA ? Double(r).squareRoot() : Double(r)) }

    /// Reads the file of a folder.
    ///
    /// - Throws: `UserError` naming the file and the setting that is wrong, or that asks for what is not supported.
    public init(directory: String) throws(UserError) {
        let path = directory + "/" + Self.fileName
        let root = try JSONValue.read(path: path)
        guard let members = root.object else {
            throw UserError(
                .failedRun, "is \(root.kind), not an object.", at: path,
                remedy: "Use the adapter's own \(Self.fileName).")
        }
        let reader = Reader(members: members, path: path)
        try reader.refuseUnsupported()
        guard let r = try reader.integer("r"), r > 0 else { throw reader.wrong("r", "a positive integer") }
        guard let alpha = try reader.number("lora_alpha") else {
            throw reader.wrong("lora_alpha", "a number")
        }
        let choice = try reader.choice()
        let targets = choice.pattern == nil ? try reader.strings("target_modules") : []
        guard let targets, choice.pattern != nil || !targets.isEmpty else {
            throw reader.wrong("target_modules", "a list of module names, or a pattern for them")
        }
        let dropout = try reader.number("lora_dropout") ?? 0
        guard dropout >= 0, dropout < 1 else { throw reader.wrong("lora_dropout", "at least 0 and below 1") }
        self.init(
            r: r, loraAlpha: alpha, loraDropout: dropout, targetModules: targets,
            modulesToSave: try reader.strings("modules_to_save"),
            usesRSLoRA: try reader.bool("use_rslora") ?? false,
            usesDoRA: try reader.bool("use_dora") ?? false,
            baseModelNameOrPath: try reader.string("base_model_name_or_path"),
            revision: try reader.string("revision"), taskType: try reader.string("task_type"))
        self.choice = choice
    }

    /// The file's text: PEFT 0.18's fields, in its order.
    public func serialized() -> String {
        func list(_ names: [String]?) -> JSONValue {
            names.map { .array($0.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.map { .string($0) }) }
                ?? .null
        }
        func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
        var members = JSONObject(Self.neutral)
        members["base_model_name_or_path"] = text(baseModelNameOrPath)
        members["bias"] = "none"
        members["inference_mode"] = true
        members["init_lora_weights"] = true
        members["lora_alpha"] = Int64(exactly: loraAlpha).map { .int($0) } ?? .double(loraAlpha)
        members["lora_dropout"] = .double(loraDropout)
        members["megatron_core"] = "megatron.core"
        members["modules_to_save"] = list(modulesToSave)
        members["peft_type"] = "LORA"
        members["peft_version"] = "0.18.1"
        members["qalora_group_size"] = 16
        members["r"] = .int(Int64(r))
        members["revision"] = text(revision)
        members["target_modules"] = choice.pattern.map { .string($0.text) } ?? list(targetModules)
        for (key, value) in choice.settings { members[key] = value }
        members["task_type"] = text(taskType)
        members["use_rslora"] = .bool(usesRSLoRA)
        members["use_dora"] = .bool(usesDoRA)
        return JSONValue.object(members).serialized(indent: 2, sortKeys: true) + "\n"
    }

    /// Settings that are always off here, with the value that means so.
    private static let neutral: [JSONObject.Element] = [
        ("alora_invocation_tokens", .null), ("alpha_pattern", [:]), ("arrow_config", .null),
        ("auto_mapping", .null), ("corda_config", .null), ("ensure_weight_tying", false),
        ("eva_config", .null), ("exclude_modules", .null), ("fan_in_fan_out", false),
        ("layer_replication", .null), ("layers_pattern", .null), ("layers_to_transform", .null),
        ("loftq_config", [:]), ("lora_bias", false), ("megatron_config", .null), ("rank_pattern", [:]),
        ("target_parameters", .null), ("trainable_token_indices", .null),
        ("use_qalora", false),
    ]

    private struct Reader {
        let members: JSONObject
        let path: String

        /// Settings that are read, or that change nothing once an adapter is trained.
        private static let known: Set<String> = Set(LoRAModuleChoice.keys).union([
            "r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "use_rslora", "use_dora",
            "base_model_name_or_path", "revision", "task_type", "inference_mode", "megatron_core",
            // The base model's matrices lie across, as GPT-2's do; the adapter's do not.
            "fan_in_fan_out", "qalora_group_size", "peft_version", "auto_mapping", "eva_config",
            "runtime_config",
        ])
        /// Ways of drawing an adapter's first values that leave the base model as it is.
        private static let plainInitializations: [JSONValue] = [
            true, false, .null, "gaussian", "orthogonal", "eva",
        ]

        /// Refuses every setting that is on and not implemented, those of later versions of PEFT included.
        func refuseUnsupported() throws(UserError) {
            for (name, value) in members where !Self.known.contains(name) {
                let isFine: Bool
                switch name {
                case "peft_type": isFine = value == "LORA"
                case "bias": isFine = value == "none" || value.isNull
                case "init_lora_weights": isFine = Self.plainInitializations.contains(value)
                default: isFine = isOff(value)
                }
                guard isFine else { throw unsupported(name, value) }
            }
            if let type = members["task_type"], !type.isNull, type != "CAUSAL_LM" {
                throw unsupported("task_type", type)
            }
        }

        private func isOff(_ value: JSONValue) -> Bool {
            switch value {
            case .null, .bool(false): true
            case .array(let elements): elements.isEmpty
            case .object(let members): members.isEmpty
            default: false
            }
        }

        private func unsupported(_ name: String, _ value: JSONValue) -> UserError {
            UserError(
                .failedRun, "\(name) is \(value.serialized()), which is not supported.", at: path,
                remedy: "Use a plain LoRA adapter, or merge this one into its base model with PEFT.")
        }

        func wrong(_ name: String, _ expected: String) -> UserError {
            UserError(
                .failedRun, "\(name) must be \(expected), got \((members[name] ?? .null).serialized()).",
                at: path, remedy: "Correct it; PEFT writes it with the adapter.")
        }

        func integer(_ name: String) throws(UserError) -> Int? {
            guard let value = members[name], !value.isNull else { return nil }
            guard let number = value.int else { throw wrong(name, "an integer") }
            return number
        }

        func number(_ name: String) throws(UserError) -> Double? {
            guard let value = members[name], !value.isNull else { return nil }
            guard let number = value.double, number.isFinite else { throw wrong(name, "a number") }
            return number
        }

        func bool(_ name: String) throws(UserError) -> Bool? {
            guard let value = members[name], !value.isNull else { return nil }
            guard let bool = value.bool else { throw wrong(name, "true or false") }
            return bool
        }

        func string(_ name: String) throws(UserError) -> String? {
            guard let value = members[name], !value.isNull else { return nil }
            guard let text = value.string else { throw wrong(name, "a string") }
            return text
        }

        /// The settings of `LoRAModuleChoice.keys`, and `target_modules` where it is a pattern.
        func choice() throws(UserError) -> LoRAModuleChoice {
            var choice = LoRAModuleChoice()
            if let text = members["target_modules"]?.string {
                choice.pattern = try pattern(text, "target_modules")
            }
            if let text = members["exclude_modules"]?.string {
                choice.excluded = text.isEmpty ? nil : .pattern(try pattern(text, "exclude_modules"))
            } else if let names = try strings("exclude_modules"), !names.isEmpty {
                choice.excluded = .ends(names)
            }
            choice.layers = try layers()
            choice.layerLists = try layerLists()
            guard choice.layers == nil || choice.pattern == nil else {
                throw wrong("layers_to_transform", "left out beside a pattern in target_modules")
            }
            choice.ranks = try exceptions("rank_pattern", "positive integers") { value in
                value.int.flatMap { $0 > 0 ? $0 : nil }
            }
            choice.alphas = try exceptions("alpha_pattern", "numbers") { value in
                value.double.flatMap { $0.isFinite ? $0 : nil }
            }
            for key in LoRAModuleChoice.keys {
                if let value = members[key], !isOff(value) { choice.settings[key] = value }
            }
            return choice
        }

        private func pattern(_ text: String, _ name: String) throws(UserError) -> NamePattern {
            guard let pattern = NamePattern(text) else { throw wrong(name, "a regular expression") }
            return pattern
        }

        private func layers() throws(UserError) -> [Int]? {
            guard let value = members["layers_to_transform"], !value.isNull else { return nil }
            let list = value.array ?? [value]
            let numbers = list.compactMap(\.int)
            guard numbers.count == list.count else {
                throw wrong("layers_to_transform", "a layer's number or a list of such numbers")
            }
            return numbers.isEmpty ? nil : numbers
        }

        private func layerLists() throws(UserError) -> [String] {
            var lists: [String]
            if let text = members["layers_pattern"]?.string {
                lists = [text]
            } else {
                lists = try strings("layers_pattern") ?? []
            }
            lists.removeAll(where: \.isEmpty)
            for list in lists where LoRAModuleChoice.layerExpression(list) == nil {
                throw wrong("layers_pattern", "the name of the list of layers, or a list of such names")
            }
            return lists
        }

        private func exceptions<Value>(
            _ name: String, _ kind: String, _ read: (JSONValue) -> Value?
        ) throws(UserError) -> [LoRAModuleChoice.Exception<Value>] {
            guard let value = members[name], !value.isNull else { return [] }
            guard let object = value.object else {
                throw wrong(name, "an object of \(kind) by patterns of names")
            }
            var exceptions: [LoRAModuleChoice.Exception<Value>] = []
            for (key, value) in object {
                guard let pattern = NamePattern("(?:.*\\.)?(?:\(key))"), let own = read(value) else {
                    throw wrong(name, "an object of \(kind) by patterns of names")
                }
                exceptions.append(.init(pattern: pattern, value: own))
            }
            return exceptions
        }

        func strings(_ name: String) throws(UserError) -> [String]? {
            guard let value = members[name], !value.isNull else { return nil }
            let texts = value.array?.compactMap(\.string)
            guard let texts, texts.count == value.array?.count else { throw wrong(name, "a list of strings") }
            return texts
        }
    }
}
