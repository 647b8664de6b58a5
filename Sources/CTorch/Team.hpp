// Threads that go through many steps together.
#pragma once
#include <cstdint>
#include <utility>

namespace lf {

/// A thread among those that work through something together.
struct TeamMember {
    int64_t index, count;

    /// This member's share of `[0, total)`, cut into equal ones.
    std::pair<int64_t, int64_t> share(int64_t total) const { return {total * index / count, total * (index + 1) / count}; }
    /// Waits until all members are here; what they wrote can be read then.
    void meet() const;
};

using TeamBody = void (*)(const void *context, const TeamMember &member);
void run_team(TeamBody body, const void *context);

/// `body(member)` on each of libtorch's threads at once; it must not throw, and all members meet equally often.
template <typename Body> void in_team(const Body &body) {
    run_team([](const void *context, const TeamMember &member) { (*static_cast<const Body *>(context))(member); }, &body);
}

}  // namespace lf
