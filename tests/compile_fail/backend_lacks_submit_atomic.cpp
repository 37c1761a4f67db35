// expect: atomic_publish_needs_submit_atomic<.*evaluate(s|d) to .?false
// SPDX-License-Identifier: MIT
#include <omnibus/backend.hpp>

#include "archetype.hpp"

struct Unfinished : Archetype {
  using Archetype::Archetype;
  static constexpr omnibus::Capabilities capabilities{.name = "unfinished", .atomic_publish = true};
#ifdef CORRECTED
  void submit_atomic(std::span<const omnibus::Addressed>, const omnibus::Submit&, omnibus::AtomicDone);
#endif
};
static_assert(omnibus::Backend<Unfinished>);
