import LFAdapters
import LFJSON
import LFModels
import LFNN
import LFObjectives
import LFStream
import LFTorch
import LFTrainer
import Testing

/// The balance of routers against transformers' (`Tools/golden/record_router_losses.py`), and by hand.
@Suite struct RouterLossTests {
    static let recorded = (try? JSONValue.read(path: Golden.root + "/router_losses.json")) ?? .null
    static let folders = (recorded["models"]?.object ?? [:]).map(\.key)

    @Test func thereAreRecordedOnes() { #expect(Self.folders.count == 12) }

    @Test(arguments: folders, [0, 99]) func equalsTheRecordedOne(_ name: String, _ recomputed: Int) throws {
        let wanted = try #require(Self.recorded["models"]?[name])
        let coefficient = try #require(Self.recorded["coefficient"]?.double)
        let folder = ModelFolder(path: Golden.root + "/models/" + name)
        let model = try folder.model()
        let trainable = try model.trainAll(dtype: .float32)
        model.recomputedLayers = recomputed
        let balance = try #require(model.config.routerBalance)
        #expect(balance.coefficient == nil)
        let objective = TokenObjective(
            model, routerLoss: RouterLoss(coefficient: coefficient, chosen: balance.chosen))
        let sequences = try ModelFolder.Recorded(folder).sequences
        let host = Collator().stream(of: [.supervised(sequences)])
        let outcome = try objective.trainingLoss(DeviceStream(host, on: .cpu))
        let loss = try outcome.loss / objective.lossDivisor(of: [host])
        #expect(isClose(try loss.item(), try #require(wanted["loss"]?.double), relative: 1e-6))
        let metric = try #require(outcome.metrics.first { $0.name == "router_loss" })
        #expect(isClose(try metric.value.item(), try #require(wanted["aux_loss"]?.double), relative: 2e-6))
        try loss.backward()
        let grads = try #require(wanted["grads"]?.object)
        for (name, norm) in grads {
            let entry = try #require(trainable.entries.first { $0.name == name }, "\(name)")
            let values = try #require(try entry.parameter.tensor.grad()).doubles()
            let found = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(isClose(found, norm.double ?? .nan, relative: 1e-4), "\(name): \(found)")
        }
        let evaluated = try withoutGrad { () throws(TorchError) in
            try objective.evaluationLoss(DeviceStream(host, on: .cpu)).loss.item()
        }
        #expect(isClose(evaluated, try loss.item(), relative: 1e-6))
    }

    /// One of two experts per token, always the first: its share is 1, its mean probability 0.75.
    @Test func byHand() throws {
        let logits = try Tensor([0.75, 0.25].map { $0 as Double }, [1, 2]).log()
        let loss = RouterLoss(coefficient: 1, chosen: 1)
        #expect(isClose(try loss([logits, logits]).item(), 1.5, absolute: 1e-12))
        // Used alike.
        let other = try Tensor([0.25, 0.75].map { $0 as Double }, [1, 2]).log()
        #expect(isClose(try loss([logits, other]).item(), 1, absolute: 1e-12))
        #expect(isClose(try RouterLoss(coefficient: 1, chosen: 2)([logits]).item(), 2, absolute: 1e-12))
    }

    /// The model's own file may ask for the loss.
    @Test func theFileMayAskForIt() throws {
        func coefficient(_ changes: JSONObject) throws -> Double? {
            try ModelConfig.read(directory: Golden.root + "/models/mixtral_a").changing(changes)
                .routerBalance?
                .coefficient
        }
        #expect(try coefficient([:]) == nil)
        #expect(try coefficient(["output_router_logits": true]) == 0.02)
        #expect(try coefficient(["output_router_logits": true, "router_aux_loss_coef": 0.0]) == nil)
        #expect(throws: (any Error).self) { try coefficient(["router_aux_loss_coef": -1.0]) }
        #expect(
            try ModelConfig.read(directory: Golden.root + "/models/deepseek_v3_a").routerBalance == nil)
    }
}
