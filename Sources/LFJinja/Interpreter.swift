import LFDiagnostics
import LFJSON

/// The names of a block, and what is around it.
///
/// Unchecked Sendable, because a rendering, which alone can reach it, runs on one thread.
final class Scope: @unchecked Sendable {
    let parent: Scope?
    private var values: [String: JinjaValue] = [:]

    init(parent: Scope?) { self.parent = parent }

    func value(_ name: String) -> JinjaValue? { values[name] ?? parent?.value(name) }

    func set(_ name: String, _ value: JinjaValue) { values[name] = value }
}

/// Renders one template once.
///
/// Unchecked Sendable, because a rendering runs on one thread.
final class Interpreter: @unchecked Sendable {
    /// What a statement does to the loop around it.
    enum Flow { case goesOn, breaks, continues }

    /// Longer texts are taken for a template that runs away.
    private static let maximumBytes = 256 << 20
    private static let maximumSteps = 3_000_000
    private static let maximumDepth = 200

    let name: String
    let formatTime: @Sendable (String) -> String
    private var output = ""
    /// The texts that wait while the text of an inner block is captured.
    private var waiting: [String] = []
    /// What `generation` blocks wrote, in code points of the whole text.
    private(set) var generated: [Range<Int>] = []
    private var steps = 0
    private var depth = 0

    init(name: String, formatTime: @escaping @Sendable (String) -> String) {
        self.name = name
        self.formatTime = formatTime
    }

    func failure(_ problem: String, _ line: Int) -> UserError { .template(problem, name: name, line: line) }

    func render(_ statements: [Statement], _ variables: JSONObject) throws(UserError) -> String {
        let scope = Scope(parent: Scope(parent: nil))
        for (name, function) in Self.globals { scope.parent?.set(name, .function(function)) }
        for (name, value) in variables { scope.set(name, JinjaValue(value)) }
        _ = try run(statements, scope)
        return output
    }

    /// The text that statements write.
    func captured(_ statements: [Statement], _ scope: Scope) throws(UserError) -> String {
        try captured { () throws(UserError) in _ = try run(statements, scope) }
    }

    private func captured(_ body: () throws(UserError) -> Void) throws(UserError) -> String {
        waiting.append(output)
        output = ""
        defer { output = waiting.removeLast() }
        try body()
        return output
    }

    /// Writes a `generation` block and keeps where its text lies.
    ///
    /// Inside a captured text the place counts from where that capture's statement writes, as transformers counts.
    private func runGeneration(_ body: [Statement], _ scope: Scope) throws(UserError) {
        let text = try captured(body, Scope(parent: scope))
        let start = (waiting.first ?? output).unicodeScalars.count
        generated.append(start..<start + text.unicodeScalars.count)
        output += text
    }

    func countStep(_ line: Int) throws(UserError) {
        steps += 1
        if steps > Self.maximumSteps || output.utf8.count > Self.maximumBytes {
            throw failure("the template does not come to an end", line)
        }
    }

    @discardableResult
    private func run(_ statements: [Statement], _ scope: Scope) throws(UserError) -> Flow {
        for statement in statements {
            let flow = try run(statement, scope)
            if flow != .goesOn { return flow }
        }
        return .goesOn
    }

    private func run(_ statement: Statement, _ scope: Scope) throws(UserError) -> Flow {
        switch statement {
        case .text(let text): output += text
        case .output(let expression, let line):
            try countStep(line)
            output += try evaluate(expression, scope, line).text
        case .conditional(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition, scope, 0).isTrue {
                return try run(body, scope)
            }
            return try run(otherwise, scope)
        case .loop(let loop):
            try run(loop, over: try evaluate(loop.sequence, scope, loop.line), scope, depth: 0)
        case .set(let target, let expression, let line):
            try countStep(line)
            try assign(try evaluate(expression, scope, line), to: target, scope, line)
        case .capture(let target, let filter, let body, let line):
            let text = JinjaValue.string(try captured(body, Scope(parent: scope)))
            try assign(try filtered(text, filter, scope, line), to: target, scope, line)
        case .macro(let macro): scope.set(macro.name, .function(function(macro, scope)))
        case .callBlock(let call, let parameters, let body, let line):
            let inner = Scope(parent: scope)
            inner.set(
                "caller",
                .function(
                    function(
                        Macro(name: "caller", parameters: parameters, body: body, usesKeywords: false),
                        scope)))
            output += try callBlock(call, inner, line).text
        case .filterBlock(let filter, let body, let line):
            let text = JinjaValue.string(try captured(body, Scope(parent: scope)))
            output += try filtered(text, filter, scope, line).text
        case .scope(let assignments, let body, let line):
            let inner = Scope(parent: scope)
            for (target, expression) in assignments {
                try assign(try evaluate(expression, scope, line), to: target, inner, line)
            }
            return try run(body, inner)
        case .generation(let body): try runGeneration(body, scope)
        case .breakLoop: return .breaks
        case .continueLoop: return .continues
        }
        return .goesOn
    }

