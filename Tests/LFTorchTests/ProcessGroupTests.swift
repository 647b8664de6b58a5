import Foundation
import LFDiagnostics
import LFLauncher
import LFTorch
import Synchronization
import Testing

/// Groups whose members are threads of this process: they talk over loopback as processes do.
@Suite(.serialized) struct ProcessGroupTests {
    /// Runs `body` as every member of a group and returns what each yielded, by rank.
    static func members<R: Sendable>(
        _ size: Int, timeout: Double = 20, joining present: Int? = nil,
        waits: ProcessPlace.Waits = .init(), device: Device = .cpu,
        notices: @escaping @Sendable (String) -> Void = { _ in },
        _ body: @escaping @Sendable (ProcessGroup) throws -> R
    ) throws -> [Result<R, any Error>] {
        let port = try freePort()
        let results = Mutex<[Int: Result<R, any Error>]>([:])
        let done = DispatchSemaphore(value: 0)
        let count = present ?? size
        for rank in 0..<count {
            Thread.detachNewThread {
                let result = Result {
                    var place = ProcessPlace(
                        rank: rank, size: size, masterAddress: "127.0.0.1", masterPort: port,
                        timeout: timeout)
                    place.waits = waits
                    place.device = device
                    try device.choose(rank)
                    return try body(ProcessGroup(joining: place, notice: notices))
                }
                results.withLock { $0[rank] = result }
                done.signal()
            }
        }
        for _ in 0..<count { done.wait() }
        return results.withLock { all in (0..<count).compactMap { all[$0] } }
    }

    @Test(arguments: [2, 3]) func sumsAreTheSameEverywhere(_ size: Int) throws {
        let results = try Self.members(size) { group in
            let rank = Float(group.rank)
            let small = try Tensor([rank, 2, -rank])
            let wide = try Tensor([Double(rank) + 0.5])
            let matrix = try Tensor([rank, 1, 2, 3, 4, 5], [2, 3])
            // A view with strides, as a gradient may be.
            let turned = try matrix.transposed()
            try group.sum([small, wide, turned])
            return try (small.floats(), wide.doubles(), matrix.floats())
        }
        let ranks = Float((0..<size).reduce(0, +))
        let count = Float(size)
        for result in results {
            let (small, wide, matrix) = try result.get()
            #expect(small == [ranks, 2 * count, -ranks])
            #expect(wide == [Double(ranks) + 0.5 * Double(size)])
            #expect(matrix == [ranks, count, 2 * count, 3 * count, 4 * count, 5 * count])
        }
    }

