// What time is spent on, as spans of the thread that records.
#pragma once

namespace lf {

/// Adds multiplications and additions that no operation of libtorch tells of to the span that is open on this thread; nothing without a recording.
void count_operations(double operations);

}  // namespace lf
