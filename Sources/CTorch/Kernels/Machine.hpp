// The machine that kernels are written for: blocks of threads that share memory and wait for one another at barriers.
// The same text is compiled by NVRTC for GPUs, and for tests as ordinary C++ for a machine whose blocks have one thread each. A kernel therefore asks
// `thread()` and `threads()` and never says how many there are. These files include one another nowhere: they are put together in the order
// Machine, Rows, Products, Attention, Head.
#if defined(__CUDACC_RTC__)
#define LF_KERNEL __global__ void __launch_bounds__(256)
#define LF_DEVICE __device__ __forceinline__
#define LF_SHARED __shared__
#define LF_UNROLL _Pragma("unroll")
#else
#include <cmath>
#define LF_KERNEL inline void
#define LF_DEVICE inline
#define LF_SHARED static thread_local
#define LF_UNROLL
#endif

namespace lf_machine {

typedef long long index;

#if defined(__CUDACC_RTC__)
/// Threads along each side of a tile.
constexpr int side = 16;
LF_DEVICE index block() { return blockIdx.x; }
LF_DEVICE int thread() { return threadIdx.x; }
LF_DEVICE int threads() { return blockDim.x; }
LF_DEVICE void barrier() { __syncthreads(); }
LF_DEVICE float power_of_e(float x) { return expf(x); }
LF_DEVICE double power_of_e(double x) { return exp(x); }
LF_DEVICE float natural_logarithm(float x) { return logf(x); }
LF_DEVICE double natural_logarithm(double x) { return log(x); }
LF_DEVICE float root(float x) { return sqrtf(x); }
LF_DEVICE double root(double x) { return sqrt(x); }
LF_DEVICE float hyperbolic_tangent(float x) { return tanhf(x); }
LF_DEVICE double hyperbolic_tangent(double x) { return tanh(x); }
LF_DEVICE float bits_to_float(unsigned bits) { return __uint_as_float(bits); }
LF_DEVICE unsigned float_to_bits(float x) { return __float_as_uint(x); }
LF_DEVICE float half_to_float(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
LF_DEVICE unsigned short float_to_half(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#else
constexpr int side = 1;
/// The block whose turn it is.
inline thread_local index current_block = 0;
LF_DEVICE index block() { return current_block; }
LF_DEVICE int thread() { return 0; }
LF_DEVICE int threads() { return 1; }
LF_DEVICE void barrier() {}
template <typename real> LF_DEVICE real power_of_e(real x) { return std::exp(x); }
template <typename real> LF_DEVICE real natural_logarithm(real x) { return std::log(x); }
template <typename real> LF_DEVICE real root(real x) { return std::sqrt(x); }
template <typename real> LF_DEVICE real hyperbolic_tangent(real x) { return std::tanh(x); }
LF_DEVICE float bits_to_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
LF_DEVICE unsigned float_to_bits(float x) { return __builtin_bit_cast(unsigned, x); }
LF_DEVICE float half_to_float(unsigned short bits) { return float(__builtin_bit_cast(_Float16, bits)); }
LF_DEVICE unsigned short float_to_half(float x) { return __builtin_bit_cast(unsigned short, _Float16(x)); }
#endif

struct bfloat16 {
    unsigned short bits;
};
struct float16 {
    unsigned short bits;
};

/// How a type of tensors is computed with: in `real`, and rounded to the nearest.
template <typename T> struct Number {
    typedef T real;
    static LF_DEVICE T widened(T x) { return x; }
    static LF_DEVICE T rounded(T x) { return x; }
};
template <> struct Number<bfloat16> {
    typedef float real;
    static LF_DEVICE float widened(bfloat16 x) { return bits_to_float(unsigned(x.bits) << 16); }
    static LF_DEVICE bfloat16 rounded(float x) {
        unsigned bits = float_to_bits(x);
        bfloat16 result;
        result.bits = x == x ? (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) : (unsigned short)0x7fc0;
        return result;
    }
};
template <> struct Number<float16> {
    typedef float real;
    static LF_DEVICE float widened(float16 x) { return half_to_float(x.bits); }
    static LF_DEVICE float16 rounded(float x) {
        float16 result;
        result.bits = float_to_half(x);
        return result;
    }
};

template <typename T> LF_DEVICE typename Number<T>::real widened(T x) { return Number<T>::widened(x); }
template <typename T> LF_DEVICE T rounded(typename Number<T>::real x) { return Number<T>::rounded(x); }
/// The number that a `T` would hold of x.
template <typename T> LF_DEVICE typename Number<T>::real as_held(typename Number<T>::real x) { return widened(rounded<T>(x)); }

template <typename T> LF_DEVICE T lesser(T a, T b) { return a < b ? a : b; }
template <typename T> LF_DEVICE T greater(T a, T b) { return a > b ? a : b; }
template <typename real> LF_DEVICE real nothing() { return real(-bits_to_float(0x7f800000u)); }

/// `join` of what all threads of the block have, in one order; all of them ask, and all get it.
template <typename real, typename Join> LF_DEVICE real joined(real x, const Join &join) {
#if defined(__CUDACC_RTC__)
    LF_SHARED real parts[32];
    for (int offset = 16; offset > 0; offset /= 2) x = join(x, __shfl_xor_sync(0xffffffffu, x, offset));
    barrier();
    if (thread() % 32 == 0) parts[thread() / 32] = x;
    barrier();
    x = parts[0];
    for (int i = 1; i < threads() / 32; ++i) x = join(x, parts[i]);
#endif
    return x;
}
template <typename real> LF_DEVICE real block_sum(real x) {
    return joined(x, [](real a, real b) { return a + b; });
}
template <typename real> LF_DEVICE real block_greatest(real x) {
    return joined(x, [](real a, real b) { return greater(a, b); });
}

/// A tile of sums, in the registers of a block's threads: each holds every `side`th row and column.
template <typename real, int rows, int columns> struct Fragment {
    static constexpr int own_rows = rows / side, own_columns = columns / side;
    real values[own_rows][own_columns];

    static LF_DEVICE int row(int i) { return thread() / side + i * side; }
    static LF_DEVICE int column(int j) { return thread() % side + j * side; }

    LF_DEVICE void clear() {
        for (int i = 0; i < own_rows; ++i)
            for (int j = 0; j < own_columns; ++j) values[i][j] = 0;
    }
    /// Calls `body(row, column, value)` for all numbers of the thread.
    template <typename Body> LF_DEVICE void each(const Body &body) {
LF_UNROLL
        for (int i = 0; i < own_rows; ++i)
LF_UNROLL
            for (int j = 0; j < own_columns; ++j) body(row(i), column(j), values[i][j]);
    }
    /// Adds `Σₖ a[row, k]·b[k, column]`, k below `depth`, of two tables in shared memory.
    LF_DEVICE void add(int depth, const real *a, int a_row, int a_depth, const real *b, int b_depth) {
        for (int k = 0; k < depth; ++k) {
            real left[own_rows], right[own_columns];
LF_UNROLL
            for (int i = 0; i < own_rows; ++i) left[i] = a[row(i) * a_row + k * a_depth];
LF_UNROLL
            for (int j = 0; j < own_columns; ++j) right[j] = b[column(j) + k * b_depth];
LF_UNROLL
            for (int i = 0; i < own_rows; ++i)
LF_UNROLL
                for (int j = 0; j < own_columns; ++j) values[i][j] += left[i] * right[j];
        }
    }
};

}  // namespace lf_machine