    /// A sum reaches its process alone, and a tensor leaves it for all; many small ones and one of several messages' size.
    @Test func sumsAndTensorsHaveProcessesOfTheirOwn() throws {
        let results = try Self.members(3) { group in
            let rank = Float(group.rank)
            let summed = try (0..<6).map { try Tensor([rank + Float($0), 1]) }
            let large = try Tensor.zeros([9_000_000]) + Double(rank)
            try group.reduce(summed + [large], to: [0, 1, 2, 0, 1, 2, 1])
            let sent = try (0..<4).map { try Tensor([rank * 10 + Float($0)]) }
            let turned = try Tensor([rank, 1, 2, 3, 4, 5], [2, 3]).transposed()
            let half = try Tensor([rank, -rank]).to(.bfloat16)
            try group.broadcast(sent + [turned, half], from: [0, 1, 2, 2, 1, 0])
            return try (
                summed.map { try $0.floats() }, large.max().item(), sent.map { try $0.floats()[0] },
                turned.contiguous().floats(), half.to(.float32).floats()
            )
        }
        for (rank, result) in results.enumerated() {
            let (summed, large, sent, turned, half) = try result.get()
            for index in 0..<6 where index % 3 == rank {
                #expect(summed[index] == [3 + 3 * Float(index), 3])
            }
            if rank == 1 { #expect(large == 3) }
            #expect(sent == [0, 11, 22, 23])
            #expect(turned == [1, 3, 1, 4, 2, 5])
            #expect(half == [0, 0])
        }
    }

    /// More than one message's worth, in both floating-point types.
    @Test func largeTensorsTravelInPieces() throws {
        let results = try Self.members(2) { group in
            let tensors = try (0..<5).map { index in
                try Tensor.zeros([3_000_000]) + Double(index + group.rank)
            }
            let half = try (Tensor.zeros([70_001]) + Double(1 + group.rank)).to(.bfloat16)
            try group.sum(tensors + [half])
            return try tensors.map { try $0.min().item() } + tensors.map { try $0.max().item() }
                + [half.to(.float32).min().item(), half.to(.float32).max().item()]
        }
        for result in results {
            #expect(try result.get() == [1, 3, 5, 7, 9, 1, 3, 5, 7, 9, 3, 3])
        }
    }

    @Test func broadcastGatherAndAgreement() throws {
        let results = try Self.members(3) { group in
            let tensor = try Tensor([Int64(group.rank), 7])
            let all = try group.gathered(tensor).int64s()
            try group.broadcast(tensor, from: 2)
            try group.barrier()
            let answers = try [group.agree(group.rank == 1), group.agree(false)]
            return try (all, tensor.int64s(), answers, group.sum([1, Double(group.rank)]), group.isMain)
        }
        for (rank, result) in results.enumerated() {
            let (all, tensor, answers, sums, isMain) = try result.get()
            #expect(all == [0, 7, 1, 7, 2, 7] && tensor == [2, 7])
            #expect(answers == [true, false] && sums == [3, 3] && isMain == (rank == 0))
        }
    }

    @Test func anAbsentMemberIsNamed() throws {
        let results = try Self.members(3, timeout: 1, joining: 2) { _ in true }
        for result in results {
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.message == "process 2 of 3 did not join within 1 s", "\(error)")
        }
    }

    /// Nobody answers where process 0 should be.
    @Test func aMissingFirstProcessIsAnError() throws {
        let place = ProcessPlace(
            rank: 1, size: 2, masterAddress: "127.0.0.1", masterPort: try freePort(), timeout: 0.5)
        let error = #expect(throws: TorchError.self) { try ProcessGroup(joining: place) }
        #expect(error?.kind == .communication, "\(String(describing: error))")
    }

