import Crypto
import Foundation
import LFGGUF
import LFJSON
import Testing

@Suite struct TensorTypeTests {
    // MARK: By hand

    @Test func sizesOfBlocksAreThoseOfTheFormat() {
        let sizes: [TensorType: [Int]] = [
            .float32: [1, 4], .float16: [1, 2], .bfloat16: [1, 2], .q40: [32, 18], .q41: [32, 20],
            .q50: [32, 22], .q51: [32, 24], .q80: [32, 34], .q4K: [256, 144], .q5K: [256, 176],
            .q6K: [256, 210],
        ]
        for type in TensorType.allCases {
            #expect([type.blockWeights, type.byteCount(of: type.blockWeights)] == sizes[type])
        }
    }

    @Test func halvesAreRoundedToEven() {
        let weights: [Float] = [
            1, -2, 65504, 0x1p-24, 0x1p-25, 0x1.8p-24, 1 + 0x1p-11, 1 + 0x1.8p-10, 1e9, 0,
        ]
        let bits: [UInt16] = [0x3C00, 0xC000, 0x7BFF, 1, 0, 2, 0x3C00, 0x3C02, 0x7C00, 0]
        #expect(TensorType.float16.encode(weights) == bits.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
        #expect(TensorType.bfloat16.encode([1 + 0x1p-8, 1 + 0x1.8p-7]) == [0x80, 0x3F, 0x82, 0x3F])
    }

    /// The largest weight is 127 steps: the scale is 1.
    @Test func eightBitsHoldWholeNumbers() {
        var weights = [Float](repeating: 0, count: 32)
        weights[0] = 127
        weights[1] = -1
        weights[2] = 2.5
        weights[31] = -126
        let bytes: [UInt8] = [0x00, 0x3C, 127, 255, 3] + [UInt8](repeating: 0, count: 28) + [130]
        #expect(TensorType.q80.encode(weights) == bytes)
        weights[2] = 3
        #expect(TensorType.q80.decode(bytes, count: 32) == weights)
    }

    /// Weights from -8 to 7 in steps of 1 are the sixteen codes; bytes hold weights 16 apart.
    @Test func fourBitsHoldSixteenSteps() {
        let weights = (0..<32).map { Float($0 % 16 - 8) }
        let codes = (0..<16).map { UInt8($0 | $0 << 4) }
        #expect(TensorType.q40.encode(weights) == [0x00, 0x3C] + codes)
        #expect(TensorType.q40.decode([0x00, 0x3C] + codes, count: 32) == weights)
        // Between the least, -8, and 7, with a scale of 1.
        #expect(TensorType.q41.encode(weights) == [0x00, 0x3C, 0x00, 0xC8] + codes)
        #expect(TensorType.q41.decode([0x00, 0x3C, 0x00, 0xC8] + codes, count: 32) == weights)
    }

    @Test func fiveBitsHoldThirtyTwoSteps() {
        let weights = (0..<32).map { Float($0 - 16) }
        let codes = (0..<16).map { UInt8($0 | $0 << 4) }
        // The fifth bit is set for the second half of the weights.
        #expect(TensorType.q50.encode(weights) == [0x00, 0x3C, 0, 0, 255, 255] + codes)
        #expect(TensorType.q51.encode(weights) == [0x00, 0x3C, 0x00, 0xCC, 0, 0, 255, 255] + codes)
    }

    // MARK: Against gguf-py and ggml

    @Test func blocksAreThoseOfTheReference() throws {
        let recorded = try JSONValue.read(path: fixture("golden/gguf/blocks.json"))
        let digits = try #require(recorded["weights"]?.string)
        let weights = try bytes(digits).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let blocks = try #require(recorded["blocks"]?.object)
        #expect(blocks.count == 10)
        for (name, block) in blocks {
            let type = try #require(TensorType.allCases.first { $0.name == name })
            let expected = try bytes(#require(block["bytes"]?.string))
            #expect(type.encode(weights) == expected, "\(name)")
            let values = type.decode(expected, count: weights.count)
            let digest = values.withUnsafeBytes { SHA256.hash(data: Data($0)) }
            let hex = digest.map { String(format: "%02x", $0) }.joined()
            #expect(hex == block["values"]?.string, "\(name)")
        }
    }

    // MARK: Properties

    @Test func aTensorIsItsBlocksWhateverTheNumberOfThreads() {
        var state: UInt32 = 7
        let weights = (0..<256 * 700).map { _ -> Float in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(state >> 8) / Float(1 << 24) - 0.5
        }
        for type in TensorType.allCases {
            let pieces = stride(from: 0, to: weights.count, by: 256).flatMap {
                type.encode(Array(weights[$0..<$0 + 256]))
            }
            #expect(type.encode(weights) == pieces, "\(type.name)")
            #expect(type.encode([]) == [])
        }
    }

    /// Uniform weights: a code of n bits misses by 1/√12 of a step.
    @Test func roundingCostsWhatTheNumberOfBitsSays() {
        var state: UInt32 = 11
        let weights = (0..<256 * 40).map { _ -> Float in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(state >> 8) / Float(1 << 23) - 1
        }
        let bounds: [(TensorType, ClosedRange<Double>)] = [
            (.float32, 0...0), (.float16, 1e-4...4e-4), (.bfloat16, 1e-3...3e-3), (.q80, 0.003...0.005),
            (.q6K, 0.012...0.02), (.q5K, 0.025...0.035), (.q51, 0.025...0.035), (.q50, 0.028...0.04),
            (.q4K, 0.05...0.075), (.q41, 0.05...0.075), (.q40, 0.055...0.085),
        ]
        for (type, range) in bounds {
            var loss = RoundingLoss()
            loss.add(weights, type.encode(weights), type)
            #expect(range.contains(loss.relative), "\(type.name): \(loss.relative)")
            #expect(loss.isFinite)
        }
        var loss = RoundingLoss()
        loss.add([.nan], TensorType.float32.encode([.nan]), .float32)
        #expect(!loss.isFinite)
        loss = RoundingLoss()
        loss.add([1e6], TensorType.float16.encode([1e6]), .float16)
        #expect(!loss.isFinite)
    }
}

func fixture(_ path: String) -> String {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return tests.deletingLastPathComponent().appendingPathComponent("Fixtures/\(path)").path
}

/// The bytes of hexadecimal digits.
func bytes(_ digits: String) throws -> [UInt8] {
    let digits = Array(digits.utf8)
    return try stride(from: 0, to: digits.count, by: 2).map { index in
        try #require(UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16))
    }
}
