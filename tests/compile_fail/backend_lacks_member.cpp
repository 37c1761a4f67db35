// expect: 'shared.clock\(\)' (is|would be) invalid
// SPDX-License-Identifier: MIT
#include <omnibus/backend.hpp>

#include "archetype.hpp"

struct Unfinished {
  using Config = Archetype::Config;
  using Consumer = Archetype::Consumer;
  static constexpr omnibus::Capabilities capabilities{.name = "unfinished"};
  explicit Unfinished(Config);
  void submit(std::string_view, std::span<omnibus::Outgoing>, const omnibus::Submit&);
  omnibus::Result<> flush(omnibus::Instant);
  Consumer consume(const omnibus::SubscriptionSpec&);
  omnibus::Health health() const;
#ifdef CORRECTED
  const omnibus::Clock& clock() const;
#endif
  omnibus::Result<> close(omnibus::Instant);
};
static_assert(omnibus::Backend<Unfinished>);
