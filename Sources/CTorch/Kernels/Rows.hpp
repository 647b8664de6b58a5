// Kernels that go over rows once: norms, rotary positions, gated activations.
namespace lf_machine {

/// `y = x / sqrt(mean(x²) + eps) · (w + offset)`: a row per block. `rounds`: whether the normalised number is rounded before it is multiplied.
template <typename T, typename W>
LF_KERNEL rms_norm_forward(const T *x, const W *w, T *y, typename Number<T>::real *scales, index width, double offset, double eps, int rounds) {
    typedef typename Number<T>::real real;
    index start = block() * width;
    real squares = 0;
    for (index i = thread(); i < width; i += threads()) squares += widened(x[start + i]) * widened(x[start + i]);
    squares = block_sum(squares);
    real scale = real(1) / root(squares / real(width) + real(eps));
    if (thread() == 0) scales[block()] = scale;
    for (index i = thread(); i < width; i += threads()) {
        real normed = widened(x[start + i]) * scale, factor = real(widened(w[i])) + real(offset);
        y[start + i] = rounded<T>(factor * (rounds ? as_held<T>(normed) : normed));
    }
}

/// The gradients of the same, `rows_per_block` rows after one another: `dx`, and of each block its share of the weight's. Either may be null.
template <typename T, typename W>
LF_KERNEL rms_norm_backward(const T *x, const W *w, const T *dy, const typename Number<T>::real *scales, T *dx, typename Number<T>::real *shares, index rows,
                            index width, double offset, index rows_per_block) {
    typedef typename Number<T>::real real;
    index first = block() * rows_per_block, end = lesser(rows, first + rows_per_block);
    if (shares)
        for (index i = thread(); i < width; i += threads()) shares[block() * width + i] = 0;
    for (index row = first; row < end; ++row) {
        index start = row * width;
        real scale = scales[row], dot = 0;
        for (index i = thread(); i < width; i += threads())
            dot += (real(widened(w[i])) + real(offset)) * widened(dy[start + i]) * widened(x[start + i]);
        dot = block_sum(dot);
        real shift = dot * scale * scale * scale / real(width);
        for (index i = thread(); i < width; i += threads()) {
            real value = widened(x[start + i]), grad = widened(dy[start + i]);
            if (shares) shares[block() * width + i] += grad * value * scale;
            if (dx) dx[start + i] = rounded<T>(scale * (real(widened(w[i])) + real(offset)) * grad - shift * value);
        }
    }
}

/// `to[i] = Σ from[row, i]`.
template <typename real, typename W> LF_KERNEL column_sums(const real *from, W *to, index rows, index width) {
    for (index i = block() * 256 + thread(); i < lesser(width, block() * 256 + 256); i += threads()) {
        real sum = 0;
        for (index row = 0; row < rows; ++row) sum += from[row * width + i];
        to[i] = rounded<W>(typename Number<W>::real(sum));
    }
}

/// Turns the pairs of each head by its row's angles: a row per block.
template <typename T>
LF_KERNEL rotate(const T *x, const float *cosines, const float *sines, T *y, index heads, index width, index half, int interleaved, double sign) {
    typedef typename Number<T>::real real;
    index row = block();
    const T *in = x + row * heads * width;
    T *out = y + row * heads * width;
    for (index i = thread(); i < heads * half; i += threads()) {
        index pair = i % half, start = i / half * width;
        index one = start + (interleaved ? 2 * pair : pair), other = start + (interleaved ? 2 * pair + 1 : pair + half);
        real a = widened(in[one]), b = widened(in[other]), cosine = cosines[row * half + pair], sine = real(sign) * sines[row * half + pair];
        out[one] = rounded<T>(a * cosine - b * sine);
        out[other] = rounded<T>(b * cosine + a * sine);
    }
    index rest = width - 2 * half;
    for (index i = thread(); i < heads * rest; i += threads()) {
        index place = i / rest * width + 2 * half + i % rest;
        out[place] = in[place];
    }
}

/// `y = silu(gate) ⊙ up`, rounded between the two as a chain of operations would; rows of gate and up lie `gate_step` and `up_step` apart.
template <typename T> LF_KERNEL gated_forward(const T *gate, const T *up, T *y, index count, index width, index gate_step, index up_step, index per_block) {
    for (index i = block() * per_block + thread(); i < lesser(count, (block() + 1) * per_block); i += threads()) {
        index row = i / width, column = i % width;
        auto x = widened(gate[row * gate_step + column]);
        y[i] = rounded<T>(as_held<T>(x / (1 + power_of_e(-x))) * widened(up[row * up_step + column]));
    }
}

/// The gradients of the same; either may be null.
template <typename T>
LF_KERNEL gated_backward(const T *gate, const T *up, const T *dy, T *dgate, T *dup, index count, index width, index gate_step, index up_step,
                         index per_block) {
    for (index i = block() * per_block + thread(); i < lesser(count, (block() + 1) * per_block); i += threads()) {
        index row = i / width, column = i % width;
        auto x = widened(gate[row * gate_step + column]), grad = widened(dy[i]);
        auto share = 1 / (1 + power_of_e(-x));
        if (dup) dup[i] = rounded<T>(as_held<T>(x * share) * grad);
        if (dgate) dgate[i] = rounded<T>(as_held<T>(grad * widened(up[row * up_step + column])) * share * (1 + x * (1 - share)));
    }
}

}  // namespace lf_machine
