import Foundation
import LFDiagnostics
import LFReport
import Testing

@Suite struct FigureTests {
    /// Values computed with Python from the formula in the documentation of `smoothed`.
    @Test func smoothsAsTensorBoard() {
        #expect(smoothed([]).isEmpty)
        #expect(smoothed([2]) == [2])
        let values = smoothed([1, 2, 0, 4])
        let expected = [1.0, 1.9102988048375396, 0.17135608591134682, 3.6565660650547676]
        for (value, wanted) in zip(values, expected) { #expect(abs(value - wanted) < 1e-9) }
    }

    @Test func aValueThatIsNotFiniteDoesNotSpoilTheRest() {
        let values = smoothed([1, .nan, 3])
        #expect(values[1].isNaN && values[2].isFinite && values[2] > 2.5)
    }

    @Test func drawsEachKeyInBothFormats() throws {
        let folder = try ScratchFolder()
        let state = try TrainerState.load(from: recordedRun)
        let paths = try plotLoss(
            history: state.logHistory, outputDir: folder.path,
            keys: ["loss", "eval_loss", "rewards/accuracies"],
            console: silentConsole())
        #expect(paths == ["loss", "rewards_accuracies"].map { "\(folder.path)/training_\($0).png" })
        #expect(!folder.exists("training_eval_loss.png"))
        for path in paths {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            // The PNG header: signature, then width and height of the picture.
            #expect(data.prefix(8) == Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
            #expect(Array(data[16..<24]) == [0, 0, 5, 0, 0, 0, 3, 0xC0])
            let svg = try String(contentsOfFile: path.dropLast(3) + "svg", encoding: .utf8)
            #expect(svg.contains("<svg") && svg.hasSuffix("</svg>\n"))
            // The curve is there, in matplotlib's blue, once faint and once full.
            #expect(svg.contains("stroke-opacity=\"0.4\"") || svg.contains("stroke-opacity:0.4"))
        }
    }

    @Test(arguments: [
        [(1.0, 0.5)], [(1, 0), (2, 0)], [(1, 1e-300), (2, 1e300)],
        [(1, .nan), (2, 1)], [(5, 3), (5, 3)], [(1e15, 1), (2e15, 2)], [(1, 5e-5), (2, 4.9e-5)],
        [(1, .infinity), (2, 0)],
    ])
    func anyValuesMakeAPicture(values: [(Double, Double)]) throws {
        let points = values.map { Series.Point(x: $0.0, y: $0.1) }
        #expect(try lossFigure(key: "loss", points: points, of: "run").png().count > 1000)
        #expect(try lossFigure(key: "loss", points: points, of: "run").svg().count > 1000)
    }

    @Test func aKeyWithoutADrawableValueIsNotDrawn() throws {
        let folder = try ScratchFolder()
        let history = [(["loss": .nan] as LogEntry).at(step: 1), (["loss": 1e300] as LogEntry).at(step: 2)]
        #expect(try plotLoss(history: history, outputDir: folder.path, console: silentConsole()).isEmpty)
        #expect(!folder.exists("training_loss.png"))
    }

    @Test func aPreferenceRunHasLossRewardsAndAccuracySideBySide() throws {
        let state = try TrainerState.load(from: recordedRun)
        let figure = try #require(preferenceFigure(history: state.logHistory))
        #expect(figure.panels.map(\.title) == ["Loss", "Rewards", "Reward accuracy"])
        #expect(
            figure.panels[1].series.filter { !$0.name.isEmpty }.map(\.name) == [
                "chosen", "rejected", "margin",
            ])
        #expect(preferenceFigure(history: []) == nil)
    }

    @Test func aFolderThatCannotBeWrittenIsNamed() {
        let history = [(["loss": 1] as LogEntry).at(step: 1)]
        #expect(throws: UserError.file("/nowhere/training_loss.png", notBe: "written", errorNumber: ENOENT)) {
            try plotLoss(history: history, outputDir: "/nowhere", console: silentConsole())
        }
    }

    private func silentConsole() -> Console {
        Console(output: -1, status: -1)
    }
}
