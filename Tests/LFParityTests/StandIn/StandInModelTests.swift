import LFAdapters
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import LFTrainer
import Testing

extension StandInTests {
    /// Loss and gradients of one batch; all layers computed again where asked for.
    private func gradients(
        _ tiny: TinyModel, _ examples: [Example], on device: Device, recomputes: Bool = false
    ) throws -> (loss: Double, grads: [(name: String, grad: Tensor)]) {
        let (model, trainable) = try tiny.make(on: device)
        model.recomputedLayers = recomputes ? model.config.layerCount : 0
        let objective = TokenObjective(model)
        let batch = try DeviceStream(objective.collator.stream(of: examples), on: device)
        let loss = try objective.trainingLoss(batch).loss
        try loss.backward()
        return (
            try loss.detached().item(), try trainable.takeGradients().map { ($0.name, try $0.grad.to(.cpu)) }
        )
    }

    /// Packed sequences, shared beginnings and recomputed layers, in float64.
    @Test(arguments: TinyModel.all) func gradientsAreThoseOfTheCPU(_ tiny: TinyModel) throws {
        var sequences = (1...4).map { sequence(9 + 7 * $0, prompt: 3, seed: $0) }
        if case .pairwise(let chosen, let rejected) = pair(prompt: 20, chosen: 5, rejected: 9, seed: 5) {
            sequences += [chosen, rejected]
        }
        let examples =
            sequences.map { Example.supervised([$0]) }
            + [.supervised((1...3).map { sequence(4 * $0, prompt: $0, seed: $0 + 20) })]
        let wanted = try gradients(tiny, examples, on: .cpu)
        for recomputes in [false, true] {
            let ours = try gradients(tiny, examples, on: .standIn, recomputes: recomputes)
            #expect(isClose(ours.loss, wanted.loss, absolute: 1e-9, relative: 1e-9))
            try expectSameGradients(ours.grads, wanted.grads, within: 1e-9)
        }
    }

    /// Operations of one layer, forward and backward: what a model of three layers needs more than one of two.
    private func launchesPerLayer(_ tiny: TinyModel, _ dtype: DType, segments: Int) throws -> StandInUse {
        let uses = try [2, 3].map { layers in
            var deeper = tiny
            deeper.config["num_hidden_layers"] = .int(Int64(layers))
            let (model, _) = try deeper.make(on: .standIn, dtype)
            let objective = TokenObjective(model)
            let examples = (1...segments).map {
                Example.supervised([sequence(20 + $0 % 9, prompt: 1, seed: $0)])
            }
            let stream = objective.collator.stream(of: examples)
            #expect(stream.segments.count >= segments)
            return try StandInUse.of {
                try objective.trainingLoss(DeviceStream(stream, on: .standIn)).loss.backward()
            }
        }
        return uses[1] - uses[0]
    }

    /// A layer's budget of operations, forward and backward, whatever the number of segments. Full tuning in bfloat16 converts weights that are
    /// held in float32, and their gradients.
    @Test(
        arguments: [
            ("full", .float32, 60), ("full", .bfloat16, 62), ("LoRA", .float32, 60), ("LoRA", .bfloat16, 60),
        ]
            as [(String, DType, Int)])
    func aLayerTakesFewOperations(_ name: String, _ dtype: DType, _ budget: Int) throws {
        let tiny = try #require(TinyModel.all.first { $0.name == name })
        let few = try launchesPerLayer(tiny, dtype, segments: 3)
        let many = try launchesPerLayer(tiny, dtype, segments: 32)
        #expect(few.launches == many.launches)
        #expect(many.launches <= budget, "\(many.launches): \(many.summary)")
        #expect(many.waits == 0)
    }
}
