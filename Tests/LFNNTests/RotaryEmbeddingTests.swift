import LFModelConfig
import LFNN
import LFStream
import LFTorch
import Testing

/// Tables of transformers 5.5.4 (`LlamaRotaryEmbedding`, 16 dimensions, base 10000) at position 250.
@Suite struct RotaryEmbeddingTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var scaling: RopeScaling
        var cos: [Double]
        var sin: [Double]
        var testDescription: String { name }
    }

    static let cases = [
        Case(
            name: "default", scaling: .none,
            cos: [
                0.24098829925060272, -0.869245707988739, 0.9912028312683105, -0.05168980360031128,
                -0.8011435866355896,
                0.7034406661987305, 0.9689124226570129, 0.99687659740448,
            ],
            sin: [
                -0.9705280065536499, -0.4943803548812866, -0.13235175609588623, 0.9986631870269775,
                0.5984721183776855,
                0.7107539772987366, 0.24740396440029144, 0.07897461950778961,
            ]),
        Case(
            name: "linear", scaling: .linear(factor: 4),
            cos: [
                0.9454402327537537, 0.6100452542304993, 0.9994494318962097, -0.3945952355861664,
                0.8109630942344666,
                0.9805322289466858, 0.9980475306510925, 0.999804675579071,
            ],
            sin: [
                -0.32579556107521057, 0.7923665642738342, -0.03317921608686447, 0.9188550710678101,
                0.5850972533226013,
                0.19635814428329468, 0.0624593161046505, 0.019762950018048286,
            ]),
        Case(
            name: "dynamic", scaling: .dynamic(factor: 2, originalLimit: 64),
            cos: [
                0.24098829925060272, -0.931067705154419, -0.28924497961997986, -0.9475129842758179,
                0.6726815104484558,
                0.9800417423248291, 0.99884432554245, 0.9999333024024963,
            ],
            sin: [
                -0.9705280065536499, -0.36484649777412415, 0.9572551250457764, -0.3197173774242401,
                0.739932119846344,
                0.19879183173179626, 0.048062488436698914, 0.011551442556083202,
            ]),
        Case(
            name: "yarn",
            scaling: .yarn(
                factor: 4, originalLimit: 64, attentionFactor: nil, betaFast: 32, betaSlow: 1, mscale: nil,
                mscaleAllDim: nil, truncate: true),
            cos: [
                0.2743963599205017, -1.0498281717300415, 1.136122465133667, -0.4492977559566498,
                0.9233864545822144,
                1.1164628267288208, 1.1364063024520874, 1.1384069919586182,
            ],
            sin: [
                -1.105071783065796, 0.4408375322818756, -0.07551714777946472, 1.04623544216156,
                0.6662089824676514,
                0.22357916831970215, 0.07111801952123642, 0.022502677515149117,
            ]),
        Case(
            name: "yarn with all options",
            scaling: .yarn(
                factor: 8, originalLimit: 64, attentionFactor: nil, betaFast: 16, betaSlow: 2, mscale: 0.7,
                mscaleAllDim: 1.3, truncate: false),
            cos: [
                0.21731939911842346, 0.2564556896686554, -0.9016599059104919, 0.496147096157074,
                0.8581087589263916,
                0.8973843455314636, 0.9013437032699585, 0.9017399549484253,
            ],
            sin: [
                -0.8752066493034363, -0.864548921585083, 0.014962302520871162, 0.7530288696289062,
                0.27724313735961914,
                0.08897039294242859, 0.028176162391901016, 0.008911390788853168,
            ]),
        Case(
            name: "llama3",
            scaling: .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLimit: 64),
            cos: [
                0.24098829925060272, -0.16416464745998383, -0.9929312467575073, 0.5501839518547058,
                0.9515679478645325,
                0.9951211810112, 0.9995117783546448, 0.999951183795929,
            ],
            sin: [
                -0.9705280065536499, -0.9864329695701599, -0.11869097501039505, 0.8350434899330139,
                0.30743852257728577,
                0.0986604243516922, 0.03124491311609745, 0.009881957434117794,
            ]),
    ]

    func stream(_ positions: [Int32]) throws -> DeviceStream {
        var host = TokenStream()
        host.inputIDs = positions.map { _ in 0 }
        host.positions = positions
        host.segments = [.init(range: 0..<positions.count)]
        return try DeviceStream(host, on: .cpu)
    }

    @Test(arguments: cases) func tablesAreTransformers(_ example: Case) throws {
        let rotary = RotaryEmbedding(rotaryDim: 16, theta: 10_000, scaling: example.scaling, on: .cpu)
        let (cos, sin) = try rotary(stream([3, 250]))
        #expect(cos.shape == [2, 8] && sin.shape == [2, 8] && cos.dtype == .float32)
        // An angle of 250 in float32 is exact to 1.5e-5.
        for (table, expected) in [(cos, example.cos), (sin, example.sin)] {
            for (value, wanted) in zip(try table.doubles()[8...], expected) {
                #expect(!(abs(value - wanted) > 2e-5), "\(value), not \(wanted)")
                #expect(value.isFinite)
            }
        }
    }

    @Test func tablesGrowWithTheStream() throws {
        let rotary = RotaryEmbedding(rotaryDim: 8, theta: 10_000, scaling: .none, on: .cpu)
        let short = try rotary(stream([0, 1, 5])).cos.doubles()
        let long = try rotary(stream([5, 3000])).cos.doubles()
        #expect(short[..<4].allSatisfy { $0 == 1 })
        #expect(Array(short[8...]) == Array(long[..<4]))
        #expect(try rotary(stream([0, 1, 5])).cos.doubles() == short)
    }

    /// The base depends on the longest sequence that is computed, and falls back for shorter ones.
    @Test func dynamicScalingFollowsTheLength() throws {
        let rotary = RotaryEmbedding(
            rotaryDim: 8, theta: 10_000, scaling: .dynamic(factor: 2, originalLimit: 16), on: .cpu)
        let plain = RotaryEmbedding(rotaryDim: 8, theta: 10_000, scaling: .none, on: .cpu)
        let within = try rotary(stream([15])).cos.doubles()
        #expect(try within == plain(stream([15])).cos.doubles())
        #expect(try rotary(stream([15, 40])).cos.doubles()[..<4] != within[...])
        #expect(try rotary(stream([15])).cos.doubles() == within)
    }
}
