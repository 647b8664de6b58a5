package import LFConfig
package import LFDiagnostics
import Foundation
import LFJSON

/// A question with four answers to choose from.
package struct BenchmarkQuestion: Sendable, Equatable {
    package var text: String
    /// The texts of A, B, C and D.
    package var choices: [String]
    /// The letter of the right one; nil where the benchmark's makers keep it to themselves.
    package var answer: String?

    /// The letters of the choices.
    package static let letters = ["A", "B", "C", "D"]

    package init(text: String, choices: [String], answer: String?) {
        (self.text, self.choices, self.answer) = (text, choices, answer)
    }
}

/// A subject of a benchmark.
package struct BenchmarkSubject: Sendable, Equatable {
    /// What its files are called.
    package var key: String
    /// What prompts call it.
    package var name: String
    /// The group of subjects that it counts for, one of `BenchmarkFolder.categories`.
    package var category: String

    package init(key: String, name: String, category: String) {
        (self.key, self.name, self.category) = (key, name, category)
    }
}

/// The files of MMLU, C-Eval or CMMLU (upstream's folder `evaluation`): `mapping.json`, and of each subject the examples
/// in `dev` and the questions in `val` and `test` as comma-separated text. They may lie in a folder `data`, as MMLU's archive has them.
package struct BenchmarkFolder: Sendable {
    package typealias Split = EvaluationArguments.Split

    /// Upstream's groups of subjects, in the order in which scores are listed.
    package static let categories = ["STEM", "Social Sciences", "Humanities", "Other"]

    package let subjects: [BenchmarkSubject]
    private let benchmark: EvaluationArguments.Benchmark
    /// The folder that holds `dev`, `val` and `test`.
    private let dataFolder: String

    /// Reads the list of subjects.
    ///
    /// - Throws: `UserError` for a folder or a list that is missing or not what it should be.
    package init(_ benchmark: EvaluationArguments.Benchmark, in directory: String) throws {
        self.benchmark = benchmark
        let folder = directory + "/" + benchmark.rawValue
        guard Self.isFolder(folder) else {
            throw UserError(
                .configuration,
                "task_dir is \"\(directory)\", which has no folder \"\(benchmark.rawValue)\".",
                remedy: "Name the folder that holds \(benchmark.rawValue)/mapping.json.")
        }
        subjects = try Self.subjects(folder + "/mapping.json")
        guard let found = [folder + "/data", folder].first(where: { Self.isFolder($0 + "/dev") }) else {
            let archive = "\(folder)/\(benchmark.rawValue).zip"
            let isPacked = FileManager.default.fileExists(atPath: archive)
            throw UserError(
                .configuration,
                isPacked
                    ? "The questions are still packed in \(archive)."
                    : "There is no folder \"dev\" with examples, nor \"data/dev\".",
                at: folder,
                remedy: isPacked
                    ? "Run `unzip \(archive) -d \(folder)`."
                    : "Put the benchmark's folders dev, val and test there.")
        }
        dataFolder = found
    }

    private static func isFolder(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
            && isDirectory.boolValue
    }

    private static func subjects(_ path: String) throws -> [BenchmarkSubject] {
        guard let entries = try JSONValue.read(path: path).object else {
            throw UserError(
                .failedRun, "The file does not hold an object.", at: path,
                remedy: #"Write {"SUBJECT": {"name": …, "category": …}, …}."#)
        }
        guard !entries.isEmpty else {
            throw UserError(.failedRun, "The file names no subject.", at: path, remedy: "Add one.")
        }
        return try entries.map { key, entry in
            guard let name = entry["name"]?.string, let category = entry["category"]?.string else {
                throw UserError(
                    .failedRun, "The subject \"\(key)\" has no name or no category.", at: path,
                    remedy: #"Write {"name": …, "category": …}, both as text."#)
            }
            guard categories.contains(category) else {
                throw UserError(
                    .failedRun, "The subject \"\(key)\" has the category \"\(category)\".", at: path,
                    remedy: "Use one of \(categories.joined(separator: ", ")).")
            }
            return BenchmarkSubject(key: key, name: name, category: category)
        }
    }

    /// Where the questions of a subject lie.
    package func path(of subject: BenchmarkSubject, _ split: Split) -> String {
        let folder =
            switch split {
            case .train: "dev"
            case .validation: "val"
            case .test: "test"
            }
        let suffix = benchmark == .cmmlu ? "" : "_" + folder
        return "\(dataFolder)/\(folder)/\(subject.key)\(suffix).csv"
    }

    /// The questions of a subject in the order of their file.
    ///
    /// - Throws: `UserError` naming file, row and line.
    package func questions(
        of subject: BenchmarkSubject, _ split: Split
    ) throws(UserError) -> [BenchmarkQuestion] {
        let path = path(of: subject, split)
        let bytes = try DataFileReader(path: path).readToEnd()
        // Who takes part in C-Eval does not know the answers of its test.
        let mayLackAnswers = benchmark == .ceval && split == .test
        return try QuestionTable(
            bytes, path: path, hasHeader: benchmark != .mmlu, mayLackAnswers: mayLackAnswers
        ).questions
    }
}
