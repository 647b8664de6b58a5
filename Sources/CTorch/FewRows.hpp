// The loops of products of few rows, for those who share them out among threads themselves.
#pragma once
#include "Internal.hpp"

namespace lf {

/// The most rows that a product of few rows has.
constexpr int64_t most_few_rows = 16;
/// Threads take whole tiles of this many outputs.
constexpr int64_t few_rows_tile = 16;

/// Whether the loops read x turned, as `turn_few_rows` leaves it.
bool are_turned(int64_t rows);
/// Floats that x takes turned.
constexpr int64_t turned_size(int64_t width) { return (width + few_rows_tile - 1) / few_rows_tile * few_rows_tile * most_few_rows; }
/// Turns the columns of `x [rows, width]` from tile `first` of 16 to `last`.
void turn_few_rows(const float *x, int64_t rows, int64_t width, float *turned, int64_t first, int64_t last);
void turn_few_rows(const c10::BFloat16 *x, int64_t rows, int64_t width, float *turned, int64_t first, int64_t last);

/// Outputs `[begin, end)` of `y = x·wᵀ + bias`, `x [rows, width]`, `w [outputs, width]`; `turned` is x turned where the rows are.
void multiply_few_rows(const float *x, const float *turned, const float *w, const float *bias, float *y, int64_t rows, int64_t width, int64_t outputs,
                       int64_t begin, int64_t end);
void multiply_few_rows(const c10::BFloat16 *x, const float *turned, const c10::BFloat16 *w, const c10::BFloat16 *bias, c10::BFloat16 *y, int64_t rows,
                       int64_t width, int64_t outputs, int64_t begin, int64_t end);

}  // namespace lf
