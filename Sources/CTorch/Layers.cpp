// Normalisation, gated activation and rotary positions, each with its own backward.
#include "Internal.hpp"

#include "Parallel.hpp"
#include <cmath>
#include <torch/csrc/autograd/custom_function.h>
#include <type_traits>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

template <typename scalar>
inline __attribute__((always_inline)) void norm_forward(const scalar *x, const scalar *w, scalar *y, accumulated<scalar> *scales, int64_t begin,
                                                        int64_t end, int64_t width, double eps) {
#pragma clang fp reassociate(on) contract(fast)
    using real = accumulated<scalar>;
    for (int64_t row = begin; row < end; ++row) {
        const scalar *in = x + row * width;
        scalar *out = y + row * width;
        real sum = 0;
        for (int64_t i = 0; i < width; ++i) sum += real(in[i]) * real(in[i]);
        real scale = real(1) / std::sqrt(sum / real(width) + real(eps));
        scales[row] = scale;
        for (int64_t i = 0; i < width; ++i) out[i] = scalar(real(w[i]) * real(scalar(real(in[i]) * scale)));
    }
}

template <typename scalar>
inline __attribute__((always_inline)) void norm_backward(const scalar *x, const scalar *w, const scalar *dy, const accumulated<scalar> *scales,
                                                         scalar *dx, accumulated<scalar> *dw, int64_t begin, int64_t end, int64_t width) {
#pragma clang fp reassociate(on) contract(fast)
    using real = accumulated<scalar>;
    for (int64_t row = begin; row < end; ++row) {
        const scalar *in = x + row * width, *grad = dy + row * width;
        real scale = scales[row], dot = 0;
        for (int64_t i = 0; i < width; ++i) dot += real(w[i]) * real(grad[i]) * real(in[i]);
        real shift = dot * scale * scale * scale / real(width);
        if (dx) {
            scalar *out = dx + row * width;
            for (int64_t i = 0; i < width; ++i) out[i] = scalar(scale * real(w[i]) * real(grad[i]) - shift * real(in[i]));
        }
        if (dw)
            for (int64_t i = 0; i < width; ++i) dw[i] += real(grad[i]) * real(in[i]) * scale;
    }
}

#define LF_NORM_KERNELS(name, scalar)                                                                                                     \
    LF_SIMD void norm_forward_##name(const scalar *x, const scalar *w, scalar *y, accumulated<scalar> *scales, int64_t begin, int64_t end, \
                                     int64_t width, double eps) {                                                                         \
        norm_forward<scalar>(x, w, y, scales, begin, end, width, eps);                                                                    \
    }                                                                                                                                     \
    LF_SIMD void norm_backward_##name(const scalar *x, const scalar *w, const scalar *dy, const accumulated<scalar> *scales, scalar *dx,   \
                                      accumulated<scalar> *dw, int64_t begin, int64_t end, int64_t width) {                               \
        norm_backward<scalar>(x, w, dy, scales, dx, dw, begin, end, width);                                                               \
    }
LF_NORM_KERNELS(f32, float)
LF_NORM_KERNELS(f64, double)
LF_NORM_KERNELS(bf16, c10::BFloat16)

constexpr int64_t rows_per_task = 16;

template <typename scalar, typename Kernel>
void run_norm_forward(Kernel kernel, const at::Tensor &x, const at::Tensor &w, at::Tensor &y, at::Tensor &scales, double eps) {
    int64_t width = x.size(-1), rows = x.numel() / width;
    parallel_for(rows, rows_per_task, [&](int64_t begin, int64_t end) {
        kernel(elements<scalar>(x), elements<scalar>(w), mutable_elements<scalar>(y),
               mutable_elements<accumulated<scalar>>(scales), begin, end, width, eps);
    });
}

