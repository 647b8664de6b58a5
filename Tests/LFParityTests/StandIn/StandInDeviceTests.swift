import CStandIn
import LFTorch
import Testing

/// The stand-in itself, and runs on it.
@Suite(.serialized) struct StandInTests {}

extension StandInTests {
    /// Values go there and come back, operations give the CPU's numbers, and the host cannot read where they lie.
    @Test func itIsADeviceOfItsOwn() throws {
        #expect(stand_in_memory_is_closed())
        let x = try Tensor([1, 2, 3, 4, 5, 6] as [Float], [2, 3])
        let use = try StandInUse.of {
            let there = try x.to(.standIn)
            #expect(there.device == .standIn)
            #expect(try linear(there, there).floats() == linear(x, x).floats())
        }
        #expect(use.waits == 1 && use.bytesToDevice == 24 && use.bytesToHost == 16)
        #expect(use.operations["aten::mm.out"] == 1 || use.operations["aten::mm"] == 1)
    }

    /// What a GPU refuses is refused: two devices in one operation, and another device's random numbers.
    @Test func itRefusesWhatAGPURefuses() throws {
        let here = try Tensor([1, 2] as [Float])
        let there = try here.to(.standIn)
        #expect(throws: TorchError.self) { try here + there }
        #expect(throws: TorchError.self) { try there.fillUniformInPlace(0, 1, Generator(seed: 1)) }
        try there.fillUniformInPlace(0, 1, Generator(seed: 1, on: .standIn))
        try here.fillUniformInPlace(0, 1, Generator(seed: 1))
        #expect(try there.floats() == here.floats())
    }

    /// A tensor that does not fit is a shortage of memory, and what is freed is free again. Other tests may hold a little meanwhile.
    @Test func itsMemoryIsLimited() throws {
        stand_in_lock()
        defer { stand_in_unlock() }
        let free = try #require(Device.standIn.freeMemory)
        #expect(throws: TorchError.self) { try Tensor.zeros([free], on: .standIn) }
        var taken: Tensor? = try Tensor.zeros([64 << 20], on: .standIn)
        let less = try #require(taken?.device.freeMemory)
        #expect(less < free - (128 << 20))
        taken = nil
        #expect(try #require(Device.standIn.freeMemory) > less + (128 << 20))
    }
}