    private func filtered(
        _ text: JinjaValue, _ filter: Expression?, _ scope: Scope, _ line: Int
    ) throws(UserError) -> JinjaValue {
        guard let filter else { return text }
        let inner = Scope(parent: scope)
        inner.set(JinjaParser.captured, text)
        return try evaluate(filter, inner, line)
    }

    private func assign(
        _ value: JinjaValue, to target: Target, _ scope: Scope, _ line: Int
    ) throws(UserError) {
        switch target {
        case .name(let name): scope.set(name, value)
        case .field(let name, let field):
            guard case .namespace(let namespace) = scope.value(name) else {
                throw failure(
                    "\"\(name)\" is not a namespace, so that \"\(name).\(field)\" cannot be set", line)
            }
            namespace.fields[field] = value
        case .tuple(let targets):
            let elements = try elements(of: value, line)
            guard elements.count == targets.count else {
                throw failure("\(targets.count) names are set, but there are \(elements.count) values", line)
            }
            for (target, element) in zip(targets, elements) { try assign(element, to: target, scope, line) }
        }
    }

    // MARK: Loops

    private func run(
        _ loop: Loop, over sequence: JinjaValue, _ scope: Scope, depth: Int
    ) throws(UserError) {
        if depth > Self.maximumDepth { throw failure("a recursive loop does not end", loop.line) }
        var items = try elements(of: sequence, loop.line)
        if let filter = loop.filter {
            var kept: [JinjaValue] = []
            for item in items {
                let inner = Scope(parent: scope)
                try assign(item, to: loop.target, inner, loop.line)
                if try evaluate(filter, inner, loop.line).isTrue { kept.append(item) }
            }
            items = kept
        }
        if items.isEmpty {
            try run(loop.otherwise, Scope(parent: scope))
            return
        }
        var recurse: ((JinjaValue) throws(UserError) -> String)?
        if loop.isRecursive {
            recurse = { (value) throws(UserError) in
                try self.captured { () throws(UserError) in
                    try self.run(loop, over: value, scope, depth: depth + 1)
                }
            }
        }
        let state = LoopState(items, depth: depth, recurse: recurse)
        for (index, item) in items.enumerated() {
            try countStep(loop.line)
            let inner = Scope(parent: scope)
            state.index = index
            inner.set("loop", .loop(state))
            try assign(item, to: loop.target, inner, loop.line)
            if try run(loop.body, inner) == .breaks { break }
        }
    }

    /// What a loop over a value visits.
    func elements(of value: JinjaValue, _ line: Int) throws(UserError) -> [JinjaValue] {
        switch value {
        case .list(let elements), .tuple(let elements), .view(_, let elements): return elements
        case .generator(let generator): return generator.drain()
        case .dict(let dict): return dict.members.map(\.key)
        case .string(let text), .markup(let text): return text.unicodeScalars.map { .string(String($0)) }
        case .undefined: return []
        default: throw failure("\(value.kind) cannot be looped over", line)
        }
    }

    // MARK: Macros

    private func function(_ macro: Macro, _ scope: Scope) -> JinjaFunction {
        JinjaFunction(macro.name) { (call, interpreter) throws(UserError) in
            try interpreter.run(macro, call, scope)
        }
    }

    private func run(
        _ macro: Macro, _ call: JinjaFunction.Call, _ scope: Scope
    ) throws(UserError) -> JinjaValue {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.maximumDepth { throw failure("macros call one another without an end", call.line) }
        let inner = Scope(parent: scope)
        for (index, parameter) in macro.parameters.enumerated() {
            if let value = call.argument(index, parameter.name) {
                inner.set(parameter.name, value)
            } else if let fallback = parameter.fallback {
                inner.set(parameter.name, try evaluate(fallback, inner, call.line))
            } else {
                inner.set(parameter.name, .undefined(parameter.name))
            }
        }
        let known = macro.parameters.map(\.name)
        if let caller = call.named.first(where: { $0.name == "caller" }) { inner.set("caller", caller.value) }
        inner.set("varargs", .tuple(Array(call.positional.dropFirst(known.count))))
        let others = call.named.filter { !known.contains($0.name) && $0.name != "caller" }
        if macro.usesKeywords {
            inner.set("kwargs", .dict(JinjaDict(others.map { (.string($0.name), $0.value) })))
        } else if let other = others.first {
            throw failure("the macro \"\(macro.name)\" has no parameter \"\(other.name)\"", call.line)
        }
        return .string(try captured(macro.body, inner))
    }

