import Foundation
import LFDiagnostics

/// A folder that goes away with the test.
final class ScratchFolder {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "lf-" + UUID().uuidString
        mkdir(path, 0o755)
    }

    /// The names in the folder, sorted.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    }

    func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
        return path + "/" + name
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    /// A safetensors file from a header's text and the bytes behind it.
    @discardableResult
    func write(_ name: String, header: String, data: [UInt8] = []) throws -> String {
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
        return try write(name, length + Array(header.utf8) + data)
    }

    deinit { removeTree(path) }
}
