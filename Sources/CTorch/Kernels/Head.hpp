// Kernels over rows of logits: log-probabilities of chosen tokens, and their gradients.
namespace lf_machine {

/// A row of logits becomes `exp(logit - greatest)` in place, its sum and the log-probability of its id: a row per block.
/// `leads`, unless null: whether no other logit is greater, nor as great and before it.
template <typename T, typename real> LF_KERNEL head_rows(T *logits, const index *ids, real *log_probs, real *sums, bool *leads, index width) {
    T *row = logits + block() * width;
    index id = ids[block()];
    real chosen = widened(row[id]), greatest = nothing<real>(), before = 0;
    for (index i = thread(); i < width; i += threads()) {
        real x = widened(row[i]);
        greatest = greater(greatest, x);
        before = x > chosen || (x == chosen && i < id) ? real(1) : before;
    }
    greatest = block_greatest(greatest);
    if (leads) before = block_greatest(before);
    real sum = 0;
    for (index i = thread(); i < width; i += threads()) {
        real x = power_of_e(real(widened(row[i])) - greatest);
        row[i] = rounded<T>(x);
        sum += x;
    }
    sum = block_sum(sum);
    if (thread() != 0) return;
    log_probs[block()] = chosen - greatest - natural_logarithm(sum);
    sums[block()] = sum;
    if (leads) leads[block()] = before == 0;
}

/// `(w[id] − expected / sum) · scale`: the gradient of a log-probability by its row of hidden states. A row per block.
template <typename T, typename real>
LF_KERNEL head_fold(const T *expected, const T *w, const index *ids, const real *sums, T *to, index width, double scale) {
    index start = block() * width, id = ids[block()];
    real share = real(1) / sums[block()];
    for (index i = thread(); i < width; i += threads())
        to[start + i] = rounded<T>((real(widened(w[id * width + i])) - real(widened(expected[start + i])) * share) * real(scale));
}

/// Exponentials become `grad · (1 at the id − exponential / sum) · scale`, the gradient by the logits. A row per block.
template <typename T, typename real>
LF_KERNEL head_gradient(T *exponentials, const index *ids, const real *sums, const real *grads, index width, double scale) {
    T *row = exponentials + block() * width;
    index id = ids[block()];
    real grad = grads[block()] * real(scale), share = real(1) / sums[block()];
    for (index i = thread(); i < width; i += threads()) row[i] = rounded<T>(grad * ((i == id ? real(1) : real(0)) - real(widened(row[i])) * share));
}

}  // namespace lf_machine
