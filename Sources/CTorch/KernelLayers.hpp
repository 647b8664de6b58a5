// Layers off the CPU by the shim's own kernels, each with its backward. Who calls them asks first whether they take what there is.
#pragma once
#include "Attention.hpp"
#include "Launcher.hpp"

namespace lf {

/// Whether `kernel_rms_norm` takes these: where kernels run, types that go together.
bool takes_kernel_norm(const at::Tensor &x, const at::Tensor &weight);
/// `x / sqrt(mean(x²) + eps) · (weight + offset)` over the last dimension.
at::Tensor kernel_rms_norm(const at::Tensor &x, const at::Tensor &weight, double offset, double eps);

/// Whether `kernel_rotated` takes this.
bool takes_kernel_rotation(const at::Tensor &x);
/// The heads of `x [T, heads, d]` turned by their rows' angles times `sign`. Records nothing.
at::Tensor kernel_rotated(const at::Tensor &x, const at::Tensor &cos, const at::Tensor &sin, bool interleaved, double sign);

/// Whether `kernel_silu_mul` takes these.
bool takes_kernel_gate(const at::Tensor &gate, const at::Tensor &up);
/// `silu(gate) ⊙ up`.
at::Tensor kernel_silu_mul(const at::Tensor &gate, const at::Tensor &up);

/// One of several linear layers of one input; `bias`, and `a` and `b` together, may be undefined.
struct KernelLinear {
    at::Tensor w, bias, a, b;
    double scale;
};
/// Whether `kernel_linears` takes these.
bool takes_kernel_linears(const at::Tensor &x, const std::vector<KernelLinear> &layers);
/// What each layer gives for `x [T, in]`: `x·wᵀ + bias + scale·(x·aᵀ)·bᵀ`.
std::vector<at::Tensor> kernel_linears(const at::Tensor &x, const std::vector<KernelLinear> &layers);

/// Whether `kernel_attention` takes these: where kernels run, heads of up to 256 numbers.
bool takes_kernel_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v);
/// Attention in tiles with an online softmax, with all options; scores exist a tile at a time.
at::Tensor kernel_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options);

}  // namespace lf
