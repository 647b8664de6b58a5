import LFTorch
import Testing

@Suite struct TensorTests {
    @Test func arithmeticBroadcastsAndKeepsTheType() throws {
        let a = try Tensor([1, 2, 3, 4, 5, 6] as [Float], [2, 3])
        let b = try Tensor([10, 20, 30] as [Float])
        #expect(try (a + b).floats() == [11, 22, 33, 14, 25, 36])
        #expect(try (a - b).floats() == [-9, -18, -27, -6, -15, -24])
        #expect(try (a * b / b).floats() == [1, 2, 3, 4, 5, 6])
        #expect(try (1 - a).floats() == [0, -1, -2, -3, -4, -5])
        #expect(try (2 * a + 1).floats() == [3, 5, 7, 9, 11, 13])
        #expect(try (-a).floats() == [-1, -2, -3, -4, -5, -6])
        #expect(try (a * 0.5).dtype == .float32)
        #expect(try Tensor.maximum(a, b).floats() == [10, 20, 30, 10, 20, 30])
        #expect(try a.clamped(min: 2).clamped(max: 5).floats() == [2, 2, 3, 4, 5, 5])
    }

    @Test func comparisonsAreBooleans() throws {
        let a = try Tensor([1, 2, 3] as [Float])
        let greater = try a .> 2.0
        #expect(greater.dtype == .bool)
        #expect(try greater.bools() == [false, false, true])
        #expect(try (a .>= 2.0).bools() == [false, true, true])
        #expect(try (a .< Tensor([2, 2, 4] as [Float])).bools() == [true, false, true])
        #expect(try Tensor([1, .nan, .infinity] as [Float]).isFinite().bools() == [true, false, false])
    }

    @Test func reductions() throws {
        let a = try Tensor([1, 5, 3, 4, 2, 6] as [Double], [2, 3])
        #expect(try a.sum().item() == 21)
        #expect(try a.mean().item() == 3.5)
        #expect(try a.max().item() == 6)
        #expect(try a.min().item() == 1)
        #expect(try a.sum(dim: 0).doubles() == [5, 7, 9])
        #expect(try a.mean(dim: -1, keepDim: true).shape == [2, 1])
        #expect(try a.max(dim: 1).doubles() == [5, 6])
        #expect(try a.argmax(dim: 1).int64s() == [1, 2])
        #expect(try a.cumulativeSum(dim: 1).doubles() == [1, 6, 9, 4, 6, 12])
        let (values, indices) = try a.top(2, dim: 1)
        #expect(try values.doubles() == [5, 3, 6, 4])
        #expect(try indices.int64s() == [1, 2, 2, 0])
        #expect(try a.sorted(dim: 1, descending: true).values.doubles() == [5, 3, 1, 6, 4, 2])
        try expectClose(a.softmax(dim: 1), a.logSoftmax(dim: 1).exp(), within: 1e-15)
        try expectClose(a.logSumExp(dim: 1), (a.exp().sum(dim: 1)).log(), within: 1e-14)
    }

    @Test func groupSumAddsRowsOfOneGroup() throws {
        let rows = try Tensor([1, 2, 3, 4] as [Float])
        let groups = try Tensor([2, 0, 2, 2] as [Int64])
        #expect(try rows.groupSum(groups, count: 4).floats() == [2, 0, 8, 0])
        #expect(try Tensor([] as [Float]).groupSum(Tensor([] as [Int64]), count: 2).floats() == [0, 0])
    }

    @Test func shapes() throws {
        let a = try Tensor.range(6).reshaped([2, 3])
        #expect(a.shape == [2, 3] && a.rank == 2 && a.count == 6 && a.dim(-1) == 3)
        #expect(try a.transposed().int64s() == [0, 3, 1, 4, 2, 5])
        #expect(try !a.transposed().isContiguous)
        #expect(try a.slice(1..<3, dim: 1).int64s() == [1, 2, 4, 5])
        #expect(try a.selecting(Tensor([1, 1, 0] as [Int64])).int64s() == [3, 4, 5, 3, 4, 5, 0, 1, 2])
        #expect(try Tensor.concatenated([a, a], dim: 1).shape == [2, 6])
        #expect(try Tensor.stacked([a, a, a]).shape == [3, 2, 3])
        #expect(try a.reshaped([2, 3, 1]).expanded([2, 3, 4]).sum().item() == 60)
        let picked = try a.gathered(Tensor([2, 0] as [Int64], [2, 1]), dim: 1)
        #expect(try picked.int64s() == [2, 3])
        #expect(try Tensor.zeros([0, 3]).sum().item() == 0)
    }

    @Test(arguments: DType.allCases) func valuesSurviveEveryType(_ dtype: DType) throws {
        let values: [Float] = [0, 1, 1, 0, 1]
        let stored = try Tensor(values).to(dtype)
        #expect(stored.dtype == dtype)
        #expect(try stored.floats() == values)
        var bytes = [UInt8](repeating: 9, count: 5 * dtype.size)
        try bytes.withUnsafeMutableBytes { try stored.copyBytes(to: $0) }
        let copy = try bytes.withUnsafeBytes { try Tensor(copying: $0, [5], dtype) }
        #expect(try copy.isIdentical(to: stored))
    }

