// What time is spent on, as spans of the thread that records.
#pragma once
#include <cstdint>

namespace lf {

/// Adds multiplications and additions that no operation of libtorch tells of to the span that is open on this thread; nothing without a recording.
void count_operations(double operations);

/// The same of a product of `[rows, inner]` and `[inner, columns]`.
void count_product(int64_t rows, int64_t inner, int64_t columns);

}  // namespace lf
