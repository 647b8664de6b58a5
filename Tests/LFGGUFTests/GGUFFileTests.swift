import Foundation
import LFDiagnostics
import LFGGUF
import Testing

@Suite struct GGUFFileTests {
    private func tensor(
        _ name: String, _ shape: [Int], _ type: TensorType, _ weights: [Float],
        change: WeightChange = WeightChange()
    ) -> GGUFTensor {
        let width = shape.last ?? 1
        let source = SourceTensor(name: "source of \(name)", shape: shape) {
            { rows in Array(weights[rows.lowerBound * width..<rows.upperBound * width]) }
        }
        return GGUFTensor(name: name, shape: shape, type: type, sources: [source], change: change)
    }

    private func written(_ tensors: [GGUFTensor], _ metadata: GGUFMetadata) throws -> [UInt8] {
        let path = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString).gguf"
        defer { removeTree(path) }
        _ = try writeGGUF(tensors, metadata: metadata, to: path) {}
        return try Array(Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// Every byte of a small file, by the format's description.
    @Test func bytesAreThoseOfTheFormat() throws {
        let file = try written(
            [tensor("t", [2, 3], .float32, [1, 2, 3, 4, 5, 6]), tensor("u", [1], .float16, [1])],
            [("a", .uint32(7)), ("b", .strings(["x", "yz"])), ("c", .bool(true)), ("d", .int32s([-1]))])
        func number(_ value: UInt64, _ width: Int) -> [UInt8] {
            (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        }
        func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count), 8) + Array(text.utf8) }
        var expected = Array("GGUF".utf8) + number(3, 4) + number(2, 8) + number(4, 8)
        expected += text("a") + number(4, 4) + number(7, 4)
        expected += text("b") + number(9, 4) + number(8, 4) + number(2, 8) + text("x") + text("yz")
        expected += text("c") + number(7, 4) + [1]
        expected += text("d") + number(9, 4) + number(5, 4) + number(1, 8) + [255, 255, 255, 255]
        // Sizes stand the other way round; the second tensor begins at a multiple of 32.
        expected += text("t") + number(2, 4) + number(3, 8) + number(2, 8) + number(0, 4) + number(0, 8)
        expected += text("u") + number(1, 4) + number(1, 8) + number(1, 4) + number(32, 8)
        expected += [UInt8](repeating: 0, count: (32 - expected.count % 32) % 32)
        for value: Float in [1, 2, 3, 4, 5, 6] { expected += number(UInt64(value.bitPattern), 4) }
        expected += [UInt8](repeating: 0, count: 8) + [0x00, 0x3C] + [UInt8](repeating: 0, count: 30)
        #expect(file == expected)
    }

    /// Neighbours in llama.cpp are the two halves of a head here.
    @Test func rowsOfAHeadChangePlaces() {
        var rows: [Float] = [0, 0, 1, 1, 2, 2, 3, 3, 10, 10, 11, 11, 12, 12, 13, 13]
        WeightChange(headRows: 4)(&rows, width: 2)
        #expect(rows == [0, 0, 2, 2, 1, 1, 3, 3, 10, 10, 12, 12, 11, 11, 13, 13])
        var biases: [Float] = [0, 1, 2, 3, 4, 5]
        WeightChange(headRows: 6)(&biases, width: 1)
        #expect(biases == [0, 3, 1, 4, 2, 5])
        var norm: [Float] = [-1, 0, 0.5]
        WeightChange(shift: 1, factor: 2)(&norm, width: 3)
        #expect(norm == [0, 2, 3])
    }

    @Test func expertsLieOneBehindTheOther() throws {
        let sources = (0..<3).map { expert in
            SourceTensor(name: "e\(expert)", shape: [2, 1]) {
                { rows in rows.map { Float(10 * expert + $0) } }
            }
        }
        let stack = GGUFTensor(
            name: "s", shape: [3, 2, 1], type: .float32, sources: sources, change: WeightChange())
        let file = try written([stack], [])
        let values = file.suffix(32).prefix(24).withUnsafeBytes { bytes in
            (0..<6).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
        #expect(values == [0, 1, 10, 11, 20, 21])
    }

    @Test func whatCannotBeWrittenLeavesNothing() throws {
        let folder = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString)"
        try createDirectories(at: folder)
        defer { removeTree(folder) }
        let cases: [(GGUFTensor, String)] = [
            (tensor("t", [1], .float32, [.infinity]), "holds the value inf"),
            (tensor("t", [2], .float16, [1, 70000]), "holds values up to 70000.0, which F16 cannot hold"),
        ]
        for (tensor, problem) in cases {
            let error = #expect(throws: UserError.self) {
                _ = try writeGGUF([tensor], metadata: [], to: folder + "/m.gguf") {}
            }
            #expect(error?.problem.contains("\"source of t\" \(problem)") ?? false)
        }
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            _ = try writeGGUF([tensor("t", [1], .float32, [1])], metadata: [], to: folder + "/m.gguf") {
                throw Stop()
            }
        }
        #expect(directoryEntries(folder).isEmpty)
    }
}
