import CCairo
import Foundation
import LFDiagnostics

/// A cairo drawing surface in points, origin at the top left.
final class Canvas {
    enum Anchor { case start, middle, end }

    enum Kind {
        /// Pixels per point.
        case png(scale: Double)
        case svg
    }

    /// The bytes that cairo hands over while it writes.
    private final class Sink {
        var bytes: [UInt8] = []
    }

    private let kind: Kind
    private let surface: OpaquePointer
    private let context: OpaquePointer
    private let sink = Sink()

    private static let append: cairo_write_func_t = { closure, data, length in
        guard let closure, let data else { return CAIRO_STATUS_WRITE_ERROR }
        Unmanaged<Sink>.fromOpaque(closure).takeUnretainedValue().bytes
            .append(contentsOf: UnsafeBufferPointer(start: data, count: Int(length)))
        return CAIRO_STATUS_SUCCESS
    }

    /// - Returns: Nil when cairo cannot make the surface, for want of memory.
    init?(width: Double, height: Double, kind: Kind) {
        self.kind = kind
        let made: OpaquePointer? =
            switch kind {
            case .png(let scale):
                cairo_image_surface_create(CAIRO_FORMAT_RGB24, Int32(width * scale), Int32(height * scale))
            case .svg:
                cairo_svg_surface_create_for_stream(
                    Self.append, Unmanaged.passUnretained(sink).toOpaque(), width, height)
            }
        guard let made, let context = cairo_create(made) else { return nil }
        surface = made
        self.context = context
        if case .png(let scale) = kind { cairo_scale(context, scale, scale) }
        cairo_select_font_face(context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL)
        cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
        cairo_set_line_cap(context, CAIRO_LINE_CAP_ROUND)
    }

    deinit {
        cairo_destroy(context)
        cairo_surface_destroy(surface)
    }

    /// The finished file.
    ///
    /// - Returns: Nil when cairo failed, for want of memory.
    func encoded() -> [UInt8]? {
        let status: cairo_status_t
        switch kind {
        case .png:
            status = cairo_surface_write_to_png_stream(
                surface, Self.append, Unmanaged.passUnretained(sink).toOpaque())
        case .svg:
            cairo_surface_finish(surface)
            status = cairo_surface_status(surface)
        }
        return status == CAIRO_STATUS_SUCCESS && cairo_status(context) == CAIRO_STATUS_SUCCESS
            ? sink.bytes : nil
    }

    func fill(_ color: Color) {
        setColor(color, alpha: 1)
        cairo_paint(context)
    }

    func strokeLine(_ points: [Series.Point], color: Color, alpha: Double = 1, width: Double) {
        guard let first = points.first else { return }
        cairo_move_to(context, first.x, first.y)
        for point in points.dropFirst() { cairo_line_to(context, point.x, point.y) }
        // A lone point still shows, as a dot as wide as the line.
        if points.count == 1 { cairo_line_to(context, first.x, first.y) }
        setColor(color, alpha: alpha)
        cairo_set_line_width(context, width)
        cairo_stroke(context)
    }

    func fillDot(_ center: Series.Point, radius: Double, color: Color, alpha: Double = 1) {
        cairo_new_path(context)
        cairo_arc(context, center.x, center.y, radius, 0, 2 * .pi)
        setColor(color, alpha: alpha)
        cairo_fill(context)
    }

    func fillRoundedBox(
        x: Double, y: Double, width: Double, height: Double, radius: Double, fill: Color, edge: Color
    ) {
        cairo_new_sub_path(context)
        cairo_arc(context, x + width - radius, y + radius, radius, -.pi / 2, 0)
        cairo_arc(context, x + width - radius, y + height - radius, radius, 0, .pi / 2)
        cairo_arc(context, x + radius, y + height - radius, radius, .pi / 2, .pi)
        cairo_arc(context, x + radius, y + radius, radius, .pi, 3 * .pi / 2)
        cairo_close_path(context)
        setColor(fill, alpha: 0.85)
        cairo_fill_preserve(context)
        setColor(edge, alpha: 1)
        cairo_set_line_width(context, 0.8)
        cairo_stroke(context)
    }

    /// Draws nothing outside the box while `body` runs.
    func clipped(x: Double, y: Double, width: Double, height: Double, _ body: () -> Void) {
        cairo_save(context)
        cairo_rectangle(context, x, y, width, height)
        cairo_clip(context)
        body()
        cairo_restore(context)
    }

    /// Width of a text in points.
    func width(of text: String, size: Double) -> Double {
        var extents = cairo_text_extents_t()
        cairo_set_font_size(context, size)
        cairo_text_extents(context, text, &extents)
        return extents.x_advance
    }

    /// Draws a text whose baseline is at `y`.
    func draw(
        _ text: String, x: Double, y: Double, size: Double, color: Color, anchor: Anchor = .start,
        upwards: Bool = false
    ) {
        let length = width(of: text, size: size)
        let shift =
            switch anchor {
            case .start: 0.0
            case .middle: -length / 2
            case .end: -length
            }
        cairo_save(context)
        cairo_translate(context, x, y)
        if upwards { cairo_rotate(context, -.pi / 2) }
        cairo_move_to(context, shift, 0)
        setColor(color, alpha: 1)
        cairo_show_text(context, text)
        cairo_restore(context)
    }

    /// Shortens a text from the left until it fits, so that the end of a path stays readable.
    func fitted(_ text: String, size: Double, width limit: Double) -> String {
        guard width(of: text, size: size) > limit else { return text }
        var rest = Substring(text)
        while !rest.isEmpty, width(of: "…" + rest, size: size) > limit { rest = rest.dropFirst() }
        return "…" + rest
    }

    private func setColor(_ color: Color, alpha: Double) {
        cairo_set_source_rgba(context, color.red, color.green, color.blue, alpha)
    }
}
