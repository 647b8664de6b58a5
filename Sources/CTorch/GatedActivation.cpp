// `silu(gate) ⊙ up`, forward and backward in one pass over memory each.
#include "KernelLayers.hpp"
#include "Lanes.hpp"
#include "Parallel.hpp"
#include "RowKernels.hpp"

#include <algorithm>
#include <cmath>
#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

// What is in bfloat16 is rounded after every operation, as a chain of operations would: models were trained so.

/// `1 / (1 + e^-x)`.
LF_INLINE void logistic(const lanes &x, lanes &to) {
    to = -x;
    natural_power(to);
    to = 1 / (1 + to);
}
inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }

template <typename scalar> LF_INLINE void forward_lanes(const scalar *gate, const scalar *up, scalar *y) {
    lanes x, other, share;
    load(gate, x);
    load(up, other);
    logistic(x, share);
    x *= share;
    round_as(x, y);
    store_rounded(x * other, y);
}

template <typename scalar> LF_INLINE void backward_lanes(const scalar *gate, const scalar *up, const scalar *dy, scalar *dgate, scalar *dup) {
    lanes x, other, grad, share;
    load(gate, x);
    load(up, other);
    load(dy, grad);
    logistic(x, share);
    lanes active = x * share, inner = grad * other;
    round_as(active, dup);
    round_as(inner, dgate);
    store_rounded(active * grad, dup);
    store_rounded(inner * share * (1 + x * (1 - share)), dgate);
}

template <typename scalar> LF_INLINE void forward_row(const scalar *gate, const scalar *up, scalar *y, int64_t width) {
    int64_t i = 0;
    for (; i + lane_count <= width; i += lane_count) forward_lanes(gate + i, up + i, y + i);
    if (i == width) return;
    scalar rest[3][lane_count] = {};
    std::copy(gate + i, gate + width, rest[0]);
    std::copy(up + i, up + width, rest[1]);
    forward_lanes(rest[0], rest[1], rest[2]);
    std::copy_n(rest[2], width - i, y + i);
}

template <typename scalar>
LF_INLINE void backward_row(const scalar *gate, const scalar *up, const scalar *dy, scalar *dgate, scalar *dup, int64_t width) {
    int64_t i = 0;
    for (; i + lane_count <= width; i += lane_count) backward_lanes(gate + i, up + i, dy + i, dgate + i, dup + i);
    if (i == width) return;
    scalar rest[5][lane_count] = {};
    std::copy(gate + i, gate + width, rest[0]);
    std::copy(up + i, up + width, rest[1]);
    std::copy(dy + i, dy + width, rest[2]);
    backward_lanes(rest[0], rest[1], rest[2], rest[3], rest[4]);
    std::copy_n(rest[3], width - i, dgate + i);
    std::copy_n(rest[4], width - i, dup + i);
}

LF_SIMD void forward_rows(const float *gate, const float *up, float *y, int64_t width) { forward_row(gate, up, y, width); }
LF_SIMD void forward_rows(const c10::BFloat16 *gate, const c10::BFloat16 *up, c10::BFloat16 *y, int64_t width) {
    forward_row(gate, up, y, width);
}
LF_SIMD void backward_rows(const float *gate, const float *up, const float *dy, float *dgate, float *dup, int64_t width) {
    backward_row(gate, up, dy, dgate, dup, width);
}
LF_SIMD void backward_rows(const c10::BFloat16 *gate, const c10::BFloat16 *up, const c10::BFloat16 *dy, c10::BFloat16 *dgate, c10::BFloat16 *dup,
                           int64_t width) {
    backward_row(gate, up, dy, dgate, dup, width);
}
void forward_rows(const double *gate, const double *up, double *y, int64_t width) {
    for (int64_t i = 0; i < width; ++i) y[i] = gate[i] * logistic(gate[i]) * up[i];
}
void backward_rows(const double *gate, const double *up, const double *dy, double *dgate, double *dup, int64_t width) {
    for (int64_t i = 0; i < width; ++i) {
        double share = logistic(gate[i]);
        dgate[i] = dy[i] * up[i] * share * (1 + gate[i] * (1 - share));
        dup[i] = gate[i] * share * dy[i];
    }
}


constexpr int64_t numbers_per_task = 16384;

bool has_kernel(const at::Tensor &gate, const at::Tensor &up) {
    auto type = gate.scalar_type();
    return gate.is_cpu() && up.scalar_type() == type && gate.numel() > 0 && gate.dim() > 0 &&
           (type == at::kFloat || type == at::kDouble || type == at::kBFloat16);
}

