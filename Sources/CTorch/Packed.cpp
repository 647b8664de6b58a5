// Numbers of a few bits, as published files hold them.
#include "Internal.hpp"
#include "Parallel.hpp"

#include <cmath>

using namespace lf;

lf_status lf_unpack_mxfp4(lf_tensor_t blocks, lf_tensor_t scales, lf_tensor_t *out) {
    return returning(out, [&] {
        // E2M1: a sign, two bits of exponent, one of mantissa.
        static constexpr float values[16] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
        constexpr int64_t bytes = 16;
        auto packed = blocks->value.contiguous(), exponents = scales->value.contiguous();
        auto shape = packed.sizes().vec();
        TORCH_CHECK(packed.scalar_type() == at::kByte && exponents.scalar_type() == at::kByte && shape.size() >= 2 && shape.back() == bytes &&
                        exponents.sizes() == packed.sizes().slice(0, shape.size() - 1),
                    "blocks of shape ", packed.sizes(), " and scales of shape ", exponents.sizes(), " do not fit each other");
        shape.pop_back();
        shape.back() *= 2 * bytes;
        auto result = at::empty(shape, packed.options().dtype(at::kBFloat16));
        const uint8_t *from = elements<uint8_t>(packed), *powers = elements<uint8_t>(exponents);
        auto *to = mutable_elements<c10::BFloat16>(result);
        parallel_for(exponents.numel(), 4096, [&](int64_t begin, int64_t end) {
            for (int64_t block = begin; block < end; ++block) {
                float factor = std::ldexp(1.0f, int(powers[block]) - 127);
                for (int64_t i = 0; i < bytes; ++i) {
                    uint8_t pair = from[block * bytes + i];
                    to[(block * bytes + i) * 2] = values[pair & 15] * factor;
                    to[(block * bytes + i) * 2 + 1] = values[pair >> 4] * factor;
                }
            }
        });
        return result;
    });
}