template <typename scalar, typename Kernel>
void run_norm_backward(Kernel kernel, const at::Tensor &x, const at::Tensor &w, const at::Tensor &dy, const at::Tensor &scales, at::Tensor &dx,
                       at::Tensor &dw) {
    int64_t width = x.size(-1), rows = x.numel() / width;
    scalar *dx_data = dx.defined() ? mutable_elements<scalar>(dx) : nullptr;
    // A fixed split into chunks: the sum over rows does not depend on the number of threads.
    constexpr int64_t chunk = 256;
    int64_t chunks = (rows + chunk - 1) / chunk;
    at::Tensor partial;
    if (dw.defined()) partial = at::zeros({chunks, width}, scales.options());
    parallel_for(chunks, 1, [&](int64_t first, int64_t last) {
        for (int64_t c = first; c < last; ++c)
            kernel(elements<scalar>(x), elements<scalar>(w), elements<scalar>(dy),
                   elements<accumulated<scalar>>(scales), dx_data,
                   dw.defined() ? mutable_elements<accumulated<scalar>>(partial) + c * width : nullptr, c * chunk,
                   std::min(rows, (c + 1) * chunk), width);
    });
    if (dw.defined()) dw = partial.sum(0);
}

bool has_norm_kernel(const at::Tensor &x) {
    return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble || x.scalar_type() == at::kBFloat16);
}

struct RMSNorm : Function<RMSNorm> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight, double eps) {
        auto x = input.contiguous();
        auto w = weight.scalar_type() == x.scalar_type() ? weight.contiguous() : weight.to(x.scalar_type()).contiguous();
        auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        context->saved_data["weight_type"] = static_cast<int64_t>(weight.scalar_type());
        at::Tensor y, scales;
        if (has_norm_kernel(x)) {
            y = at::empty_like(x);
            scales = at::empty({x.numel() / x.size(-1)}, x.options().dtype(wide));
            if (x.scalar_type() == at::kFloat) run_norm_forward<float>(norm_forward_f32, x, w, y, scales, eps);
            else if (x.scalar_type() == at::kDouble) run_norm_forward<double>(norm_forward_f64, x, w, y, scales, eps);
            else run_norm_forward<c10::BFloat16>(norm_forward_bf16, x, w, y, scales, eps);
        } else {
            auto wide_x = x.to(wide);
            scales = at::rsqrt(wide_x.square().mean(-1) + eps);
            y = w * (wide_x * scales.unsqueeze(-1)).to(x.scalar_type());
        }
        context->save_for_backward({x, w, scales});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &x = saved[0], &w = saved[1], &scales = saved[2];
        auto dy = grads[0].contiguous();
        auto weight_type = static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt());
        at::Tensor dx, dw;
        if (has_norm_kernel(x)) {
            if (context->needs_input_grad(0)) dx = at::empty_like(x);
            if (context->needs_input_grad(1)) dw = at::empty({0}, scales.options());
            if (x.scalar_type() == at::kFloat) run_norm_backward<float>(norm_backward_f32, x, w, dy, scales, dx, dw);
            else if (x.scalar_type() == at::kDouble) run_norm_backward<double>(norm_backward_f64, x, w, dy, scales, dx, dw);
            else run_norm_backward<c10::BFloat16>(norm_backward_bf16, x, w, dy, scales, dx, dw);
        } else {
            auto wide_x = x.to(scales.scalar_type()), wide_dy = dy.to(scales.scalar_type()), scale = scales.unsqueeze(-1);
            auto normed = wide_x * scale, weighted = wide_dy * w;
            if (context->needs_input_grad(0)) dx = (scale * (weighted - normed * (weighted * normed).mean(-1, true))).to(x.scalar_type());
            if (context->needs_input_grad(1)) dw = (wide_dy * normed).reshape({-1, x.size(-1)}).sum(0);
        }
        if (dw.defined()) dw = dw.to(weight_type);
        return {dx, dw, at::Tensor()};
    }
};

struct SiluMul : Function<SiluMul> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &gate, const at::Tensor &up) {
        context->save_for_backward({gate, up});
        return at::silu(gate).mul_(up);
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &gate = saved[0], &up = saved[1], &dy = grads[0];
        at::Tensor dgate, dup;
        if (context->needs_input_grad(0)) dgate = at::silu_backward(dy * up, gate);
        if (context->needs_input_grad(1)) dup = at::silu(gate).mul_(dy);
        return {dgate, dup};
    }
};