/// The same numbers in rows that each lie in one piece, `stride` apart.
struct Rows {
    at::Tensor tensor;
    int64_t stride;

    explicit Rows(const at::Tensor &x) : tensor(x.dim() == 2 && x.stride(1) == 1 ? x : x.contiguous()) {
        stride = tensor.is_contiguous() ? tensor.size(-1) : tensor.stride(0);
    }
};

/// Calls `body(row, width)` for all rows.
template <typename Body> void for_rows(const at::Tensor &x, const Body &body) {
    int64_t width = x.size(-1);
    parallel_for(x.numel() / width, std::max<int64_t>(1, numbers_per_task / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) body(row, width);
    });
}

template <typename scalar> void forward_pass(const Rows &gate, const Rows &up, at::Tensor &y) {
    const scalar *from = elements<scalar>(gate.tensor), *factor = elements<scalar>(up.tensor);
    scalar *to = mutable_elements<scalar>(y);
    for_rows(y, [&](int64_t row, int64_t width) { forward_rows(from + row * gate.stride, factor + row * up.stride, to + row * width, width); });
}

template <typename scalar> void backward_pass(const Rows &gate, const Rows &up, const Rows &dy, at::Tensor &dgate, at::Tensor &dup) {
    const scalar *from = elements<scalar>(gate.tensor), *factor = elements<scalar>(up.tensor), *grad = elements<scalar>(dy.tensor);
    scalar *to_gate = mutable_elements<scalar>(dgate), *to_up = mutable_elements<scalar>(dup);
    for_rows(dgate, [&](int64_t row, int64_t width) {
        backward_rows(from + row * gate.stride, factor + row * up.stride, grad + row * dy.stride, to_gate + row * width, to_up + row * width, width);
    });
}

}  // namespace

at::Tensor silu_mul(const at::Tensor &gate, const at::Tensor &up) {
    TORCH_CHECK(gate.sizes() == up.sizes(), "a gate of shape ", gate.sizes(), " does not fit values of shape ", up.sizes());
    if (!has_kernel(gate, up)) return at::silu(gate).mul_(up);
    auto y = at::empty(gate.sizes(), gate.options());
    Rows from(gate), factor(up);
    if (gate.scalar_type() == at::kFloat) forward_pass<float>(from, factor, y);
    else if (gate.scalar_type() == at::kDouble) forward_pass<double>(from, factor, y);
    else forward_pass<c10::BFloat16>(from, factor, y);
    return y;
}

std::pair<at::Tensor, at::Tensor> silu_mul_gradients(const at::Tensor &gate, const at::Tensor &up, const at::Tensor &dy) {
    if (!has_kernel(gate, up)) return {at::silu_backward(dy * up, gate), at::silu(gate).mul_(dy)};
    auto dgate = at::empty(gate.sizes(), gate.options()), dup = at::empty(gate.sizes(), gate.options());
    Rows from(gate), factor(up), grad(dy);
    if (gate.scalar_type() == at::kFloat) backward_pass<float>(from, factor, grad, dgate, dup);
    else if (gate.scalar_type() == at::kDouble) backward_pass<double>(from, factor, grad, dgate, dup);
    else backward_pass<c10::BFloat16>(from, factor, grad, dgate, dup);
    return {dgate, dup};
}

namespace {

struct SiluMul : Function<SiluMul> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &gate, const at::Tensor &up) {
        context->save_for_backward({gate, up});
        return silu_mul(gate, up);
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &gate = saved[0], &up = saved[1];
        auto [dgate, dup] = silu_mul_gradients(gate, up, grads[0].to(gate.scalar_type()));
        return {context->needs_input_grad(0) ? dgate : at::Tensor(), context->needs_input_grad(1) ? dup : at::Tensor()};
    }
};

}  // namespace

void gate_row(const float *gate, const float *up, float *y, int64_t width) { forward_rows(gate, up, y, width); }
void gate_row(const c10::BFloat16 *gate, const c10::BFloat16 *up, c10::BFloat16 *y, int64_t width) { forward_rows(gate, up, y, width); }

}  // namespace lf

using namespace lf;

lf_status lf_silu_mul(lf_tensor_t gate, lf_tensor_t up, lf_tensor_t *out) {
    return returning(out, [&] {
        if (takes_kernel_gate(gate->value, up->value)) return kernel_silu_mul(gate->value, up->value);
        return SiluMul::apply(gate->value, up->value);
    });
}
