import CStandIn
import Foundation
import LFDiagnostics
import LFTorch
import Testing

/// Exchanges of tensors that lie on devices: stand-ins, each worked by a thread that takes the place of a process.
@Suite(.serialized) struct DeviceExchangeTests {
    /// Each member's tensors lie on a device of its own; some numbers of the CPU go along in the same call.
    @Test func exchangesHaveTheNumbersOfTheCPU() throws {
        func results(_ device: Device) throws -> [[[Float]]] {
            try ProcessGroupTests.members(3, device: device) { group in
                let rank = Float(group.rank)
                let matrix = try Tensor([rank, 1, 2, 3, 4, 5], [2, 3]).to(device)
                let turned = try matrix.transposed()
                let half = try Tensor([rank, 0.5]).to(.bfloat16).to(device)
                let here = try Tensor([rank + 1])
                let large = try (Tensor.zeros([7_000_000]) + Double(rank)).to(device)
                try group.sum([turned, half, here, large])
                let summed = try (0..<6).map { try Tensor([rank + Float($0), 1]).to(device) }
                try group.reduce(summed, to: [0, 1, 2, 0, 1, 2])
                let sent = try (0..<4).map { try Tensor([rank * 10 + Float($0)]).to(device) }
                try group.broadcast(sent, from: [0, 1, 2, 2])
                let all = try group.gathered(Tensor([rank, -rank]).to(device))
                #expect(all.device == device)
                let own = try summed.enumerated().filter { $0.offset % 3 == group.rank }
                    .map { try $0.element.floats() }
                return try [
                    matrix.floats(), half.to(.float32).floats(), here.floats(),
                    [Float(large.min().item()), Float(large.max().item())],
                    own.flatMap { $0 }, sent.map { try $0.floats()[0] }, all.floats(),
                    [Float(group.agree(group.rank == 2) ? 1 : 0)],
                ]
            }.map { try $0.get() }
        }
        #expect(try results(.standIn) == results(.cpu))
    }

    /// A device waits without end for a process that does not come; whoever sees it gone ends its own exchange.
    @Test(arguments: ["fails", "is silent", "is severed"]) func whoIsGoneEndsTheExchangesOfDevices(
        _ how: String
    ) throws {
        var waits = ProcessPlace.Waits()
        (waits.heartbeat, waits.silence) = (0.02, how == "is silent" ? 0.6 : 60)
        let isOver = DispatchSemaphore(value: 0)
        let start = monotonicSeconds()
        let results = try ProcessGroupTests.members(3, timeout: 600, waits: waits, device: .standIn) {
            group in
            try group.storeBarrier("all are alive")
            guard group.rank < 2 else {
                switch how {
                case "fails": group.leave(failing: "The disk is full.")
                case "is silent":
                    group.fallSilent()
                    isOver.wait()
                    isOver.wait()
                default: group.sever()
                }
                return
            }
            defer { isOver.signal() }
            try group.sum([Tensor([1, 2] as [Float]).to(.standIn)])
        }
        #expect(monotonicSeconds() - start < 10)
        for result in results.prefix(2) {
            let error = try #require(throws: TorchError.self) { try result.get() }
            switch how {
            case "fails": #expect(error.message == "Process 2 failed: The disk is full.", "\(error)")
            case "is silent":
                #expect(error.message.hasPrefix("Process 2 has given no sign of life"), "\(error)")
            default: #expect(error.kind == .communication, "\(error)")
            }
        }
    }

    /// A process of the CPU has no group of devices.
    @Test func aTensorOfAnotherDeviceIsRefused() throws {
        let results = try ProcessGroupTests.members(2) { group in
            try group.sum([Tensor([1] as [Float]).to(.standIn)])
        }
        for result in results {
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.message.contains("computes on the CPU"), "\(error)")
        }
    }
}
