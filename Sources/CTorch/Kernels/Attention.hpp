// Attention over segments in tiles, with an online softmax (Dao 2023, FlashAttention-2, arXiv 2307.08691): a query sees its own segment and all that it
// continues, whatever their number.
namespace lf_machine {

struct AttentionSegment {
    int start, length, prefix, offset;
};
/// Queries of one run that a block computes: their first row, how many, their segment, the first one's place along the chain.
struct QueryTile {
    int row, count, segment, place;
};
/// Keys of one segment: their first row, how many, the first one's place, and which runs of queries see their segment.
struct KeyTile {
    int row, count, place, first_run, runs;
};
/// Rows of queries behind one another: the first row, how many, the first one's place.
struct QueryRun {
    int row, count, place;
};

struct AttentionCall {
    const void *q, *k, *v, *y, *dy;  // [R, heads, d], [T, kvHeads, d], [T, kvHeads, e], [R, heads, e], [R, heads, e]
    void *out, *dq, *dk, *dv;
    void *logarithms, *dots;      // [R, heads]: of each row's sum of exponentials; its output's product with the output's gradient
    const void *sinks, *slopes;  // [heads], or null
    const AttentionSegment *segments;
    const QueryTile *query_tiles;
    const KeyTile *key_tiles;
    const QueryRun *runs;
    int heads, kv_heads, d, e, window, rows;
    double scale, softcap;