template <typename scalar>
inline __attribute__((always_inline)) void rotate(const scalar *x, const float *cos, const float *sin, scalar *y, int64_t begin, int64_t end,
                                                  int64_t heads, int64_t width, int64_t half, double sign) {
    using real = accumulated<scalar>;
    for (int64_t row = begin; row < end; ++row) {
        const float *c = cos + row * half, *s = sin + row * half;
        for (int64_t head = 0; head < heads; ++head) {
            const scalar *in = x + (row * heads + head) * width;
            scalar *out = y + (row * heads + head) * width;
            for (int64_t i = 0; i < half; ++i) {
                real a = real(in[i]), b = real(in[i + half]), cosine = c[i], sine = real(sign) * s[i];
                out[i] = scalar(a * cosine - b * sine);
                out[i + half] = scalar(b * cosine + a * sine);
            }
            for (int64_t i = 2 * half; i < width; ++i) out[i] = in[i];
        }
    }
}

#define LF_ROPE_KERNEL(name, scalar)                                                                                                          \
    LF_SIMD void rotate_##name(const scalar *x, const float *cos, const float *sin, scalar *y, int64_t begin, int64_t end, int64_t heads,      \
                               int64_t width, int64_t half, double sign) {                                                                    \
        rotate<scalar>(x, cos, sin, y, begin, end, heads, width, half, sign);                                                                 \
    }
LF_ROPE_KERNEL(f32, float)
LF_ROPE_KERNEL(f64, double)
LF_ROPE_KERNEL(bf16, c10::BFloat16)

at::Tensor rotated(const at::Tensor &input, const at::Tensor &cos, const at::Tensor &sin, double sign) {
    auto x = input.contiguous();
    int64_t rows = x.size(0), heads = x.size(1), width = x.size(2), half = cos.size(-1);
    if (has_norm_kernel(x)) {
        auto y = at::empty_like(x);
        auto run = [&](auto kernel, auto *in, auto *out) {
            parallel_for(rows, rows_per_task, [&](int64_t begin, int64_t end) {
                kernel(in, elements<float>(cos), elements<float>(sin), out, begin, end, heads, width, half, sign);
            });
        };
        if (x.scalar_type() == at::kFloat) run(rotate_f32, elements<float>(x), mutable_elements<float>(y));
        else if (x.scalar_type() == at::kDouble) run(rotate_f64, elements<double>(x), mutable_elements<double>(y));
        else run(rotate_bf16, elements<c10::BFloat16>(x), mutable_elements<c10::BFloat16>(y));
        return y;
    }
    auto c = cos.unsqueeze(1), s = sin.unsqueeze(1) * sign;
    auto a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
    auto turned = at::cat({a * c - b * s, b * c + a * s}, -1).to(x.scalar_type());
    return width == 2 * half ? turned : at::cat({turned, x.narrow(-1, 2 * half, width - 2 * half)}, -1);
}

struct Rope : Function<Rope> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin) {
        TORCH_CHECK(x.dim() == 3 && cos.dim() == 2 && cos.size(0) == x.size(0) && 2 * cos.size(1) <= x.size(2) && cos.sizes() == sin.sizes() &&
                        cos.scalar_type() == at::kFloat && cos.is_contiguous() && sin.is_contiguous(),
                    "rotary tables do not fit the heads");
        context->save_for_backward({cos, sin});
        return rotated(x, cos, sin, 1);
    }
    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        return {rotated(grads[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
    }
};

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_rms_norm(lf_tensor_t x, lf_tensor_t w, double eps, lf_tensor_t *out) {
    return returning(out, [&] {
        TORCH_CHECK(w->value.dim() == 1 && w->value.size(0) > 0 && x->value.size(-1) == w->value.size(0), "the norm's weight does not fit the last dimension");
        return RMSNorm::apply(x->value, w->value, eps);
    });
}
lf_status lf_silu_mul(lf_tensor_t gate, lf_tensor_t up, lf_tensor_t *out) {
    return returning(out, [&] { return SiluMul::apply(gate->value, up->value); });
}
lf_status lf_rope(lf_tensor_t x, lf_tensor_t cos, lf_tensor_t sin, lf_tensor_t *out) {
    return returning(out, [&] { return Rope::apply(x->value, cos->value, sin->value); });
}
