package import LFDiagnostics
package import LFJSON
import LFModelConfig

/// A model that lies in a GGUF file, as a Hugging Face checkpoint: its config.json, and its tensors under their names there.
package struct GGUFCheckpoint {
    package let config: JSONObject
    package let tensors: [StoredTensor]
    /// Where the file lies, for messages.
    package let path: String

    /// A tensor of the checkpoint and the part of the file's that holds it.
    package struct StoredTensor: Sendable {
        /// Its name in a Hugging Face checkpoint.
        package let name: String
        package let shape: [Int]
        package let entry: GGUFEntry
        /// Which of the entry's parts along the first dimension it is; nil for all of it.
        package let expert: Int?
        /// What `GGUFTensor.change` has made of it.
        package let change: WeightChange

        /// Whether the file holds the very numbers.
        package var isPlain: Bool { change == WeightChange() }

        /// Bytes from the start of the file.
        package var range: Range<Int> {
            guard let expert else { return entry.range }
            let size = entry.range.count / entry.shape[0]
            return entry.range.lowerBound + expert * size..<entry.range.lowerBound + (expert + 1) * size
        }

        /// The weights as the checkpoint has them.
        ///
        /// - Parameter file: The whole file.
        package func weights(in file: UnsafeRawBufferPointer) -> [Float] {
            let count = shape.reduce(1, *)
            var weights = entry.type.decode(UnsafeRawBufferPointer(rebasing: file[range]), count: count)
            change.undo(&weights, width: shape.count == 1 ? 1 : shape.last ?? 1)
            return weights
        }
    }

    /// - Parameter file: The whole file, whose table of contents is `contents`.
    /// - Throws: `UserError` naming a key or tensor that is missing, or that no model here has.
    package init(_ contents: GGUFContents, file: UnsafeRawBufferPointer) throws(UserError) {
        path = contents.path
        let metadata = ConfigFile(contents.metadata, path: contents.path)
        if let parts = contents.metadata["split.count"]?.int, parts > 1 {
            throw UserError(
                .failedRun, "is one of \(parts) parts of a model.", at: path,
                remedy: "Join them to one file with llama.cpp's `llama-gguf-split --merge`.")
        }
        let architecture = try metadata.text("general.architecture")
        let isMixture = contents.metadata["\(architecture).expert_count"]?.int ?? 0 > 0
        let found = GGUFFamily.all.filter {
            $0.value.architecture == architecture && ($0.value.defaults.mixture != nil) == isMixture
        }
        // Of two families with one architecture the plainer one: Mistral's window is not in the file.
        guard let (type, family) = found.min(by: { $0.key < $1.key }) else {
            let known = Set(GGUFFamily.all.values.map(\.architecture)).sorted().joined(separator: ", ")
            throw UserError(
                .failedRun, "holds a model of the architecture \"\(architecture)\", which is not read.",
                at: contents.path, remedy: "Use a file of one of \(known).")
        }
        var reading = GGUFReading(contents, metadata, family, type, file)
        config = try reading.config()
        tensors = try reading.tensors()
    }
}

extension WeightChange {
    /// The inverse; exact where only rows change places.
    package func undo(_ weights: inout [Float], width: Int) {
        if shift != 0 || factor != 1 {
            for index in weights.indices { weights[index] = weights[index] / factor - shift }
        }
        guard let headRows else { return }
        let source = weights
        let half = headRows / 2
        for row in 0..<weights.count / width {
            let (head, place) = (row / headRows * headRows, row % headRows)
            let from = head + place % half * 2 + place / half
            weights.replaceSubrange(
                row * width..<(row + 1) * width, with: source[from * width..<(from + 1) * width])
        }
    }
}
