/// A model that upstream lists by name, with where it is published and which template it was trained with.
package struct PublishedModel: Sendable, Equatable {
    /// Upstream's name, such as `Llama-3-8B-Instruct`.
    package var name: String
    /// Its group's template; nil where the group has none.
    package var groupTemplate: String?
    /// `model_type` of its config.json.
    package var architecture: String
    /// Whether it reads images, video or sound.
    package var isMultimodal: Bool
    /// Whether it is published in fewer bits only.
    package var isQuantized: Bool
    /// Its repositories, `owner/name`; nil where a hub does not have it.
    package var huggingFace: String
    package var modelScope: String?
    package var openMind: String?

    /// The template that upstream chooses for it: a model that was only pre-trained has none.
    package var template: String? {
        let isChat = ["-Chat", "-Distill", "-Instruct", "-Thinking"].contains { name.containsBytes(of: $0) }
        return isChat || isMultimodal ? groupTemplate : nil
    }

    fileprivate var repositories: [String] { [huggingFace, modelScope, openMind].compactMap(\.self) }
}

/// The models that upstream lists (`extras/constants.py`): 131 groups.
///
/// The files `PublishedModels+….swift` hold them as lines in upstream's order. A line that begins with `#` opens a group: its template (`-` for none), the
/// architecture of its models, `media` where they read more than text. Every other line is a model: its name, and its repositories at the Hugging Face hub, at
/// ModelScope and at OpenMind. `Owner/` alone stands for the first repository's last part, which is the model's name unless given; `=`, or nothing, for the first
/// repository itself; `-` for none. Behind `!` follow another architecture than the group's, and `quantized`.
package enum PublishedModels {
    package static let all: [PublishedModel] = groups.flatMap(\.self)

    package static let groups: [[PublishedModel]] = {
        var groups: [[PublishedModel]] = []
        var heading: [Substring] = []
        for line in [part1, part2, part3, part4].joined(separator: "\n").split(separator: "\n") {
            let words = line.split(separator: " ")
            if words[0] == "#" {
                heading = words
                groups.append([])
            } else {
                groups[groups.count - 1].append(model(words, in: heading))
            }
        }
        return groups
    }()

    private static func model(_ words: [Substring], in heading: [Substring]) -> PublishedModel {
        let name = String(words[0])
        let places = words.dropFirst().filter { !$0.hasPrefix("!") }.map(String.init)
        let marks = words.filter { $0.hasPrefix("!") }.map { String($0.dropFirst()) }
        func whole(_ place: String, _ last: Substring) -> String {
            place.hasSuffix("/") ? place + last : place
        }
        let first = whole(places[0], words[0])
        func other(_ index: Int) -> String? {
            guard places.count > index else { return index == 1 ? first : nil }
            if places[index] == "=" { return first }
            return places[index] == "-" ? nil : whole(places[index], lastPart(first))
        }
        return PublishedModel(
            name: name, groupTemplate: heading[1] == "-" ? nil : String(heading[1]),
            architecture: marks.first { $0 != "quantized" } ?? String(heading[2]),
            isMultimodal: heading.last == "media", isQuantized: marks.contains("quantized"),
            huggingFace: first, modelScope: other(1), openMind: other(2))
    }

    /// The models that a path or a repository's name stands for.
    ///
    /// That is: a repository as it is published, or its folder in a hub's cache; else a folder, or another owner's copy, whose last part is that of a
    /// published repository or a model's name. Letters' case does not matter.
    package static func matching(_ path: String) -> [PublishedModel] {
        var parts = path.lowercased().replacing("___", with: ".").split(separator: "/").filter { $0 != "." }
        if let folder = parts.last(where: { $0.hasPrefix("models--") }) {
            parts = Array(folder.split(separator: "--").dropFirst())
        }
        guard let last = parts.last else { return [] }
        let whole = parts.joined(separator: "/")
        let published = all.filter { $0.repositories.contains { $0.lowercased() == whole } }
        if !published.isEmpty { return published }
        return all.filter { model in
            model.name.lowercased() == last
                || model.repositories.contains { lastPart($0.lowercased()) == last }
        }
    }

    /// A word of warning where a template is not the one that the model was trained with.
    ///
    /// A model that thinks may also be trained without thoughts, by the template of the same name with `_nothink`.
    ///
    /// - Parameter path: The model as the user named it.
    package static func warning(template name: String, of path: String) -> String? {
        let models = matching(path)
        var templates: [String] = []
        for model in models {
            guard let template = model.template, TemplateCatalogue.template(named: template) != nil else {
                return nil
            }
            if name == template || name == template + "_nothink" { return nil }
            if !templates.contains(template) { templates.append(template) }
        }
        guard let model = models.first else { return nil }
        let choice = templates.map { "`template: \($0)`" }.joined(separator: " or ")
        return
            "The template \"\(name)\" is not the one that \(model.name) was trained with. Use \(choice), unless the difference is meant."
    }

    /// The template of all text models whose names begin with a word; nil where there are several, or none.
    ///
    /// Only letters and numbers count: `qwen2_5` begins `Qwen2.5-0.5B-Instruct`.
    package static func template(ofModelsNamed word: String) -> String? {
        let beginning = parts(of: word)
        guard word.contains(where: \.isLetter) else { return nil }
        let models = all.filter { !$0.isMultimodal && parts(of: $0.name).starts(with: beginning) }
        let templates = Set(models.compactMap(\.template))
        guard templates.count == 1, let template = templates.first else { return nil }
        return TemplateCatalogue.template(named: template) == nil ? nil : template
    }

    /// Runs of letters and runs of digits, in lower case.
    private static func parts(of name: String) -> [String] {
        var parts: [String] = []
        var last: Character?
        for character in name.lowercased() {
            if character.isLetter || character.isNumber {
                if let last, last.isLetter == character.isLetter, last.isNumber == character.isNumber {
                    parts[parts.count - 1].append(character)
                } else {
                    parts.append(String(character))
                }
            }
            last = character
        }
        return parts
    }

    private static func lastPart(_ path: String) -> Substring {
        path.split(separator: "/").last ?? ""
    }
}
