// What the shim's files share: handles, error capture, conversions.
#pragma once
#if !__has_include(<ATen/ATen.h>)
#error "libtorch's headers were not found: run `make setup`, or set LIBTORCH to a folder with include/ and lib/."
#endif
#include <ATen/ATen.h>
#include <c10/core/DeviceType.h>
#include <c10/core/GradMode.h>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "CTorch.h"

/// Compiles a function for several vector widths; the processor chooses when the program starts.
#if defined(__x86_64__)
#define LF_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LF_SIMD
#endif

struct lf_tensor { at::Tensor value; };
struct lf_generator { at::Generator value; };

namespace lf {

/// Sums and exponentials are taken in float32, for float64 input in float64.
template <typename scalar> using accumulated = std::conditional_t<std::is_same_v<scalar, double>, double, float>;

/// A tensor's elements, which are of type `T`. libtorch's own typed accessors have names that clang and gcc, in some versions, spell differently.
template <typename T> const T *elements(const at::Tensor &tensor) {
    TORCH_CHECK(tensor.scalar_type() == c10::CppTypeToScalarType<T>::value, "elements of another type");
    return static_cast<const T *>(tensor.const_data_ptr());
}
template <typename T> T *mutable_elements(const at::Tensor &tensor) {
    TORCH_CHECK(tensor.scalar_type() == c10::CppTypeToScalarType<T>::value, "elements of another type");
    return static_cast<T *>(tensor.mutable_data_ptr());
}

/// Switches recording off for a scope.
struct WithoutGrad {
    c10::AutoGradMode mode{false};
};

lf_status fail(lf_status status, const char *message) noexcept;

template <typename Body> lf_status guarded(Body &&body) noexcept {
    try {
        body();
        return LF_OK;
    } catch (const c10::OutOfMemoryError &error) {
        return fail(LF_OUT_OF_MEMORY, error.what_without_backtrace());
    } catch (const c10::Error &error) {
        // The CPU allocator reports exhaustion as a plain error.
        const char *message = error.what_without_backtrace();
        bool is_exhausted = std::strstr(message, "can't allocate memory") || std::strstr(message, "not enough memory");
        return fail(is_exhausted ? LF_OUT_OF_MEMORY : LF_INVALID, message);
    } catch (const std::bad_alloc &error) {
        return fail(LF_OUT_OF_MEMORY, error.what());
    } catch (const std::exception &error) {
        return fail(LF_INTERNAL, error.what());
    } catch (...) {
        return fail(LF_INTERNAL, "unknown C++ exception");
    }
}

inline lf_tensor_t adopt(at::Tensor tensor) { return new lf_tensor{std::move(tensor)}; }

/// Runs an expression that yields a tensor and hands it out.
template <typename Body> lf_status returning(lf_tensor_t *out, Body &&body) noexcept {
    return guarded([&] { *out = adopt(body()); });
}

inline std::vector<at::Tensor> list(const lf_tensor_t *tensors, size_t count) {
    std::vector<at::Tensor> result;
    result.reserve(count);
    for (size_t i = 0; i < count; ++i) result.push_back(tensors[i]->value);
    return result;
}

at::ScalarType scalar_type(lf_dtype dtype);
lf_dtype dtype_of(at::ScalarType type);
at::Device device(lf_device_type type);

/// `x·wᵀ`, `x [M, K]`, `w [N, K]` of one type, strides free: the routed matrix product. Records nothing.
at::Tensor product(const at::Tensor &x, const at::Tensor &w);
/// `x·wᵀ + addend`.
at::Tensor product_plus(const at::Tensor &x, const at::Tensor &w, const at::Tensor &addend);
/// The same of an addend that nobody else has: where possible it becomes the result.
at::Tensor product_plus(const at::Tensor &x, const at::Tensor &w, at::Tensor &&addend);
/// `silu(gate) ⊙ up`. Records nothing.
at::Tensor silu_mul(const at::Tensor &gate, const at::Tensor &up);
/// The gradients of both, from that of their product.
std::pair<at::Tensor, at::Tensor> silu_mul_gradients(const at::Tensor &gate, const at::Tensor &up, const at::Tensor &dy);
/// Whether `product_of_few_rows` takes these: few tokens against a whole weight, as in decoding.
bool has_few_rows(const at::Tensor &x, const at::Tensor &w);
/// `x·wᵀ + bias`, bound by reading w once. Records nothing.
at::Tensor product_of_few_rows(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias);

}  // namespace lf