    private func callBlock(_ call: Expression, _ scope: Scope, _ line: Int) throws(UserError) -> JinjaValue {
        guard case .call(let callee, var arguments, let callLine) = call else {
            throw failure("call needs a call of a macro", line)
        }
        arguments.named.append(("caller", .name("caller")))
        return try evaluate(.call(callee, arguments, line: callLine), scope, line)
    }

    // MARK: Globals

    private static let globals: [(String, JinjaFunction)] = [
        JinjaFunction("range") { (call, interpreter) throws(UserError) in try interpreter.range(call) },
        JinjaFunction("dict") { (call, interpreter) throws(UserError) in
            var dict = JinjaDict()
            if case .dict(let given)? = call.positional.first { dict = given }
            for (name, value) in call.named { dict[.string(name)] = value }
            return .dict(dict)
        },
        JinjaFunction("namespace") { (call, interpreter) throws(UserError) in
            let namespace = Namespace([:])
            if case .dict(let given)? = call.positional.first {
                for (key, value) in given.members { namespace.fields[key.text] = value }
            }
            for (name, value) in call.named { namespace.fields[name] = value }
            return .namespace(namespace)
        },
        JinjaFunction("raise_exception") { (call, interpreter) throws(UserError) in
            throw UserError(
                .failedRun,
                "the chat template refuses this conversation: \"\(call.positional.first?.text ?? "")\".",
                at: "\(interpreter.name):\(call.line)", remedy: "Change the conversation.")
        },
        JinjaFunction("strftime_now") { (call, interpreter) throws(UserError) in
            .string(interpreter.formatTime(call.positional.first?.text ?? ""))
        },
        JinjaFunction("cycler") { (call, interpreter) throws(UserError) in
            guard !call.positional.isEmpty else {
                throw interpreter.failure("cycler needs values", call.line)
            }
            return .namespace(Interpreter.cycler(call.positional))
        },
        JinjaFunction("joiner") { (call, interpreter) throws(UserError) in
            let separator = call.argument(0, "sep") ?? .string(", ")
            let used = Namespace([:])
            return .function(
                JinjaFunction("joiner") { (_, _) throws(UserError) in
                    defer { used.fields["used"] = .bool(true) }
                    return used.fields["used"] == nil ? .string("") : separator
                })
        },
    ].map { ($0.name, $0) }

    /// Values that take turns: `next()`, `reset()`, `current`.
    private static func cycler(_ values: [JinjaValue]) -> Namespace {
        let cycler = Namespace(["current": values[0]])
        let position = Namespace(["next": .int(0)])
        cycler.fields["next"] = .function(
            JinjaFunction("next") { (_, _) throws(UserError) in
                let index = position.fields["next"]?.integer ?? 0
                position.fields["next"] = .int((index + 1) % values.count)
                cycler.fields["current"] = values[(index + 1) % values.count]
                return values[index]
            })
        cycler.fields["reset"] = .function(
            JinjaFunction("reset") { (_, _) throws(UserError) in
                position.fields["next"] = .int(0)
                cycler.fields["current"] = values[0]
                return .none
            })
        return cycler
    }

    private func range(_ call: JinjaFunction.Call) throws(UserError) -> JinjaValue {
        let bounds = call.positional.compactMap(\.integer)
        guard bounds.count == call.positional.count, 1...3 ~= bounds.count, bounds.count < 3 || bounds[2] != 0
        else {
            throw failure("range needs one to three integers", call.line)
        }
        let start = bounds.count == 1 ? 0 : bounds[0]
        let stop = bounds.count == 1 ? bounds[0] : bounds[1]
        let step = bounds.count == 3 ? bounds[2] : 1
        let (distance, overflows) = stop.subtractingReportingOverflow(start)
        guard !overflows, (distance / step).magnitude <= 100_000 else {
            throw failure("range has more than 100,000 numbers", call.line)
        }
        return .list(stride(from: start, to: stop, by: step).map { .int($0) })
    }
}
