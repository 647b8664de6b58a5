// Normalisation and rotary positions, each with its own backward.
#include "KernelLayers.hpp"
#include "Parallel.hpp"
#include "RowKernels.hpp"

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
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight, double offset, double eps) {
        auto x = input.contiguous();
        auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        // A weight around 0 is added to its offset and multiplied before anything is rounded, as the models that have one do.
        // So is one that is held in float32 while its input is not.
        bool is_wider = weight.scalar_type() == wide && x.scalar_type() != wide;
        auto w = weight.to(offset == 0 && !is_wider ? x.scalar_type() : wide).contiguous();
        if (offset != 0) w = w + offset;
        context->saved_data["weight_type"] = static_cast<int64_t>(weight.scalar_type());
        at::Tensor y, scales;
        if (has_norm_kernel(x) && w.scalar_type() == x.scalar_type()) {
            y = at::empty_like(x);
            scales = at::empty({x.numel() / x.size(-1)}, x.options().dtype(wide));
            if (x.scalar_type() == at::kFloat) run_norm_forward<float>(norm_forward_f32, x, w, y, scales, eps);
            else if (x.scalar_type() == at::kDouble) run_norm_forward<double>(norm_forward_f64, x, w, y, scales, eps);
            else run_norm_forward<c10::BFloat16>(norm_forward_bf16, x, w, y, scales, eps);
        } else {
            auto wide_x = x.to(wide);
            scales = at::rsqrt(wide_x.square().mean(-1) + eps);
            y = (w * (wide_x * scales.unsqueeze(-1)).to(w.scalar_type())).to(x.scalar_type());
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
        if (has_norm_kernel(x) && w.scalar_type() == x.scalar_type()) {
            if (context->needs_input_grad(0)) dx = at::empty_like(x);
            if (context->needs_input_grad(1)) dw = at::empty({0}, scales.options());
            if (x.scalar_type() == at::kFloat) run_norm_backward<float>(norm_backward_f32, x, w, dy, scales, dx, dw);
            else if (x.scalar_type() == at::kDouble) run_norm_backward<double>(norm_backward_f64, x, w, dy, scales, dx, dw);
            else run_norm_backward<c10::BFloat16>(norm_backward_bf16, x, w, dy, scales, dx, dw);
        } else {
            auto wide_x = x.to(scales.scalar_type()), wide_dy = dy.to(scales.scalar_type()), scale = scales.unsqueeze(-1);
            auto normed = wide_x * scale, weighted = wide_dy * w;
            if (context->needs_input_grad(0)) dx = (scale * at::addcmul(weighted, normed, (weighted * normed).mean(-1, true), -1)).to(x.scalar_type());
            if (context->needs_input_grad(1)) dw = (wide_dy * normed).reshape({-1, x.size(-1)}).sum(0);
        }
        if (dw.defined()) dw = dw.to(weight_type);
        return {dx, dw, at::Tensor(), at::Tensor()};
    }
};

template <typename scalar, bool interleaved>
inline __attribute__((always_inline)) void rotate(const scalar *x, const float *cos, const float *sin, scalar *y, int64_t begin, int64_t end,
                                                  int64_t heads, int64_t width, int64_t half, double sign) {
    using real = accumulated<scalar>;
    for (int64_t row = begin; row < end; ++row) {
        const float *c = cos + row * half, *s = sin + row * half;
        for (int64_t head = 0; head < heads; ++head) {
            const scalar *in = x + (row * heads + head) * width;
            scalar *out = y + (row * heads + head) * width;
            for (int64_t i = 0; i < half; ++i) {
                int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
                real a = real(in[first]), b = real(in[second]), cosine = c[i], sine = real(sign) * s[i];
                out[first] = scalar(a * cosine - b * sine);
                out[second] = scalar(b * cosine + a * sine);
            }
            for (int64_t i = 2 * half; i < width; ++i) out[i] = in[i];
        }
    }
}

#define LF_ROPE_KERNEL(name, scalar, interleaved)                                                                                             \
    LF_SIMD void name(const scalar *x, const float *cos, const float *sin, scalar *y, int64_t begin, int64_t end, int64_t heads,               \
                      int64_t width, int64_t half, double sign) {                                                                             \
        rotate<scalar, interleaved>(x, cos, sin, y, begin, end, heads, width, half, sign);                                                    \
    }
LF_ROPE_KERNEL(rotate_f32, float, false)
LF_ROPE_KERNEL(rotate_f64, double, false)
LF_ROPE_KERNEL(rotate_bf16, c10::BFloat16, false)
LF_ROPE_KERNEL(rotate_pairs_f32, float, true)
LF_ROPE_KERNEL(rotate_pairs_f64, double, true)
LF_ROPE_KERNEL(rotate_pairs_bf16, c10::BFloat16, true)