    /// Whichever fails on its way to a barrier: the others wait no longer, and know why.
    @Test(arguments: [0, 1, 2]) func aBarrierEndsWithTheReasonOfWhoFails(_ failing: Int) throws {
        let results = try Self.members(3) { group in
            guard group.rank == failing else { return try group.storeBarrier("data") }
            group.leave(failing: "data/x.json:3: no such row. Mend it.")
            throw CancellationError()
        }
        for (rank, result) in results.enumerated() where rank != failing {
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.kind == .peerFailure)
            #expect(error.message == "Process \(failing) failed: data/x.json:3: no such row. Mend it.")
        }
    }

    /// The same in the middle of an exchange, which the failing one never enters.
    @Test(arguments: [0, 1]) func anExchangeEndsWithTheReasonOfWhoFails(_ failing: Int) throws {
        let results = try Self.members(3) { group in
            guard group.rank == failing else { return try group.sum([1])[0] }
            usleep(50_000)
            group.leave(failing: "The disk is full.")
            throw CancellationError()
        }
        for (rank, result) in results.enumerated() where rank != failing {
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.message == "Process \(failing) failed: The disk is full.", "\(error)")
        }
    }

    /// A process that is killed on another machine tells nobody; one that works for long lives.
    @Test func silenceEndsABarrierAndWorkDoesNot() throws {
        var waits = ProcessPlace.Waits()
        (waits.heartbeat, waits.silence, waits.notice) = (0.02, 0.6, 0.1)
        let lines = Mutex<[String]>([])
        let results = try Self.members(
            2, waits: waits, notices: { line in lines.withLock { $0.append(line) } }
        ) {
            group in
            if group.rank == 1 { usleep(900_000) }
            try group.storeBarrier("long work")
            guard group.rank == 1 else { return try group.storeBarrier("never reached") }
            group.fallSilent()
            usleep(1_400_000)
        }
        let error = try #require(throws: TorchError.self) { try results[0].get() }
        #expect(error.kind == .peerFailure)
        #expect(error.message.hasPrefix("Process 1 has given no sign of life for "), "\(error)")
        // Joining may take its time too.
        let said = lines.withLock { $0 }.filter { $0.contains("(long work)") }
        #expect(said.count >= 3, "\(said)")
        #expect(said.first?.hasPrefix("Still waiting for rank 1 (long work), ") == true)
    }

    /// A machine that vanishes closes no connection: its silence ends the others' exchange long before its time-out, and all say the same.
    @Test func silenceEndsAnExchange() throws {
        var waits = ProcessPlace.Waits()
        (waits.heartbeat, waits.silence) = (0.02, 0.6)
        let isOver = DispatchSemaphore(value: 0)
        let start = monotonicSeconds()
        let results = try Self.members(3, timeout: 600, waits: waits) { group in
            try group.storeBarrier("all are alive")
            if group.rank == 2 {
                group.fallSilent()
                isOver.wait()
                isOver.wait()
                return 0.0
            }
            defer { isOver.signal() }
            return try group.sum([1])[0]
        }
        #expect(monotonicSeconds() - start < 10)
        for result in results.prefix(2) {
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.kind == .peerFailure)
            #expect(error.message.hasPrefix("Process 2 has given no sign of life for "), "\(error)")
        }
    }

    /// Who waits in an exchange hears of a failure although the connections stay.
    @Test func aReasonEndsAnExchange() throws {
        let isOver = DispatchSemaphore(value: 0)
        let start = monotonicSeconds()
        let results = try Self.members(2, timeout: 600) { group in
            guard group.rank == 1 else {
                defer { isOver.signal() }
                return try group.sum([1])[0]
            }
            group.tell(failure: "The disk is full.")
            isOver.wait()
            return 0
        }
        #expect(monotonicSeconds() - start < 10)
        let error = try #require(throws: TorchError.self) { try results[0].get() }
        #expect(error.message == "Process 1 failed: The disk is full.", "\(error)")
    }

    /// With many messages in flight each process waits for others than the one that is gone; all end, and their groups with them.
    @Test(arguments: [4, 5]) func aDeathEndsManyMessagesInFlight(_ size: Int) throws {
        let start = monotonicSeconds()
        let results = try Self.members(size, timeout: 600) { group in
            try group.barrier()
            if group.rank == size - 1 { return group.sever() }
            let tensors = try (0..<(6 * size)).map { _ in try Tensor.zeros([50_000]) }
            for round in 0..<3 {
                try group.broadcast(tensors, from: tensors.indices.map { ($0 + round) % size })
                try group.reduce(tensors, to: tensors.indices.map { ($0 + round) % size })
            }
        }
        #expect(monotonicSeconds() - start < 10)
        for result in results.dropLast() { #expect(throws: TorchError.self) { try result.get() } }
    }

    /// Between joining and being connected: a failure is told, silence is noticed, and the limit is that of joining.
    @Test(arguments: ["fails", "is silent", "is late"])
    func whoDoesNotConnectIsNotWaitedForLong(_ behaviour: String) throws {
        let port = try freePort()
        var waits = ProcessPlace.Waits()
        (waits.heartbeat, waits.silence) = (0.02, behaviour == "is silent" ? 0.6 : 60)
        let places = (0..<2).map { rank in
            var place = ProcessPlace(
                rank: rank, size: 2, masterAddress: "127.0.0.1", masterPort: port, timeout: 600,
                rendezvousTimeout: behaviour == "is late" ? 1 : 600)
            place.waits = waits
            return place
        }
        let isOver = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            guard let store = try? RunStore(of: places[1], notice: { _ in }),
                (try? store.barrier("join")) != nil
            else { return }
            if behaviour == "fails" { try? store.report(failure: "No such device.") }
            if behaviour == "is silent" { store.fallSilent() }
            isOver.wait()
        }
        let start = monotonicSeconds()
        let error = try #require(throws: TorchError.self) { try ProcessGroup(joining: places[0]) }
        #expect(monotonicSeconds() - start < 10)
        isOver.signal()
        switch behaviour {
        case "fails": #expect(error.message == "Process 1 failed: No such device.", "\(error)")
        case "is silent": #expect(error.message.hasPrefix("Process 1 has given no sign of life"), "\(error)")
        default: #expect(error.kind == .communication, "\(error)")
        }
    }

    /// Whoever fails before the end fails for all; where nobody does, the process with the store leaves last.
    @Test(arguments: [nil, 0, 1]) func theEndIsThatOfAll(_ failing: Int?) throws {
        let results = try Self.members(3) { group in
            if group.rank == failing {
                usleep(50_000)
                group.leave(failing: "The disk is full.")
                group.leave(failing: "Not this.")
                throw CancellationError()
            }
            try group.finish()
        }
        for (rank, result) in results.enumerated() where rank != failing {
            guard let failing else {
                try result.get()
                continue
            }
            let error = try #require(throws: TorchError.self) { try result.get() }
            #expect(error.message == "Process \(failing) failed: The disk is full.", "\(error)")
        }
    }

    /// A process that its launcher has started again ends the attempt that its predecessor took part in, and joins the next one.
    @Test func aProcessStartedAgainJoinsTheNextAttempt() throws {
        let port = try freePort()
        @Sendable func place(_ rank: Int) -> ProcessPlace {
            ProcessPlace(rank: rank, size: 2, masterAddress: "127.0.0.1", masterPort: port, timeout: 20)
        }
        let results = Mutex<[String]>([])
        let hasJoined = DispatchSemaphore(value: 0), isOver = DispatchSemaphore(value: 0)
        let isPast = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            do {
                let predecessor = try ProcessGroup(joining: place(1))
                hasJoined.signal()
                withExtendedLifetime(predecessor) { isPast.wait() }
            } catch { results.withLock { $0.append("\(error)") } }
        }
        Thread.detachNewThread {
            hasJoined.wait()
            do {
                let sum = try ProcessGroup(joining: place(1)).sum([2])[0]
                results.withLock { $0.append("started again: \(sum)") }
            } catch { results.withLock { $0.append("\(error)") } }
            isOver.signal()
        }
        do {
            let first = try ProcessGroup(joining: place(0))
            let error = try #require(throws: TorchError.self) { try first.sum([1]) }
            #expect(error.kind == .peerFailure)
            #expect(error.message == "Process 1 was started again, so that this attempt is over.")
        }
        let sum = try ProcessGroup(joining: place(0)).sum([1])[0]
        isOver.wait()
        isPast.signal()
        #expect(sum == 3 && results.withLock { $0 } == ["started again: 3.0"])
    }

    @Test func aMemberThatLeavesIsAnErrorOfTheOthers() throws {
        let results = try Self.members(2, timeout: 5) { group in
            if group.rank == 1 { return 0.0 }
            return try group.sum([1])[0]
        }
        #expect(throws: TorchError.self) { try results[0].get() }
    }

    @Test func aSingleProcessTalksToNobody() throws {
        let alone = SingleProcess()
        let tensor = try Tensor([1, 2] as [Float])
        alone.sum([tensor])
        #expect(try tensor.floats() == [1, 2] && alone.gathered(tensor).shape == [1, 2])
        #expect(try alone.agree(true) && !alone.agree(false) && alone.sum([3]) == [3])
    }
}
