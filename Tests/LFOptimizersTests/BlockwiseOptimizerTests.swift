import LFConfig
import LFDiagnostics
import LFNN
import LFOptimizers
import LFTorch
import Testing

@Suite struct BlockwiseOptimizerTests {
    static func parameters() throws -> [NamedParameter] {
        try ["embed_tokens.weight", "layers.0.w", "layers.0.b", "layers.1.w", "layers.2.w", "norm.weight"].map
        {
            let tensor = try Tensor([Float(1)])
            try tensor.setRequiresGrad(true)
            let block = $0.hasPrefix("layers.") ? $0.split(separator: ".")[1] : ""
            return NamedParameter(name: $0, tensor: tensor, block: Int(block))
        }
    }

    static func optimizer(
        _ parameters: [NamedParameter], _ order: TrainingArguments.BlockSwitching.Order, start: Int? = nil,
        interval: Int? = 3
    ) throws -> any Optimizer {
        var arguments = TrainingArguments()
        var switching = TrainingArguments.BlockSwitching()
        (switching.order, switching.startBlock, switching.interval) = (order, start, interval)
        arguments.optimizerMethod = .blockwise(switching)
        return try makeOptimizer(parameters, arguments)
    }

    /// Steps with a gradient on whatever records one; which parameters each step moved.
    static func moved(
        _ parameters: [NamedParameter], _ optimizer: any Optimizer, steps: Int
    ) throws -> [[String]] {
        try (0..<steps).map { _ in
            let before = try parameters.map { try $0.tensor.item() }
            let recorded = parameters.filter { $0.tensor.requiresGrad }
            #expect(recorded.map(\.name) == optimizer.parameters.map(\.name))
            for parameter in recorded { try (parameter.tensor * 2).sum().backward() }
            try optimizer.step(learningRate: 0.1)
            try optimizer.zeroGrad()
            let after = try parameters.map { try $0.tensor.item() }
            return zip(parameters, zip(before, after)).filter { $0.1.0 != $0.1.1 }.map(\.0.name)
        }
    }

    @Test func oneBlockMovesAtATime() throws {
        let parameters = try Self.parameters()
        let blocks = [["layers.0.w", "layers.0.b"], ["layers.1.w"], ["layers.2.w"]]
        let up = try Self.moved(parameters, Self.optimizer(parameters, .ascending), steps: 9)
        // The original counts the step to come: the first block has one step less.
        #expect(up == [0, 0, 1, 1, 1, 2, 2, 2, 0].map { blocks[$0] })
        let again = try Self.parameters()
        let down = try Self.moved(again, Self.optimizer(again, .descending), steps: 6)
        #expect(down == [2, 2, 1, 1, 1, 0].map { blocks[$0] })
        let still = try Self.parameters()
        let fixed = try Self.moved(
            still, Self.optimizer(still, .ascending, start: 1, interval: nil), steps: 6)
        #expect(fixed == Array(repeating: blocks[1], count: 6))
    }

    @Test func blocksMustExist() throws {
        let parameters = try Self.parameters()
        #expect(throws: UserError.self) { try Self.optimizer(parameters, .ascending, start: 3) }
        #expect(throws: UserError.self) { try Self.optimizer([parameters[0]], .ascending) }
    }

    /// A step too small for bfloat16 is not lost: the block is trained in float32, and a checkpoint carries the copy on.
    @Test func halfPrecisionIsTrainedInFloat32() throws {
        func made() throws -> (NamedParameter, any Optimizer) {
            let tensor = try Tensor([Float(1)]).to(.bfloat16)
            try tensor.setRequiresGrad(true)
            let parameter = NamedParameter(name: "layers.0.w", tensor: tensor, block: 0)
            return (parameter, try Self.optimizer([parameter], .fixed, interval: nil))
        }
        func step(_ parameter: NamedParameter, _ optimizer: any Optimizer) throws {
            try (parameter.tensor * 2).sum().backward()
            try optimizer.step(learningRate: 0.001)
            try optimizer.zeroGrad()
        }
        let (parameter, optimizer) = try made()
        for _ in 0..<3 { try step(parameter, optimizer) }
        let (other, resumed) = try made()
        try other.tensor.copyInPlace(parameter.tensor)
        try resumed.load(optimizer.state())
        for _ in 0..<3 {
            try step(parameter, optimizer)
            try step(other, resumed)
        }
        // One step of 0.001 is below half of bfloat16's distance of 0.0039 beneath 1; six are not.
        let value = try parameter.tensor.item()
        #expect(abs(value - 0.994) < 0.003 && value < 1)
        #expect(try other.tensor.item() == value)
    }
}