at::Tensor rotated(const at::Tensor &input, const at::Tensor &cos, const at::Tensor &sin, bool interleaved, double sign) {
    if (takes_kernel_rotation(input)) return kernel_rotated(input, cos, sin, interleaved, sign);
    auto x = input.contiguous();
    int64_t rows = x.size(0), heads = x.size(1), width = x.size(2), half = cos.size(-1);
    if (has_norm_kernel(x)) {
        auto y = at::empty_like(x);
        auto run = [&](auto kernel, auto *in, auto *out) {
            parallel_for(rows, rows_per_task, [&](int64_t begin, int64_t end) {
                kernel(in, elements<float>(cos), elements<float>(sin), out, begin, end, heads, width, half, sign);
            });
        };
        if (x.scalar_type() == at::kFloat)
            run(interleaved ? rotate_pairs_f32 : rotate_f32, elements<float>(x), mutable_elements<float>(y));
        else if (x.scalar_type() == at::kDouble)
            run(interleaved ? rotate_pairs_f64 : rotate_f64, elements<double>(x), mutable_elements<double>(y));
        else run(interleaved ? rotate_pairs_bf16 : rotate_bf16, elements<c10::BFloat16>(x), mutable_elements<c10::BFloat16>(y));
        return y;
    }
    auto c = cos.unsqueeze(1), s = sin.unsqueeze(1);
    auto pairs = interleaved ? x.narrow(-1, 0, 2 * half).unflatten(-1, {half, 2}).transpose(-1, -2) : x.narrow(-1, 0, 2 * half).unflatten(-1, {2, half});
    auto a = pairs.select(-2, 0), b = pairs.select(-2, 1);
    auto both = at::stack({at::addcmul(a * c, b, s, -sign), at::addcmul(b * c, a, s, sign)}, interleaved ? -1 : -2);
    auto turned = both.flatten(-2).to(x.scalar_type());
    return width == 2 * half ? turned : at::cat({turned, x.narrow(-1, 2 * half, width - 2 * half)}, -1);
}

struct Rope : Function<Rope> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin,
                              bool interleaved) {
        TORCH_CHECK(x.dim() == 3 && cos.dim() == 2 && cos.size(0) == x.size(0) && 2 * cos.size(1) <= x.size(2) && cos.sizes() == sin.sizes() &&
                        cos.scalar_type() == at::kFloat && cos.is_contiguous() && sin.is_contiguous(),
                    "rotary tables do not fit the heads");
        context->save_for_backward({cos, sin});
        context->saved_data["interleaved"] = interleaved;
        return rotated(x, cos, sin, interleaved, 1);
    }
    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        bool interleaved = context->saved_data["interleaved"].toBool();
        return {rotated(grads[0], saved[0], saved[1], interleaved, -1), at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

}  // namespace

#define LF_ROW_KERNELS(name, scalar)                                                                                                        \
    void norm_row(const scalar *x, const scalar *w, scalar *y, int64_t width, double eps) {                                                 \
        float scale;                                                                                                                       \
        norm_forward_##name(x, w, y, &scale, 0, 1, width, eps);                                                                             \
    }                                                                                                                                      \
    void rotate_head(const scalar *x, const float *cos, const float *sin, scalar *y, int64_t width, int64_t half, bool interleaved) {       \
        if (interleaved) rotate_pairs_##name(x, cos, sin, y, 0, 1, 1, width, half, 1);                                                      \
        else rotate_##name(x, cos, sin, y, 0, 1, 1, width, half, 1);                                                                        \
    }
LF_ROW_KERNELS(f32, float)
LF_ROW_KERNELS(bf16, c10::BFloat16)

}  // namespace lf

using namespace lf;

lf_status lf_rms_norm(lf_tensor_t x, lf_tensor_t w, double offset, double eps, lf_tensor_t *out) {
    return returning(out, [&] {
        TORCH_CHECK(w->value.dim() == 1 && w->value.size(0) > 0 && x->value.size(-1) == w->value.size(0), "the norm's weight does not fit the last dimension");
        if (takes_kernel_norm(x->value, w->value)) return kernel_rms_norm(x->value, w->value, offset, eps);
        return RMSNorm::apply(x->value, w->value, offset, eps);
    });
}
lf_status lf_layer_norm(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, double eps, lf_tensor_t *out) {
    return returning(out, [&] {
        auto input = x->value.contiguous();
        auto fitting = [&](lf_tensor_t tensor) -> std::optional<at::Tensor> {
            if (!tensor) return std::nullopt;
            TORCH_CHECK(tensor->value.dim() == 1 && tensor->value.size(0) == input.size(-1), "the norm's weight does not fit the last dimension");
            return tensor->value;
        };
        // A weight that is wider than its input is applied before anything is rounded.
        auto scale = fitting(w), shift = fitting(bias);
        bool is_wider = scale && scale->scalar_type() == at::kFloat && input.scalar_type() != at::kDouble;
        auto type = is_wider ? at::kFloat : input.scalar_type();
        auto cast = [&](std::optional<at::Tensor> &tensor) { return tensor ? std::optional<at::Tensor>(tensor->to(type)) : std::nullopt; };
        return at::layer_norm(input.to(type), {input.size(-1)}, cast(scale), cast(shift), eps).to(input.scalar_type());
    });
}
lf_status lf_rope(lf_tensor_t x, lf_tensor_t cos, lf_tensor_t sin, bool interleaved, lf_tensor_t *out) {
    return returning(out, [&] { return Rope::apply(x->value, cos->value, sin->value, interleaved); });
}
