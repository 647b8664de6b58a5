/// A stand-in for an accelerator, for tests: libtorch's backend of others' devices (PrivateUse1) on this machine's processor.
///
/// - Its tensors have addresses that the host can neither read nor write: who takes them for the host's memory ends with a fault.
/// - Operations run on libtorch's CPU kernels, on memory that lies elsewhere, and give the CPU's numbers.
/// - The shim's own kernels run as the C++ that they are, and each start counts as an operation.
/// - Operations that mix devices, draw from a CPU's generator or draw without one are refused, as a GPU refuses them.
/// - What costs time on a GPU is counted: operations, waits, and bytes that go over.
/// - There are four of them, and a thread works on one, so that threads may stand for the processes of a run; they exchange tensors by functions
///   that begin and end as NCCL's do.
///
/// It shows nothing about a GPU's own kernels, their rounding or their times. The devices are there once this library is linked.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t launches;         // operations that a GPU would start a kernel for, copies within the device among them
    int64_t waits;            // times that the host waits: results read back, blocking copies to the device, sizes that depend on data
    int64_t bytes_to_device;  // copied from the host
    int64_t bytes_to_host;    // copied from the device, single values included
    int64_t unordered;        // operations whose sums a GPU forms in any order, so that two runs may differ
    int64_t peak_bytes;       // the most memory that tensors took at once
} stand_in_counts;

/// Taken by whoever counts and by whoever would be counted with it: the counts are the process's. From one thread, not twice.
void stand_in_lock(void);
void stand_in_unlock(void);
/// What has happened since the last reset.
stand_in_counts stand_in_read(void);
void stand_in_reset(void);
/// Lines of a name, a tab and a count, the most frequent first, since the last reset; valid until the next call.
const char *stand_in_operations(void);
/// The size of the device's memory in bytes; beyond it tensors do not fit. At first 2 GiB.
void stand_in_set_capacity(int64_t bytes);
/// Whether layers of this thread take the shim's own kernels, which they do at first; returns what was said before.
bool stand_in_use_kernels(bool used);
/// Whether the system refuses to read a tensor's address for this process.
bool stand_in_memory_is_closed(void);

#ifdef __cplusplus
}
#endif
