// Norms, rotary positions and gated activations off the CPU.
#include "KernelLayers.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {

using kernels::data;
using kernels::launch;
using kernels::type_name;

namespace {

std::string instance(const char *kernel, const at::Tensor &like) { return c10::str(kernel, "<", type_name(like.scalar_type()), ">"); }
std::string instance(const char *kernel, const at::Tensor &one, const at::Tensor &other) {
    return c10::str(kernel, "<", type_name(one.scalar_type()), ", ", type_name(other.scalar_type()), ">");
}

bool is_half(const at::Tensor &x) { return x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf; }

/// Blocks that share the sum over rows, so that its order depends on the rows alone.
constexpr int64_t norm_blocks = 256;

struct KernelNorm : Function<KernelNorm> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight, double offset, double eps) {
        auto x = input.contiguous(), w = weight.contiguous(), y = at::empty_like(x);
        long long width = x.size(-1), rows = x.numel() / width;
        auto scales = at::empty({rows}, x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
        int rounds = offset == 0 && w.scalar_type() == x.scalar_type();
        launch(instance("rms_norm_forward", x, w), x, rows, data(x), data(w), data(y), data(scales), width, offset, eps, rounds);
        context->saved_data["offset"] = offset;
        context->save_for_backward({x, w, scales});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &x = saved[0], &w = saved[1], &scales = saved[2];
        auto dy = grads[0].contiguous();
        long long width = x.size(-1), rows = x.numel() / width;
        bool trains_weight = context->needs_input_grad(1);
        long long per_block = trains_weight ? (rows + norm_blocks - 1) / norm_blocks : 1, blocks = (rows + per_block - 1) / per_block;
        at::Tensor dx, dw, shares;
        if (context->needs_input_grad(0)) dx = at::empty_like(x);
        if (trains_weight) shares = at::empty({blocks, width}, scales.options());
        launch(instance("rms_norm_backward", x, w), x, blocks, data(x), data(w), data(dy), data(scales), data(dx), data(shares), rows, width,
               context->saved_data["offset"].toDouble(), per_block);
        if (trains_weight) {
            dw = at::empty_like(w);
            launch(instance("column_sums", shares, dw), x, (width + 255) / 256, data(shares), data(dw), blocks, width);
        }
        return {dx, dw, at::Tensor(), at::Tensor()};
    }
};

}  // namespace

bool takes_kernel_norm(const at::Tensor &x, const at::Tensor &weight) {
    if (!kernels::run_on(x) || x.numel() == 0 || type_name(x.scalar_type()).empty()) return false;
    return weight.scalar_type() == x.scalar_type() || (weight.scalar_type() == at::kFloat && is_half(x)) ||
           (x.scalar_type() == at::kFloat && is_half(weight));
}

at::Tensor kernel_rms_norm(const at::Tensor &x, const at::Tensor &weight, double offset, double eps) { return KernelNorm::apply(x, weight, offset, eps); }

bool takes_kernel_rotation(const at::Tensor &x) { return kernels::run_on(x) && x.numel() > 0 && !type_name(x.scalar_type()).empty(); }

at::Tensor kernel_rotated(const at::Tensor &input, const at::Tensor &cos, const at::Tensor &sin, bool interleaved, double sign) {
    auto x = input.contiguous(), y = at::empty_like(x);
    launch(instance("rotate", x), x, x.size(0), data(x), data(cos), data(sin), data(y), (long long)x.size(1), (long long)x.size(2),
           (long long)cos.size(-1), int(interleaved), sign);
    return y;
}

namespace {

constexpr long long gated_per_block = 2048;

/// The same numbers in rows that each lie in one piece, `step` apart.
struct GateRows {
    at::Tensor tensor;
    long long step;

    explicit GateRows(const at::Tensor &x) : tensor(x.dim() == 2 && x.stride(1) == 1 ? x : x.contiguous()) {
        step = tensor.is_contiguous() ? tensor.size(-1) : tensor.stride(0);
    }
};

struct KernelGate : Function<KernelGate> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &gate, const at::Tensor &up) {
        context->save_for_backward({gate, up});
        auto y = at::empty(gate.sizes(), gate.options());
        GateRows from(gate), factor(up);
        long long count = y.numel(), width = y.size(-1);
        launch(instance("gated_forward", y), y, (count + gated_per_block - 1) / gated_per_block, data(from.tensor), data(factor.tensor), data(y), count,
               width, from.step, factor.step, gated_per_block);
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        GateRows from(saved[0]), factor(saved[1]);
        auto dy = grads[0].to(saved[0].scalar_type()).contiguous();
        at::Tensor dgate, dup;
        if (context->needs_input_grad(0)) dgate = at::empty(dy.sizes(), dy.options());
        if (context->needs_input_grad(1)) dup = at::empty(dy.sizes(), dy.options());
        long long count = dy.numel(), width = dy.size(-1);
        launch(instance("gated_backward", dy), dy, (count + gated_per_block - 1) / gated_per_block, data(from.tensor), data(factor.tensor), data(dy),
               data(dgate), data(dup), count, width, from.step, factor.step, gated_per_block);
        return {dgate, dup};
    }
};

}  // namespace

bool takes_kernel_gate(const at::Tensor &gate, const at::Tensor &up) {
    return kernels::run_on(gate) && gate.numel() > 0 && gate.dim() > 0 && up.scalar_type() == gate.scalar_type() && gate.sizes() == up.sizes() &&
           !type_name(gate.scalar_type()).empty();
}

at::Tensor kernel_silu_mul(const at::Tensor &gate, const at::Tensor &up) { return KernelGate::apply(gate, up); }

}  // namespace lf
