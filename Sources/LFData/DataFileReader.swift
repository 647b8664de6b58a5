import CCompression
import Foundation
import LFDiagnostics

/// Reads a data file from its beginning to its end, decompressing `.gz` and `.zst` on the way.
final class DataFileReader {
    /// How a file is packed, told by its name.
    enum Compression: String, CaseIterable {
        case gzip = "gz"
        case zstandard = "zst"

        init?(path: String) {
            guard let match = Self.allCases.first(where: { path.lowercased().hasSuffix("." + $0.rawValue) })
            else { return nil }
            self = match
        }
    }

    private let path: String
    private let descriptor: Int32
    private var decoder: (any Decoder)?
    /// Packed bytes that the decoder has not seen.
    private var packed = [UInt8](repeating: 0, count: 1 << 16)
    private var pending = 0..<0
    private var isAtEnd = false

    /// - Throws: A `UserError` when the file cannot be opened.
    init(path: String) throws(UserError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw UserError(
                .failedRun, "The file \(path) cannot be read: \(String(cString: strerror(errno))).",
                remedy: "Check the path and its permissions.")
        }
        switch Compression(path: path) {
        case .gzip: decoder = GzipDecoder()
        case .zstandard: decoder = ZstandardDecoder()
        case nil: break
        }
    }

    deinit { close(descriptor) }

    /// Fills a buffer with the next bytes; returns how many, 0 at the end.
    ///
    /// - Throws: A `UserError` when the disk fails, or the packed data is damaged or ends too soon.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(UserError) -> Int {
        guard decoder != nil else { return try readFile(into: buffer) }
        while true {
            if pending.isEmpty, !isAtEnd {
                // Taken out, so that the array is not copied while it is written.
                var bytes = packed
                packed = []
                defer { packed = bytes }
                let result = bytes.withUnsafeMutableBytes { target in
                    Result { () throws(UserError) in try readFile(into: target) }
                }
                let count = try result.get()
                pending = 0..<count
                isAtEnd = count == 0
            }
            let step = packed[pending].withUnsafeBytes { decoder?.decode($0, into: buffer) }
            guard let step, !step.isDamaged else {
                throw UserError(
                    .failedRun, "The compressed data is damaged.", at: path,
                    remedy: "Fetch the file again, or compress it anew.")
            }
            pending = pending.lowerBound + step.consumed..<pending.upperBound
            if step.produced > 0 { return step.produced }
            if isAtEnd, pending.isEmpty {
                guard decoder?.isBetweenStreams == true else {
                    throw UserError(
                        .failedRun, "The compressed data ends too soon.", at: path,
                        remedy: "Fetch the file again, or compress it anew.")
                }
                return 0
            }
        }
    }

    /// Everything that is left.
    func readToEnd() throws(UserError) -> [UInt8] {
        var bytes: [UInt8] = []
        var filled = 0
        var capacity = 1 << 20
        while true {
            let extra = capacity - bytes.count
            bytes.append(contentsOf: repeatElement(0, count: extra))
            while filled < bytes.count {
                let start = filled
                let result = bytes.withUnsafeMutableBytes { buffer in
                    Result { () throws(UserError) in
                        try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[start...]))
                    }
                }
                let count = try result.get()
                if count == 0 {
                    bytes.removeLast(bytes.count - filled)
                    return bytes
                }
                filled += count
            }
            capacity *= 2
        }
    }

    private func readFile(into buffer: UnsafeMutableRawBufferPointer) throws(UserError) -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno == EINTR { continue }
            throw UserError(
                .failedRun, "The file cannot be read: \(String(cString: strerror(errno))).", at: path,
                remedy: "Check the path and the disk.")
        }
    }
}

/// What a decoder did in one step.
private struct DecodingStep {
    var consumed = 0
    var produced = 0
    var isDamaged = false
}

private protocol Decoder {
    /// Whether what was decoded so far is whole.
    var isBetweenStreams: Bool { get }
    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> DecodingStep
}

/// Several gzip members behind one another are one file.
private final class GzipDecoder: Decoder {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private(set) var isBetweenStreams = true
    private let isUsable: Bool

    init() {
        stream.initialize(to: z_stream())
        isUsable = lf_inflate_gzip_init(stream) == Z_OK
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> DecodingStep {
        guard isUsable else { return DecodingStep(isDamaged: true) }
        guard !input.isEmpty || !isBetweenStreams else { return DecodingStep() }
        let room = min(output.count, Int(UInt32.max))
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: Bytef.self))
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: Bytef.self)
        stream.pointee.avail_out = UInt32(room)
        isBetweenStreams = false
        let status = inflate(stream, Z_NO_FLUSH)
        var step = DecodingStep(
            consumed: input.count - Int(stream.pointee.avail_in),
            produced: room - Int(stream.pointee.avail_out))
        switch status {
        case Z_STREAM_END:
            isBetweenStreams = true
            inflateReset(stream)
        case Z_OK, Z_BUF_ERROR: break
        default: step.isDamaged = true
        }
        return step
    }
}

private final class ZstandardDecoder: Decoder {
    private let stream = ZSTD_createDStream()
    private(set) var isBetweenStreams = true

    deinit { ZSTD_freeDStream(stream) }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> DecodingStep {
        guard !input.isEmpty || !isBetweenStreams else { return DecodingStep() }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let status = ZSTD_decompressStream(stream, &target, &source)
        let isDamaged = ZSTD_isError(status) != 0
        isBetweenStreams = status == 0
        return DecodingStep(consumed: source.pos, produced: target.pos, isDamaged: isDamaged)
    }
}
