import LFTorch
import Testing

@Suite struct AutogradTests {
    func leaf(_ values: [Double]) throws -> Tensor {
        let tensor = try Tensor(values)
        try tensor.setRequiresGrad(true)
        return tensor
    }

    @Test func gradientsAccumulateUntilTheyAreCleared() throws {
        let x = try leaf([1, 2, 3])
        #expect(try x.grad() == nil)
        try (x * x).sum().backward()
        try x.sum().backward()
        #expect(try x.grad()?.doubles() == [3, 5, 7])
        try x.setGrad(nil)
        #expect(try x.grad() == nil)
    }

    @Test func detachedTensorsEndTheGraph() throws {
        let x = try leaf([2])
        try (x * x.detached()).sum().backward()
        #expect(try x.grad()?.doubles() == [2])
    }

    @Test func withoutGradRestoresTheModeWhenItThrows() throws {
        struct Stop: Error {}
        #expect(recordsGrad)
        #expect(throws: Stop.self) {
            try withoutGrad {
                #expect(!recordsGrad)
                throw Stop()
            }
        }
        #expect(recordsGrad)
        let x = try leaf([1])
        #expect(try withoutGrad { () throws(TorchError) in try x * 2 }.requiresGrad == false)
        withoutGrad { withoutGrad { #expect(!recordsGrad) } }
        #expect(recordsGrad)
    }

    @Test func backwardNeedsAScalarThatIsTrained() throws {
        #expect(throws: TorchError.self) { try leaf([1, 2]).backward() }
        #expect(throws: TorchError.self) { try Tensor([1.0]).sum().backward() }
        #expect(throws: TorchError.self) { try (leaf([1, 2]) * 2).backward(grad: Tensor([1.0])) }
        #expect(throws: TorchError.self) { try (leaf([1]) * 2).setRequiresGrad(false) }
        #expect(throws: TorchError.self) { try Tensor([1 as Int64]).setRequiresGrad(true) }
    }

    @Test func inPlaceChangesAreNotRecorded() throws {
        let x = try leaf([1, 2])
        try x.addInPlace(Tensor([10.0, 10.0]), scale: 0.5)
        try x.multiplyInPlace(2)
        #expect(try x.doubles() == [12, 14])
        try x.copyInPlace(Tensor([5.0, 6.0]))
        try x.fillInPlace(7)
        #expect(try x.doubles() == [7, 7])
        try x.sum().backward()
        #expect(try x.grad()?.doubles() == [1, 1])
    }

    @Test func differencesAgreeWithTheGradientsOfOperations() throws {
        let x = try randomTensor([3, 4], 1)
        let y = try randomTensor([3, 4], 2)
        try expectGradient(of: [x, y]) { try $0[0].silu() * $0[1].tanh() + $0[0].sigmoid().log() }
        try expectGradient(of: [x]) { try $0[0].logSoftmax(dim: 1).selecting(Tensor([2, 0] as [Int64])) }
        try expectGradient(of: [x]) { try $0[0].groupSum(Tensor([1, 1, 0] as [Int64]), count: 2).squared() }
        try expectGradient(of: [x, y]) { try $0[0].matmul($0[1].transposed()).logSigmoid() }
        try expectGradient(of: [x]) { try $0[0].embedding(Tensor([0, 2, 2] as [Int64])).exp() }
    }

    // MARK: Recomputation

    @Test func recomputationChangesNothing() throws {
        let inputs = [try randomTensor([4, 3], 1), try randomTensor([5, 3], 2)]
        func body(_ x: Tensor, _ w: Tensor) throws(TorchError) -> Tensor {
            try siluMul(linear(x, w), linear(x, w))
        }
        try expectSameFunction(inputs, within: 0) { inputs in
            // A region over frozen weights and input records all the same; the value is what counts.
            guard inputs[0].requiresGrad || inputs[1].requiresGrad else {
                return try body(inputs[0], inputs[1])
            }
            return try recomputed(inputs[0]) { (x: Tensor) throws(TorchError) in try body(x, inputs[1]) }
        } _: {
            try body($0[0], $0[1])
        }
    }

    /// Each result of a region brings its own gradient; one that nothing uses brings none.
    @Test(arguments: [[0, 1, 2], [1], [2, 0]]) func aRegionHasSeveralResults(_ used: [Int]) throws {
        let inputs = [try randomTensor([4, 3], 1), try randomTensor([5, 3], 2)]
        func body(_ x: Tensor, _ w: Tensor) throws(TorchError) -> [Tensor] {
            let y = try linear(x, w)
            return [y, try y.squared(), try x.tanh()]
        }
        func total(_ results: [Tensor]) throws(TorchError) -> Tensor {
            var sum = try Tensor.scalar(0, .float64)
            for index in used { sum = try sum + results[index].sum() * Double(index + 1) }
            return sum
        }
        try expectSameFunction(inputs, within: 1e-15) { inputs in
            guard inputs[0].requiresGrad || inputs[1].requiresGrad else {
                return try total(body(inputs[0], inputs[1]))
            }
            return try total(
                recomputed(inputs[0]) { (x: Tensor) throws(TorchError) -> [Tensor] in
                    try body(x, inputs[1])
                })
        } _: {
            try total(body($0[0], $0[1]))
        }
    }

    @Test func nestedRecomputationChangesNothing() throws {
        let inputs = [try randomTensor([4, 3], 1), try randomTensor([3, 3], 2)]
        try expectSameFunction(inputs, within: 1e-15) { inputs in
            guard inputs[0].requiresGrad || inputs[1].requiresGrad else {
                return try linear(linear(inputs[0], inputs[1]).tanh(), inputs[1])
            }
            return try recomputed(inputs[0]) { (x: Tensor) throws(TorchError) in
                let inner = try recomputed(x) { (y: Tensor) throws(TorchError) in
                    try linear(y, inputs[1]).tanh()
                }
                return try linear(inner, inputs[1])
            }
        } _: {
            try linear(linear($0[0], $0[1]).tanh(), $0[1])
        }
    }

    @Test func aRecomputedRegionRunsTwiceAndIsReleased() throws {
        final class Probe { var runs = 0 }
        let probe = Probe()
        weak var watched: Probe?
        try {
            let inner = Probe()
            watched = inner
            let x = try leaf([1, 2])
            let y = try recomputed(x) { (x: Tensor) throws(TorchError) in
                inner.runs += 1
                probe.runs += 1
                return try x * x
            }
            #expect(probe.runs == 1)
            try y.sum().backward()
            #expect(try x.grad()?.doubles() == [2, 4])
        }()
        #expect(probe.runs == 2)
        #expect(watched == nil)
    }

    @Test func anErrorInsideARecomputedRegionKeepsItsWords() throws {
        let x = try leaf([1, 2])
        let error = #expect(throws: TorchError.self) {
            try recomputed(x) { (x: Tensor) throws(TorchError) in try x.reshaped([3]) }
        }
        #expect(error?.message.contains("shape '[3]'") == true)
        #expect(recordsGrad)
        let memory = #expect(throws: TorchError.self) {
            try recomputed(x) { (_: Tensor) throws(TorchError) in try Tensor.zeros([1 << 20, 1 << 28]) }
        }
        #expect(memory?.kind == .outOfMemory)
    }
}