    @Test func identityLooksAtBytes() throws {
        let nan = try Tensor([Float.nan])
        #expect(try nan.isIdentical(to: nan.cloned()))
        #expect(try !Tensor([0.0 as Float]).isIdentical(to: Tensor([-0.0 as Float])))
        #expect(try !Tensor([0.0 as Float]).isIdentical(to: Tensor([0.0 as Double])))
    }

    @Test func mappedMemoryLivesAsLongAsItsTensors() throws {
        final class Owner {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 12, alignment: 4)
            let onRelease: () -> Void
            init(_ onRelease: @escaping () -> Void) {
                self.onRelease = onRelease
                buffer.copyBytes(from: [1, 2, 3].flatMap { withUnsafeBytes(of: Float($0), Array.init) })
            }
            deinit {
                buffer.deallocate()
                onRelease()
            }
        }
        var isReleased = false
        var view: Tensor?
        do {
            let owner = Owner { isReleased = true }
            view = try Tensor(noCopy: UnsafeRawBufferPointer(owner.buffer), [3], .float32, owner: owner)
                .slice(1..<3)
        }
        #expect(!isReleased)
        #expect(try view?.floats() == [2, 3])
        view = nil
        #expect(isReleased)
    }

    // MARK: Refusals

    func kind(_ body: () throws -> Tensor) -> TorchError.Kind? {
        do {
            _ = try body()
            return nil
        } catch { return (error as? TorchError)?.kind }
    }

    @Test func whatDoesNotFitIsRefusedAndNeverTraps() throws {
        let a = try Tensor.zeros([2, 3])
        let b = try Tensor.zeros([4, 5])
        let index = try Tensor([7] as [Int64])
        #expect(kind { try a + b } == .invalidArgument)
        #expect(kind { try a.matmul(b) } == .invalidArgument)
        #expect(kind { try a.reshaped([4]) } == .invalidArgument)
        #expect(kind { try a.reshaped([-1, -1]) } == .invalidArgument)
        #expect(kind { try a.transposed(0, 5) } == .invalidArgument)
        #expect(kind { try a.slice(1..<9) } == .invalidArgument)
        #expect(kind { try a.selecting(index) } == .invalidArgument)
        #expect(kind { try a.embedding(index) } == .invalidArgument)
        #expect(kind { try a.sum(dim: 2) } == .invalidArgument)
        #expect(kind { try a.top(4, dim: 1).values } == .invalidArgument)
        #expect(kind { try Tensor.concatenated([]) } == .invalidArgument)
        #expect(kind { try a.groupSum(index, count: 1) } == .invalidArgument)
        #expect(kind { try Tensor.zeros([-1]) } == .invalidArgument)
        #expect(kind { try Tensor([1, 2] as [Float], [3]) } == .invalidArgument)
        #expect(kind { try Tensor([1, 2] as [Float], [-1, -2]) } == .invalidArgument)
        #expect(kind { try Tensor([1] as [Float], [Int.max, Int.max]) } == .invalidArgument)
        #expect(
            kind { try Tensor(copying: UnsafeRawBufferPointer(start: nil, count: 0), [.max, 4], .int8) }
                != nil)
        #expect(kind { try linear(a, b) } == .invalidArgument)
        #expect(kind { try linear(a, Tensor.zeros([2, 3, 1])) } == .invalidArgument)
        #expect(kind { try linear(a, Tensor.zeros([5, 3]), bias: Tensor.zeros([4])) } == .invalidArgument)
        #expect(
            kind {
                try loraLinear(
                    a, .zeros([5, 3]), bias: nil, a: .zeros([2, 4]), b: .zeros([5, 2]), scale: 1)
            }
                == .invalidArgument)
        #expect(kind { try rmsNorm(a, .zeros([4]), eps: 1e-6) } == .invalidArgument)
        #expect(kind { try rmsNorm(.zeros([2, 0]), .zeros([0]), eps: 1e-6) } == .invalidArgument)
        #expect(kind { try siluMul(a, b) } == .invalidArgument)
        #expect(
            kind { try rope(.zeros([2, 1, 4]), cos: .zeros([3, 2]), sin: .zeros([3, 2])) } == .invalidArgument
        )
        #expect(kind { try Generator(seed: 1).restore(a).state() } == .invalidArgument)
    }

    @Test func anErrorNamesItsOperation() throws {
        let error = #expect(throws: TorchError.self) { try Tensor.zeros([2, 3]).matmul(.zeros([4, 5])) }
        #expect(error?.operation == "matmul")
        #expect(error?.message.contains("2x3") == true)
        #expect(error?.description.hasPrefix("matmul: ") == true)
        #expect(error?.message.contains("frame #") == false)
    }

    @Test func tooMuchMemoryIsItsOwnKind() {
        #expect(kind { try Tensor.zeros([1 << 20, 1 << 28]) } == .outOfMemory)
    }

    @Test func itemNeedsOneElement() throws {
        #expect(throws: TorchError.self) { try Tensor.zeros([2]).item() }
    }
}

extension Generator {
    fileprivate func restore(_ state: Tensor) throws -> Generator {
        try (restore(state) as Void)
        return self
    }
}