    template <typename Visit> LF_DEVICE void each_pointer(const Visit &visit) {
        visit(q), visit(k), visit(v), visit(y), visit(dy), visit(out), visit(dq), visit(dk), visit(dv), visit(logarithms), visit(dots), visit(sinks);
        visit(slopes), visit(segments), visit(query_tiles), visit(key_tiles), visit(runs);
    }
};

/// Rows and columns of a tile of scores, and how deep a part of a product in shared memory is.
template <typename real> struct TileSizes {
    static constexpr int tile = 64, depth = 16;
};
template <> struct TileSizes<double> {
    static constexpr int tile = 32, depth = 8;
};

/// What a head scores with.
template <typename real> struct Scoring {
    real scale, softcap, slope;
    int window;

    LF_DEVICE Scoring(const AttentionCall &call, int head)
        : scale(real(call.scale)), softcap(real(call.softcap)), slope(call.slopes ? static_cast<const real *>(call.slopes)[head] : real(0)), window(call.window) {}

    /// Whether a key is seen whose place less the query's is `distance`.
    LF_DEVICE bool sees(int distance) const { return distance <= 0 && (window <= 0 || distance > -window); }
    /// The score of a product; `bend` receives the score's derivative by the product.
    LF_DEVICE real score(real product, int distance, real &bend) const {
        real result = product * scale;
        bend = scale;
        if (softcap > 0) {
            real share = hyperbolic_tangent(result / softcap);
            result = share * softcap;
            bend *= 1 - share * share;
        }
        return result + slope * real(distance);
    }
};

/// Copies `depth` columns of rows, from column `first` on, transposed: `to[k, row]`. Places beyond the rows or columns become zero.
template <int tile, int depth, typename T, typename real>
LF_DEVICE void load_turned(real *to, const T *from, index step, int rows, int first, int width) {
    for (int i = thread(); i < tile * depth; i += threads()) {
        int k = i % depth, row = i / depth;
        to[k * (tile + 1) + row] = row < rows && first + k < width ? widened(from[row * step + first + k]) : real(0);
    }
}

/// Adds the products of rows with rows: `Σ a[row]·b[column]` over `width` numbers.
template <int tile, int depth, typename T, typename real>
LF_DEVICE void add_row_products(Fragment<real, tile, tile> &sums, real *left, real *right, const T *a, index a_step, int a_rows, const T *b, index b_step,
                                int b_rows, int width) {
    for (int first = 0; first < width; first += depth) {
        barrier();
        load_turned<tile, depth>(left, a, a_step, a_rows, first, width);
        load_turned<tile, depth>(right, b, b_step, b_rows, first, width);
        barrier();
        sums.add(lesser(depth, width - first), left, 1, tile + 1, right, tile + 1);
    }
}

/// Adds `weights [tile, rows]` times rows of `width` numbers.
template <int tile, int depth, int columns, typename T, typename real>
LF_DEVICE void add_weighted_rows(Fragment<real, tile, columns> &sums, const real *weights, real *part, const T *from, index step, int rows, int width) {
    for (int first = 0; first < rows; first += depth) {
        barrier();
        for (int i = thread(); i < depth * columns; i += threads()) {
            int k = i / columns, column = i % columns;
            part[i] = first + k < rows && column < width ? widened(from[(first + k) * step + column]) : real(0);
        }
        barrier();
        sums.add(lesser(depth, rows - first), weights + first, tile + 1, 1, part, columns);
    }
}

/// Calls `body(row of the first key, keys, its place less the first query's)` for all tiles of keys that a tile of queries may see.
template <int tile, typename Body> LF_DEVICE void each_key_tile(const AttentionCall &call, const QueryTile &queries, const Body &body) {
    for (int s = queries.segment; s >= 0; s = call.segments[s].prefix) {
        AttentionSegment segment = call.segments[s];
        int end = lesser(segment.length, queries.place + queries.count - segment.offset);
        int begin = call.window > 0 ? greater(0, queries.place - call.window + 1 - segment.offset) : 0;
        for (int first = begin; first < end; first += tile)
            body(segment.start + first, lesser(tile, end - first), segment.offset + first - queries.place);
    }
}

/// A tile of queries of one head per block.
template <typename T, typename real, int width> LF_KERNEL attention_forward(AttentionCall call) {
    constexpr int tile = TileSizes<real>::tile, depth = TileSizes<real>::depth;
    LF_SHARED real left[depth * (tile + 1)], right[depth * (tile + 1)], weights[tile * (tile + 1)], part[depth * width];
    LF_SHARED real top[tile], total[tile], shrink[tile];
    QueryTile queries = call.query_tiles[block() / call.heads];
    int head = int(block() % call.heads), kv_head = head / (call.heads / call.kv_heads);
    Scoring<real> scoring(call, head);
    index q_step = index(call.heads) * call.d, k_step = index(call.kv_heads) * call.d, v_step = index(call.kv_heads) * call.e;
    const T *q = static_cast<const T *>(call.q) + queries.row * q_step + head * call.d;
    const T *k = static_cast<const T *>(call.k) + kv_head * call.d, *v = static_cast<const T *>(call.v) + kv_head * call.e;
    Fragment<real, tile, width> sums;
    sums.clear();
    for (int i = thread(); i < tile; i += threads()) top[i] = nothing<real>(), total[i] = 0;
    each_key_tile<tile>(call, queries, [&](int row, int count, int offset) {
        Fragment<real, tile, tile> scores;
        scores.clear();
        add_row_products<tile, depth>(scores, left, right, q, q_step, queries.count, k + row * k_step, k_step, count, call.d);
        scores.each([&](int i, int j, real &score) {
            real bend;
            bool is_seen = i < queries.count && j < count && scoring.sees(offset + j - i);
            score = is_seen ? scoring.score(score, offset + j - i, bend) : nothing<real>();
            weights[i * (tile + 1) + j] = score;
        });
        barrier();
        for (int i = thread(); i < tile; i += threads()) {
            real greatest = top[i];
            for (int j = 0; j < count; ++j) greatest = greater(greatest, weights[i * (tile + 1) + j]);
            shrink[i] = top[i] == greatest ? real(1) : power_of_e(top[i] - greatest);
            top[i] = greatest;
        }
        barrier();
        scores.each([&](int i, int j, real &score) { weights[i * (tile + 1) + j] = score == nothing<real>() ? real(0) : power_of_e(score - top[i]); });
        sums.each([&](int i, int, real &sum) { sum *= shrink[i]; });
        barrier();
        for (int i = thread(); i < tile; i += threads()) {
            real sum = 0;
            for (int j = 0; j < count; ++j) sum += weights[i * (tile + 1) + j];
            total[i] = total[i] * shrink[i] + sum;
        }
        add_weighted_rows<tile, depth, width>(sums, weights, part, v + row * v_step, v_step, count, call.e);
        barrier();
    });
    for (int i = thread(); i < queries.count; i += threads()) {
        real greatest = top[i];
        if (call.sinks) {
            real sink = static_cast<const real *>(call.sinks)[head];
            greatest = greater(greatest, sink);
            total[i] = total[i] * power_of_e(top[i] - greatest) + power_of_e(sink - greatest);
        }
        real logarithm = greatest + natural_logarithm(total[i]);
        static_cast<real *>(call.logarithms)[(queries.row + i) * index(call.heads) + head] = logarithm;
        shrink[i] = power_of_e(top[i] - logarithm);
    }
    barrier();
    T *out = static_cast<T *>(call.out) + (queries.row * index(call.heads) + head) * call.e;
    sums.each([&](int i, int j, real &sum) {
        if (i < queries.count && j < call.e) out[i * index(call.heads) * call.e + j] = rounded<T>(sum * shrink[i]);
    });
}

/// The gradient of a tile of queries of one head per block, and the dots of its rows.
template <typename T, typename real, int width> LF_KERNEL attention_query_gradient(AttentionCall call) {
    constexpr int tile = TileSizes<real>::tile, depth = TileSizes<real>::depth;
    LF_SHARED real left[depth * (tile + 1)], right[depth * (tile + 1)], weights[tile * (tile + 1)], part[depth * width];
    LF_SHARED real dots[tile], logarithms[tile];
    QueryTile queries = call.query_tiles[block() / call.heads];
    int head = int(block() % call.heads), kv_head = head / (call.heads / call.kv_heads);
    Scoring<real> scoring(call, head);
    index q_step = index(call.heads) * call.d, k_step = index(call.kv_heads) * call.d, v_step = index(call.kv_heads) * call.e;
    index y_step = index(call.heads) * call.e;
    const T *q = static_cast<const T *>(call.q) + queries.row * q_step + head * call.d;
    const T *k = static_cast<const T *>(call.k) + kv_head * call.d, *v = static_cast<const T *>(call.v) + kv_head * call.e;
    const T *y = static_cast<const T *>(call.y) + queries.row * y_step + head * call.e;
    const T *dy = static_cast<const T *>(call.dy) + queries.row * y_step + head * call.e;
    for (int i = thread(); i < queries.count; i += threads()) {
        real dot = 0;
        for (int j = 0; j < call.e; ++j) dot += real(widened(y[i * y_step + j])) * widened(dy[i * y_step + j]);
        index place = (queries.row + i) * index(call.heads) + head;
        static_cast<real *>(call.dots)[place] = dots[i] = dot;
        logarithms[i] = static_cast<const real *>(call.logarithms)[place];
    }
    barrier();
    Fragment<real, tile, width> sums;
    sums.clear();
    each_key_tile<tile>(call, queries, [&](int row, int count, int offset) {
        Fragment<real, tile, tile> scores, grads;
        scores.clear();
        grads.clear();
        add_row_products<tile, depth>(scores, left, right, q, q_step, queries.count, k + row * k_step, k_step, count, call.d);
        add_row_products<tile, depth>(grads, left, right, dy, y_step, queries.count, v + row * v_step, v_step, count, call.e);
        for (int i = 0; i < scores.own_rows; ++i)
            for (int j = 0; j < scores.own_columns; ++j) {
                int query = scores.row(i), key = scores.column(j);
                real grad = 0;
                if (query < queries.count && key < count && scoring.sees(offset + key - query)) {
                    real bend, score = scoring.score(scores.values[i][j], offset + key - query, bend);
                    grad = power_of_e(score - logarithms[query]) * (grads.values[i][j] - dots[query]) * bend;
                }
                weights[query * (tile + 1) + key] = grad;
            }
        add_weighted_rows<tile, depth, width>(sums, weights, part, k + row * k_step, k_step, count, call.d);
        barrier();
    });
    T *dq = static_cast<T *>(call.dq) + queries.row * q_step + head * call.d;
    sums.each([&](int i, int j, real &sum) {
        if (i < queries.count && j < call.d) dq[i * q_step + j] = rounded<T>(sum);
    });
}

/// The gradients of a tile of keys and values of one key-value head per block, summed over all that see them, in one order.
template <typename T, typename real, int width> LF_KERNEL attention_key_gradient(AttentionCall call) {
    constexpr int tile = TileSizes<real>::tile, depth = TileSizes<real>::depth;
    LF_SHARED real left[depth * (tile + 1)], right[depth * (tile + 1)], weights[tile * (tile + 1)], part[depth * width];
    KeyTile keys = call.key_tiles[block() / call.kv_heads];
    int kv_head = int(block() % call.kv_heads), group = call.heads / call.kv_heads;
    index q_step = index(call.heads) * call.d, k_step = index(call.kv_heads) * call.d, v_step = index(call.kv_heads) * call.e;
    index y_step = index(call.heads) * call.e;
    const T *k = static_cast<const T *>(call.k) + keys.row * k_step + kv_head * call.d;
    const T *v = static_cast<const T *>(call.v) + keys.row * v_step + kv_head * call.e;
    Fragment<real, tile, width> dk, dv;
    dk.clear();
    dv.clear();
    for (int r = 0; r < keys.runs; ++r) {
        QueryRun run = call.runs[keys.first_run + r];
        // The first query that sees the first key, and the last that sees the last.
        int begin = greater(0, keys.place - run.place), end = run.count;
        if (call.window > 0) end = lesser(end, keys.place + keys.count - 1 + call.window - run.place);
        for (int first = begin; first < end; first += tile) {
            int count = lesser(tile, end - first), offset = keys.place - run.place - first;
            for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
                Scoring<real> scoring(call, head);
                const T *q = static_cast<const T *>(call.q) + (run.row + first) * q_step + head * call.d;
                const T *dy = static_cast<const T *>(call.dy) + (run.row + first) * y_step + head * call.e;
                index place = (run.row + first) * index(call.heads) + head;
                const real *logarithms = static_cast<const real *>(call.logarithms) + place, *dots = static_cast<const real *>(call.dots) + place;
                // A row per key, a column per query.
                Fragment<real, tile, tile> scores, grads;
                scores.clear();
                grads.clear();
                add_row_products<tile, depth>(scores, left, right, k, k_step, keys.count, q, q_step, count, call.d);
                add_row_products<tile, depth>(grads, left, right, v, v_step, keys.count, dy, y_step, count, call.e);
                barrier();
                for (int i = 0; i < scores.own_rows; ++i)
                    for (int j = 0; j < scores.own_columns; ++j) {
                        int key = scores.row(i), query = scores.column(j), distance = offset + key - query;
                        real weight = 0, grad = 0;
                        if (key < keys.count && query < count && scoring.sees(distance)) {
                            real bend, score = scoring.score(scores.values[i][j], distance, bend);
                            weight = power_of_e(score - logarithms[query * index(call.heads)]);
                            grad = weight * (grads.values[i][j] - dots[query * index(call.heads)]) * bend;
                        }
                        weights[key * (tile + 1) + query] = weight;
                        scores.values[i][j] = grad;
                    }
                add_weighted_rows<tile, depth, width>(dv, weights, part, dy, y_step, count, call.e);
                barrier();
                scores.each([&](int i, int j, real &grad) { weights[i * (tile + 1) + j] = grad; });
                add_weighted_rows<tile, depth, width>(dk, weights, part, q, q_step, count, call.d);
            }
        }
    }
    T *to_k = static_cast<T *>(call.dk) + keys.row * k_step + kv_head * call.d;
    T *to_v = static_cast<T *>(call.dv) + keys.row * v_step + kv_head * call.e;
    dk.each([&](int i, int j, real &sum) {
        if (i < keys.count && j < call.d) to_k[i * k_step + j] = rounded<T>(sum);
    });
    dv.each([&](int i, int j, real &sum) {
        if (i < keys.count && j < call.e) to_v[i * v_step + j] = rounded<T>(sum);
    });
}

/// The gradient of each head's sink: its weight takes from all rows what they would give.
template <typename real> LF_KERNEL attention_sink_gradient(AttentionCall call, real *gradient) {
    int head = int(block());
    real sink = static_cast<const real *>(call.sinks)[head], sum = 0;
    for (index row = thread(); row < call.rows; row += threads()) {
        index place = row * call.heads + head;
        sum -= power_of_e(sink - static_cast<const real *>(call.logarithms)[place]) * static_cast<const real *>(call.dots)[place];
    }
    sum = block_sum(sum);
    if (thread() == 0) gradient[head] = sum;
}

}  // namespace lf_machine
