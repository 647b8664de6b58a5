import LFTorch
import Testing

/// Numbers recorded from PyTorch 2.13 (`torch.Generator().manual_seed(…)`, CPU).
@Suite struct GeneratorTests {
    @Test func permutationsArePyTorchs() throws {
        #expect(try Generator(seed: 42).permutation(10) == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7])
        let stream = try Generator(seed: 7)
        #expect(try stream.permutation(6) == [3, 0, 1, 5, 2, 4])
        #expect(try stream.permutation(6) == [3, 0, 5, 4, 2, 1])
        #expect(try stream.permutation(6) == [4, 2, 1, 3, 0, 5])
        #expect(try stream.permutation(0) == [])
    }

    @Test func uniformNumbersArePyTorchs() throws {
        let tensor = try Tensor.zeros([5])
        try tensor.fillUniformInPlace(-0.5, 0.5, Generator(seed: 42))
        #expect(
            try tensor.floats() == [
                0.3822692632675171, 0.4150039553642273, -0.11713624, 0.45930564, -0.10955179,
            ])
        let wide = try Tensor.zeros([3], .float64)
        try wide.fillUniformInPlace(0, 1, Generator(seed: 42))
        #expect(try wide.doubles() == [0.05815448596142969, 0.06291016742457756, 0.12358607277440903])
    }

    @Test func normalNumbersArePyTorchs() throws {
        // Below 16 elements libtorch draws one by one, from 16 on in vectors.
        let few = try Tensor.zeros([5])
        try few.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: 42))
        try expectClose(
            few,
            Tensor([
                0.33669036626815796, 0.12880940735340118, 0.23446236550807953, 0.23033303022384644,
                -1.1228563785552979,
            ]),
            within: 1e-7)
        let many = try Tensor.zeros([20])
        try many.fillNormalInPlace(mean: 1, deviation: 2, Generator(seed: 42))
        try expectClose(
            many.slice(15..<20),
            Tensor([
                2.719717025756836, 0.3805464506149292, 0.20857900381088257, 2.606818675994873,
                -0.24319076538085938,
            ]),
            within: 1e-6)
    }

    @Test func dropoutMasksArePyTorchs() throws {
        let mask = try Tensor.zeros([16]).dropoutMask(0.25, Generator(seed: 42))
        #expect(try (mask * 0.75 .> 0.5).bools().enumerated().filter { !$1 }.map(\.offset) == [6, 7, 12, 13])
        #expect(try mask.max().item() == Double(Float(1) / Float(0.75)))
    }

    @Test func aSavedStateGoesOnWhereItWas() throws {
        let stream = try Generator(seed: 3)
        _ = try stream.permutation(1000)
        let state = try stream.state()
        let next = try stream.permutation(50)
        let other = try Generator(seed: 8)
        try other.restore(state)
        #expect(try other.permutation(50) == next)
        try stream.reseed(3)
        #expect(try stream.permutation(5) == Generator(seed: 3).permutation(5))
    }

    @Test func oneIndexPerRowIsDrawn() throws {
        let certain = try Tensor([0, 1, 0, 0, 0, 1] as [Float], [2, 3])
        #expect(try certain.multinomial(Generator(seed: 1)).int64s() == [1, 2])
    }
}
