import Foundation
import LFJSON

/// A regular expression for whole names of modules, as Python writes it.
public struct NamePattern: Sendable, Equatable {
    public let text: String
    private let regex: NSRegularExpression

    /// - Returns: nil for what is not a regular expression.
    init?(_ text: String) {
        guard (try? NSRegularExpression(pattern: Self.renamed(text))) != nil,
            let regex = try? NSRegularExpression(pattern: "(?:\(Self.renamed(text)))\\z")
        else { return nil }
        self.text = text
        self.regex = regex
    }

    public func matches(_ name: String) -> Bool {
        let range = NSRange(location: 0, length: name.utf16.count)
        return regex.firstMatch(in: name, options: .anchored, range: range) != nil
    }

    /// Python's spelling of groups with names.
    private static func renamed(_ text: String) -> String {
        text.replacingOccurrences(of: "(?P<", with: "(?<")
    }

    public static func == (a: Self, b: Self) -> Bool { a.text == b.text }
}

/// The settings by which an adapter chooses modules, or treats them differently, beyond a list of targets: PEFT's
/// `check_target_module_exists` and `get_pattern_key`.
public struct LoRAModuleChoice: Sendable, Equatable {
    enum Names: Sendable, Equatable {
        case ends([String])
        case pattern(NamePattern)

        func contains(_ name: String) -> Bool {
            switch self {
            case .ends(let ends): ends.contains { name == $0 || name.hasSuffix("." + $0) }
            case .pattern(let pattern): pattern.matches(name)
            }
        }
    }

    /// What another rank or α holds for.
    struct Exception<Value: Sendable & Equatable>: Sendable, Equatable {
        var pattern: NamePattern
        var value: Value
    }

    /// The keys of the settings that are read here.
    static let keys = [
        "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
    ]

    /// The names of adapted modules, in place of a list of targets.
    public internal(set) var pattern: NamePattern?
    var excluded: Names?
    /// The numbers of the layers that have adapters; nil for all.
    var layers: [Int]?
    /// What stands before a layer's number; none for anything.
    var layerLists: [String] = []
    var ranks: [Exception<Int>] = []
    var alphas: [Exception<Double>] = []
    /// What the file says under `keys`.
    var settings = JSONObject()

    /// The adapters of training here, which need none of it.
    public init() {}

    /// The exception of the first pattern that matches a name, or the end of one.
    static func value<Value>(of name: String, _ exceptions: [Exception<Value>]) -> Value? {
        exceptions.first { $0.pattern.matches(name) }?.value
    }

    /// Whether the layer that a module lies in has adapters.
    func includesLayer(of name: String) -> Bool {
        guard let layers else { return true }
        let lists = layerLists.isEmpty ? ["[^.]*"] : layerLists
        for list in lists {
            if let number = Self.layer(of: name, in: list) { return layers.contains(number) }
        }
        return false
    }

    /// The last number that follows a list's name, of an expert where these have numbers too.
    private static func layer(of name: String, in list: String) -> Int? {
        let range = NSRange(location: 0, length: name.utf16.count)
        guard let regex = layerExpression(list),
            let match = regex.firstMatch(in: name, options: .anchored, range: range),
            let digits = Range(match.range(at: 1), in: name)
        else { return nil }
        return Int(name[digits])
    }

    /// - Returns: nil where `list` is not a regular expression without groups.
    static func layerExpression(_ list: String) -> NSRegularExpression? {
        guard let regex = try? NSRegularExpression(pattern: ".*\\.\(list)\\.(\\d+)\\."),
            regex.numberOfCaptureGroups == 1
        else { return nil }
        return regex
    }
}

extension LoRAAdapterConfig {
    /// Stands for all linear layers but the head, where `target_modules` holds it instead of a pattern.
    static let allLinear = "all-linear"

    /// Whether a module is one of those that the settings put an adapter on.
    ///
    /// - Parameters:
    ///   - name: The module's whole name.
    ///   - isInnerLinear: Whether it is a linear layer and not the head.
    public func adapts(_ name: String, isInnerLinear: Bool) -> Bool {
        if choice.excluded?.contains(name) == true { return false }
        if modulesToSave?.contains(where: { isPart(name, ofWhole: $0) }) == true { return false }
        if let pattern = choice.pattern {
            return pattern.text.lowercased() == Self.allLinear ? isInnerLinear : pattern.matches(name)
        }
        if targetModules.contains(name) { return true }
        return LoRAModuleChoice.Names.ends(targetModules).contains(name) && choice.includesLayer(of: name)
    }

    /// Whether a module is one that is trained whole, or lies in one.
    private func isPart(_ name: String, ofWhole module: String) -> Bool {
        ("." + name + ".").contains("." + module + ".")
    }

    /// The rank of a module's adapter.
    public func rank(of name: String) -> Int { LoRAModuleChoice.value(of: name, choice.ranks) ?? r }

    /// The α of a module's adapter.
    public func alpha(of name: String) -> Double {
        LoRAModuleChoice.value(of: name, choice.alphas) ?? loraAlpha
    }

    /// What the product of a module's two matrices is multiplied by.
    public func scaling(of name: String) -> Double {
        let rank = Double(rank(of: name))
        return alpha(of: name) / (usesRSLoRA ? rank.squareRoot() : rank)
    }
}
